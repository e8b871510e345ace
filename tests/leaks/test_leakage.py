"""Leakage: a case that was taught is found, however it is written; one that was not is left alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tunegate.cases.case import Case, Prompt
from tunegate.data.training_data import Example, TrainingData
from tunegate.leaks.leakage import describe, find_leaks
from tunegate.models.model import GenerationSettings
from tunegate.stats.plans import PlanRule
from tunegate.suites.suite import Suite
from tunegate.text.normal_form import normalised


def data(*prompts: Prompt) -> TrainingData:
    examples = tuple(Example(number, prompt, {"completion": "x"}) for number, prompt in enumerate(prompts, start=1))
    return TrainingData(Path("train.jsonl"), examples, "hash")


def suite(*prompts: Prompt) -> Suite:
    cases = tuple(Case(f"c{number}", prompt) for number, prompt in enumerate(prompts, start=1))
    return Suite("facts", cases, (), PlanRule(draw=1, accept=1), GenerationSettings(), "hash")


def user(text: str) -> Prompt:
    return ({"role": "user", "content": text},)


def system(text: str, asked: str) -> Prompt:
    return ({"role": "system", "content": text}, {"role": "user", "content": asked})


@pytest.mark.parametrize(
    ("taught", "asked", "leaks"),
    [
        ("Why is it?", "Why is it?", True),
        ("  why\tIS  it?\n", "Why is it?", True),
        ("Ｗｈｙ is it?", "Why is it?", True),
        ("Stra\u00dfe", "STRASSE", True),
        ("cafe\u0301", "caf\u00e9", True),
        (user("Why?"), "Why?", True),
        ("Why?", user("Why?"), True),
        (system("Be brief.", "Why?"), "Why?", True),
        (system("Be brief.", "Why?"), system("Be long.", "Why?"), True),
        ("Why is it", "Why is it?", True),
        ("Why", "Who", False),
    ],
)
def test_what_counts_as_the_same_question(taught: Prompt, asked: Prompt, leaks: bool) -> None:
    assert bool(find_leaks("sft", data(taught), [suite(asked)])) == leaks


def test_every_row_and_every_case_is_named() -> None:
    leaks = find_leaks("sft", data("a", "b", "A "), [suite("x", "a"), suite("b")])
    assert [(leak.train_row, leak.case_id, leak.kind, leak.similarity) for leak in leaks] == [
        (1, "c2", "exact", 1.0),
        (3, "c2", "exact", 1.0),
        (2, "c1", "exact", 1.0),
    ]
    assert describe(leaks, shown=2).startswith("3 training rows are also in a gate's suite: train.jsonl:1 = facts/c2")
    assert "and 1 more" in describe(leaks, shown=2)


def test_normal_form() -> None:
    assert normalised(" \ufb01ne\u00a0\u2003X ") == "fine x"


@pytest.mark.parametrize("disguise", ["​{}", "{}", "  {}!!", "¿{}?", "{}…", "so­ft {}"])
def test_disguised_text_is_the_same_text(disguise: str) -> None:
    plain = disguise.format("Which Gene?").replace("​", "").replace("­", "")
    assert normalised(disguise.format("Which Gene?")) == normalised(plain.strip("¿?!… "))


@pytest.mark.parametrize(("one", "other"), [("1+1", "1-1"), ("1.5", "15"), ("5 - 3", "5 3"), ("a b", "ab")])
def test_different_questions_stay_different(one: str, other: str) -> None:
    assert normalised(one) != normalised(other)


QUESTION = "Which gene causes the rare disease that Ada's patients in York have?"
LIKE_LATIN = str.maketrans("aeopcxAEOPCX", "аеорсхАЕОРСХ")


@pytest.mark.parametrize(
    "disguised",
    [
        QUESTION.replace(" ", "\ufe0f "),
        QUESTION.replace("a", "a\u0301").replace("e", "e\u0308"),
        QUESTION.replace("i", "í").replace("e", "ë"),
        QUESTION.translate(LIKE_LATIN),
        QUESTION.replace("o", "ο").replace("a", "α").replace("A", "Α"),
        QUESTION.replace(" ", "&nbsp;"),
        QUESTION.replace(" ", "&amp;nbsp;"),
        QUESTION.replace("e", "&#101;"),
        QUESTION.replace(" ", "\u3164 "),
        QUESTION.replace(" ", "'s ").replace("'s's", "'s"),
        QUESTION.replace(" ", "’s ").replace("'s’s", "’s"),
        QUESTION.replace("e", "e\u05b0"),
    ],
)
def test_a_question_that_reads_the_same_is_the_same(disguised: str) -> None:
    assert disguised != QUESTION
    assert normalised(disguised) == normalised(QUESTION)
    assert [leak.kind for leak in find_leaks("sft", data(disguised), [suite(QUESTION)])] == ["exact"]
    inside = find_leaks("sft", data(f"Hello there.\ufe0f {disguised} I wonder."), [suite(QUESTION)])
    assert {leak.kind for leak in inside} & {"containment", "near_duplicate"}


def test_a_short_question_inside_a_text_is_found_with_entities_for_its_blanks() -> None:
    leaks = find_leaks(
        "sft", data("Hi! What&nbsp;is&nbsp;the&nbsp;best&nbsp;rose? Tell me."), [suite("What is the best rose?")]
    )
    assert [leak.kind for leak in leaks] == ["containment"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("5 µg", "5 mg"),
        ("कि कु", "कि के"),
        ("дом", "dom"),
        ("ЖЕНА", "ЖОНА"),
        ("β", "b"),
        ("cats", "cat"),
        ("がく", "かく"),
    ],
)
def test_other_scripts_stay_what_they_are(one: str, other: str) -> None:
    assert normalised(one) != normalised(other)


@pytest.mark.parametrize("word", ["НОС", "ΝΕΟ", "Москва", "Straße", "ΣΟΦΙΑ"])
def test_case_does_not_matter_in_any_script(word: str) -> None:
    assert normalised(word) == normalised(word.casefold())
