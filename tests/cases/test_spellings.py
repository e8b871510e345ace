"""Spellings of one question form a group; questions that differ in one word that matters do not."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.places import ROOT
from tunegate.cases.bank import split
from tunegate.cases.case import Case
from tunegate.cases.spellings import in_groups, spellings
from tunegate.reading.rows import read_rows
from tunegate.suites.suite_file import load_suite
from tunegate_suites import build_check

DATA = ROOT / "suites" / "tunegate_suites" / "data"


def groups(*prompts: str, reference: str | None = "x") -> int:
    """How many groups these prompts form."""
    references = () if reference is None else (reference,)
    cases = [Case(str(at), prompt, references) for at, prompt in enumerate(prompts)]
    return len({case.group or case.id for case in in_groups(cases)})


def test_spellings_of_one_question() -> None:
    assert groups("What is the capital of France?", "what is the CAPITAL of  france", "Capital of France, please!") == 1
    assert groups("Which genes cause ataxia?", "Ataxia: which genes cause it?") == 2
    assert groups("cause of ataxia: which gene", "Which gene: cause of ataxia?") == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Is gene BRCA1 dominant?", "Is gene BRCA2 dominant?"),
        (
            "What is the inheritance pattern of distal hereditary motor neuropathy, type II?",
            "What is the inheritance pattern of distal hereditary motor neuropathy, type V?",
        ),
        ("Is it safe?", "Is it not safe?"),
        ("When did Ada die?", "Where did Ada die?"),
        ("Can a cat swim?", "Does a cat swim?"),
        ("What is 1+1?", "What is 1-1?"),
        ("Is the?", "Was a?"),
    ],
)
def test_different_questions(one: str, other: str) -> None:
    assert groups(one, other) == 2


def test_the_same_words_with_another_answer_are_another_question() -> None:
    cases = [
        Case("a", "Is the dog bigger than the cat?", ("yes",)),
        Case("b", "Is the cat bigger than the dog?", ("no",)),
        Case("c", "Which is true?", ("A",), choices=("one", "two")),
        Case("d", "Which is true?", ("A",), choices=("three", "four")),
        Case("e", "What is it?", ("x",), context="A text."),
        Case("f", "What is it?", ("x",), context="Another text."),
    ]
    assert spellings(cases) == []
    assert in_groups(cases) == tuple(cases)


def test_without_an_expected_answer_the_words_must_be_the_same() -> None:
    assert groups("What does it do?", "What is it?", reference=None) == 2
    assert groups("the cat bit the dog", "the dog bit the cat", reference=None) == 2
    assert groups("What does it do?", "what does it do", reference=None) == 1


def test_groups_of_the_file_are_joined() -> None:
    cases = [
        Case("a", "Capital of France", ("Paris",), group="g"),
        Case("b", "capital of France?", ("Paris",), group="h"),
        Case("c", "something else", ("x",), group="h"),
        Case("d", "Capital of  France", ("Paris",)),
        Case("e", "alone", ("y",)),
    ]
    assert [case.group for case in in_groups(cases)] == ["g", "g", "g", "g", None]


cases = st.lists(
    st.builds(
        Case,
        id=st.uuids().map(str),
        prompt=st.sampled_from(["a b", "B A", "the a b", "c", "C?", "d"]),
        references=st.sampled_from([("x",), ("X",), ()]),
        group=st.sampled_from([None, "g", "h", "i"]),
    ),
    max_size=20,
    unique_by=lambda case: case.id,
)


@given(cases=cases)
def test_a_group_is_only_ever_made_larger(cases: list[Case]) -> None:
    made = in_groups(cases)
    assert [case.id for case in made] == [case.id for case in cases]
    known = {case.id: case.group for case in made}
    for case in cases:
        mates = {known[other.id] for other in cases if case.group is not None and other.group == case.group}
        assert len(mates) <= 1
    for alike in spellings(cases):
        assert len({known[case.id] for case in alike}) == 1
    assert in_groups(made) == made
    assert {case.id: case.group for case in in_groups(cases[::-1])} == known


def test_a_further_spelling_moves_no_case() -> None:
    bank = [Case(f"{q}{s}", f"question {q}{s}", ("x",)) for q in range(50) for s in ("?", "!")]
    before, after = (split(in_groups(some), 0.5) for some in (bank, [*bank, Case("new", "Question 7", ("x",))]))
    assert {case.id for case in after.sealed} - {"new"} == {case.id for case in before.sealed}


@pytest.mark.parametrize("name", ["blimp", "dolly", "mmlu", "piqa", "stereotypes", "contrast/facts"])
def test_shipped_suites_have_no_spellings(name: str) -> None:
    assert spellings(load_suite(DATA / f"{name}.yaml", build_check).cases) == []


@pytest.mark.parametrize("path", [DATA / "gene_expert" / "bank.jsonl", DATA / "gene_pairs" / "held_out.jsonl"])
def test_nor_have_the_questions_of_the_demo(path: Path) -> None:
    rows = [row for _, row in read_rows(path)]
    questions = [
        Case(str(at), str(row["prompt"] if "prompt" in row else row["question"]), ("x",)) for at, row in enumerate(rows)
    ]
    assert len(questions) > 300
    assert spellings(questions) == []
