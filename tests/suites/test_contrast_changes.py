"""The changes that rules of a contrast suite are made of."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tunegate.exceptions import ConfigError
from tunegate.reading.rows import Row
from tunegate.reading.spec import read_spec
from tunegate.reading.templates import MissingField
from tunegate.reading.yaml_file import load_yaml
from tunegate_suites.contrasts.changes import Setting, as_word, change, misspelled, reordered, sentences
from tunegate_suites.contrasts.rules import ChangeSpec, RulesSpec

ROW: Row = {
    "id": "a",
    "context": "Mutations in CAT cause X. CAT makes catalase.",
    "question": "Which gene?",
    "answer": "CAT",
}


def changed(text: str, row: Row = ROW, others: list[Row] | None = None, seed: int = 0) -> Row | None:
    """The row after the changes that YAML lists."""
    changes = [ChangeSpec.model_validate(item) for item in yaml.safe_load(text)]
    return change(row, changes, Setting(random.Random(seed), others or []))


def test_a_swap_takes_another_rows_value_everywhere() -> None:
    made = changed('[{swap: {fields: [context, answer], value: "{answer}"}}]', others=[ROW, {"answer": "BLM"}])
    assert made is not None
    assert made["context"] == "Mutations in BLM cause X. BLM makes catalase."
    assert made["answer"] == "BLM"
    assert ROW["answer"] == "CAT"


def test_a_swap_takes_nothing_that_stands_there_already() -> None:
    swap = '[{swap: {fields: [context, answer], value: "{answer}", by: [CAT, catalase, mutations]}}]'
    assert changed(swap) is None
    assert changed('[{swap: {fields: [context], value: "{answer}", by: [BLM]}}]', {**ROW, "answer": ""}) is None


@pytest.mark.parametrize(
    ("value", "text", "stands"),
    [
        ("CAT", "the CAT gene", True),
        ("CAT", "CATSPER1", False),
        ("CAT", "(CAT)", True),
        ("1 in 1", "1 in 1,000", False),
        ("1 in 1", "1 in 1.", True),
        ("1 in 1", "11 in 1", False),
        ("a+b", "a+b", True),
    ],
)
def test_a_value_is_a_word_of_its_own(value: str, text: str, stands: bool) -> None:
    assert (as_word(value).search(text) is not None) is stands


def test_a_replacement_that_finds_nothing_does_not_apply_unless_it_may() -> None:
    assert changed("[{replace: {fields: context, find: dog, by: cow}}]") is None
    made = changed(r"[{replace: {fields: context, find: dog, by: cow, if_found: true}}, {casing: {fields: question}}]")
    assert made == {**ROW, "question": "which gene?"}
    made = changed(r"[{replace: {fields: context, find: 'in (\w+)', by: 'of \1'}}]")
    assert made is not None
    assert made["context"].startswith("Mutations of CAT")


def test_the_first_sentence_that_holds_a_text_is_kept() -> None:
    made = changed("[{keep: {fields: context, sentence_with: makes}}]")
    assert made is not None
    assert made["context"] == "CAT makes catalase."
    assert changed("[{keep: {fields: context, sentence_with: nowhere}}]") is None


def test_set_fills_templates_and_chooses_one_of_several() -> None:
    texts = {(changed('[{set: {question: ["{answer}?", "{id}?"]}}]', seed=seed) or {})["question"] for seed in range(9)}
    assert texts == {"CAT?", "a?"}
    with pytest.raises(MissingField, match=r"'anser'.*'answer'"):
        changed('[{set: {question: "{anser}?"}}]')


def test_insert_reorder_and_casing() -> None:
    insert = '[{insert: {fields: context, sentences: "It rains.", at: start}}]'
    assert (changed(insert) or {})["context"] == "It rains. Mutations in CAT cause X. CAT makes catalase."
    assert (changed("[{reorder: {fields: context}}]") or {})[
        "context"
    ] == "CAT makes catalase. Mutations in CAT cause X."
    assert changed("[{reorder: {fields: question}}]") is None
    assert (changed("[{casing: {fields: question, to: upper}}]") or {})["question"] == "WHICH GENE?"


def test_sentences_end_before_a_capital_or_a_digit() -> None:
    assert sentences("It is e.g. red. About 1 in 1.5 have it! Do they? Yes") == [
        "It is e.g. red.", "About 1 in 1.5 have it!", "Do they?", "Yes",
    ]  # fmt: skip


@given(st.lists(st.sampled_from("abcd"), max_size=6), st.integers(0, 99))
def test_another_order_of_the_same_parts(parts: list[str], seed: int) -> None:
    other = reordered(parts, random.Random(seed))
    assert sorted(other) == sorted(parts)
    assert (other == parts) is (len(set(parts)) < 2)


@given(st.text("abcdeXY .,", max_size=60), st.integers(1, 3), st.integers(0, 99))
def test_a_typo_swaps_letters_inside_of_words(text: str, words: int, seed: int) -> None:
    made = misspelled(text, words, [], random.Random(seed))
    assert len(made) == len(text)
    pairs = [(a, b) for a, b in zip(text.split(" "), made.split(" "), strict=True) if a != b]
    assert made == text or sum(a != b for a, b in zip(text, made, strict=True)) == 2 * words
    for before, after in pairs:
        assert sorted(before) == sorted(after)


def test_typos_spare_what_they_are_told_to() -> None:
    text = "Which pattern has Marfan syndrome"
    assert misspelled(text, 1, ["the pattern of a Syndrome"], random.Random(0)) == text
    assert misspelled(text, 1, ["pattern"], random.Random(0)).startswith("Which pattern has Marfan ")
    assert misspelled(text, 3, [], random.Random(0)) == text


def rules(text: str, folder: Path) -> RulesSpec:
    path = folder / "rules.yaml"
    path.write_text(text, encoding="utf-8")
    return read_spec(RulesSpec, load_yaml(path))


RULE = "rules: [{{name: a, kind: invariant, change: [{0}]}}]"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rules: []", "rules"),
        (RULE.format("{casing: {fields: a}}").replace("invariant", "x"), "'directional', 'invariant' or 'minimum'"),
        (RULE.format("{casing: {fields: a, too: upper}}"), "unknown key (did you mean 'to'?)"),
        (RULE.format("{casing: {fields: a}, reorder: {fields: a}}"), "change per item, got casing, reorder"),
        (RULE.format("{}"), "expected one change per item, got none"),
        (RULE.format("{typoes: {fields: a}}"), "did you mean 'typos'"),
        (RULE.format("{set: {a: '{b!r}'}}"), "only plain fields"),
        (RULE.format("{replace: {fields: a, find: '(', by: b}}"), "not a regular expression"),
        (RULE.format(r"{replace: {fields: a, find: b, by: '\1'}}"), "`by` does not fit `find`"),
        (RULE.format("{insert: {fields: a, sentences: []}}"), "sentences"),
        ("rules: &r [{name: a, kind: minimum, change: [{casing: {fields: a}}]}, "
         "{name: a, kind: minimum, change: [{casing: {fields: a}}]}]", "two rules have the name 'a'"),
    ],
)  # fmt: skip
def test_a_wrong_rules_file_is_one_clear_line(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        rules(text, tmp_path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{tmp_path}/rules.yaml:1: rules") or "two rules" in message
    assert "\n" not in str(caught.value)


def test_the_same_case_is_changed_alike_whenever() -> None:
    spec: Any = "[{typos: {fields: context}}, {reorder: {fields: context}}]"
    assert changed(spec) == changed(spec)
    assert len({(changed(spec, seed=seed) or {})["context"] for seed in range(9)}) > 1
