"""A prompt file: what it says to the model, what is refused, and that it may not reveal cases."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.bank import Bank, write_jsonl
from tests.support.option_rules import asked_with
from tunegate.choosing.prompt_file import check_tells_nothing, read_prompt, read_prompts
from tunegate.exceptions import ConfigError, TunegateError
from tunegate.models.fewshot import Shot
from tunegate.models.model import ScriptedModel, check_weights
from tunegate.models.with_prompt import FIELD, OwnPrompt, with_prompt
from tunegate.models.wrapped import combined_sha256
from tunegate.suites.suite_file import load_suite
from tunegate_suites import build_check

CHAT = (
    {"role": "system", "content": "old"},
    {"role": "user", "content": "first"},
    {"role": "assistant", "content": "yes"},
    {"role": "user", "content": "last"},
)


@given(st.text(), st.text(alphabet=st.characters(exclude_characters="{}")))
def test_a_question_is_put_into_the_template_as_it_is(question: str, around: str) -> None:
    template = f"{around}{{prompt}}{around}"
    try:
        filled = OwnPrompt("p", template=template).around(question)
    except ConfigError:
        question.encode()  # only half a character is refused
        raise
    assert filled == f"{around}{question}{around}"


def test_the_last_question_of_a_chat_is_put_into_the_template() -> None:
    told = OwnPrompt("p", system="new", template="<{prompt}>").around(CHAT)  # type: ignore[arg-type]
    assert [turn["content"] for turn in told if not isinstance(turn, str)] == ["first", "yes", "<last>"]
    kept = OwnPrompt("p", template="<{prompt}>").around(CHAT)  # type: ignore[arg-type]
    assert len(kept) == 4


def test_examples_are_shown_in_their_order_or_the_most_similar_alone() -> None:
    shots = [{"prompt": "red apple", "completion": "1"}, {"prompt": "blue sea", "completion": "2"}]
    [(turns, _)] = asked_with({"examples": shots}, ["a red sea apple"])
    assert [text for _, text in turns] == ["red apple", "1", "blue sea", "2", "a red sea apple"]


def test_examples_of_a_file_can_be_chosen_by_their_words(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "rows.jsonl", [{"q": "red apple", "a": "1"}, {"q": "blue sea", "a": "2"}])
    path = tmp_path / "p.yaml"
    path.write_text('examples: {path: rows.jsonl, n: 1, prompt: "{q}", completion: "{a}"}\n')
    prompt = read_prompt(path)
    assert prompt == OwnPrompt("p", shots=(Shot("red apple", "1"), Shot("blue sea", "2")), nearest=1)
    path.write_text('examples: {path: rows.jsonl, n: 3, prompt: "{q}", completion: "{a}"}\n')
    with pytest.raises(ConfigError, match=r"p.yaml:1: examples.n: at most 2"):
        read_prompt(path)


ROWS = [{"prompt": "red apple", "completion": "1"}, {"prompt": "blue sea", "completion": "2"}]


def test_a_file_with_several_numbers_of_examples_makes_a_prompt_for_each(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "rows.jsonl", ROWS)
    path = tmp_path / "shots.yaml"
    path.write_text("system: Be brief.\nexamples: {path: rows.jsonl, n: [1, 2]}\n")
    shots = (Shot("red apple", "1"), Shot("blue sea", "2"))
    assert read_prompts(path) == tuple(OwnPrompt(f"shots-{n}", "Be brief.", shots=shots, nearest=n) for n in (1, 2))
    with pytest.raises(ConfigError) as error:
        read_prompt(path)
    assert str(error.value) == f"{path}:2: examples.n: one number was expected here, got 1, 2; write the one to use"
    path.write_text("name: few\nexamples: {path: rows.jsonl, n: [2]}\n")
    assert read_prompt(path).name == "few-2"


@pytest.mark.parametrize(
    ("n", "words"),
    [
        ("[]", "examples.n: at least 1 expected, got none"),
        ("[1, 1]", "examples.n: numbers that differ were expected, but 1 is there twice"),
        ("[1, 3]", "examples.n[1]: at most 2, the rows of the file, was expected"),
        ("3", "examples.n: at most 2, the rows of the file, was expected"),
        ("[1, x]", "examples.n[1]: should be a valid integer, got 'x'"),
        ("[0]", "examples.n[0]: should be greater than or equal to 1, got 0"),
        ("some", "examples.n: should be a valid integer, got 'some'"),
        ("true", "examples.n: should be a valid integer, got True"),
        ("null", None),
    ],
)
def test_the_numbers_of_examples_are_checked(n: str, words: str | None, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "rows.jsonl", ROWS)
    path = tmp_path / "p.yaml"
    path.write_text(f"examples: {{path: rows.jsonl, n: {n}}}\n")
    if words is None:
        assert read_prompt(path).nearest is None
        return
    with pytest.raises(ConfigError) as error:
        read_prompts(path)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_the_fingerprint_covers_weights_and_prompt_but_not_its_name() -> None:
    model, prompt = ScriptedModel(lambda case: "", "m", "weights"), OwnPrompt("a", system="x")
    asked = with_prompt(model, prompt)
    assert asked.sha256 == with_prompt(model, OwnPrompt("b", system="x")).sha256
    others = [OwnPrompt("a", system="y"), OwnPrompt("a", template="x{prompt}"), OwnPrompt("a", shots=(Shot("x", "y"),))]
    found = {combined_sha256("weights", FIELD, one.facts) for one in (prompt, *others)}
    assert len(found | {"weights", combined_sha256("other", FIELD, prompt.facts)}) == 6
    assert with_prompt(model, OwnPrompt("none")) is model
    assert with_prompt(ScriptedModel(lambda case: ""), prompt).sha256 is None
    check_weights(asked)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sytem: x", "p.yaml:1: sytem: unknown key (did you mean 'system'?)"),
        ("{}", "a prompt needs `system`, `template` or `examples`"),
        ("template: '{question}'", "template: a template that contains {prompt}, and no other field"),
        ("template: again", "template: a template that contains {prompt}"),
        ("system: ''", "system: at least 1 expected, got none"),
        ("examples: [{prompt: a}]", "examples[0].completion: this key is required"),
        ("examples: {path: nowhere.jsonl}", "nowhere.jsonl: no such file"),
        ("examples: 3", "examples: a mapping was expected, got 3"),
        ("examples: []", "a prompt needs"),
    ],
)
def test_a_fault_is_one_line_with_its_key(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(text)
    with pytest.raises(TunegateError) as error:
        read_prompt(path)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        (OwnPrompt("p", shots=(Shot("x", "y"), Shot("What is the answer to case-003?", "z"))), "example 2 contains"),
        (OwnPrompt("p", system="Q: What is the answer to case-003? A: answer case-003"), "system contains the case"),
    ],
)
def test_a_prompt_may_not_reveal_a_case(prompt: OwnPrompt, words: str, make_bank: Callable[..., Bank]) -> None:
    bank = make_bank()
    write_jsonl(
        bank.folder / "cases.jsonl",
        [{"id": i, "prompt": f"What is the answer to {i}?", "reference": f"answer {i}"} for i in bank.ids],
    )
    suite = load_suite(Path(bank.suite), build_check)
    with pytest.raises(ConfigError) as error:
        check_tells_nothing(prompt, Path("p.yaml"), suite)
    assert words in str(error.value)
    check_tells_nothing(OwnPrompt("p", system="Answer in one word."), Path("p.yaml"), suite)
