"""Features of cases and rows: what is recognised, that rows and cases agree, and how a rule reads."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunegate.cases.traits import BOTH, columns_of, in_words, known_of_rows, traits_of
from tunegate.data.kinds import of_kind, traits_of_example
from tunegate.data.training_data import Example
from tunegate.reading.chats import Message


@pytest.mark.parametrize(
    ("prompt", "features"),
    [
        ("What share of them, in percent, fall ill?", {"has=percentage", "asks=what"}),
        ("Do 25 % fall ill?", {"has=percentage", "has=number"}),
        ("When was it described, before 1990?", {"has=number", "has=date", "asks=when"}),
        ("On 3/4/2021 or on March 5?", {"has=number", "has=date"}),
        ("It isn't inherited, is it?", {"has=negation"}),
        ("Except men, HOW MANY carry it?", {"has=negation", "asks=how many"}),
        ("Was it “rare”?", {"has=quotation"}),
        ("Nothing is noted about knots.", set[str]()),
        ("Which of these? A long passage.\n\nWho carries it?", {"asks=who"}),
        ("", set[str]()),
    ],
)
def test_signs_and_question_words_of_a_prompt(prompt: str, features: set[str]) -> None:
    assert traits_of(prompt).names == features


def test_tags_classes_groups_and_lengths() -> None:
    chat = (Message(role="system", content="Say 5 %."), Message(role="user", content="How is it inherited?"))
    traits = traits_of(chat, ("Autosomal  dominant.", "AD"), ("task=a & b",), "g & h", "It is dominant")
    assert traits.names == {"task=a and b", "answer=autosomal dominant", "answer=ad", "group=g and h", "asks=how"}
    assert traits.lengths == {"prompt": 4, "reference": 2, "response": 3}
    for feature, there in {
        "prompt_words>3": True,
        "prompt_words>4": False,
        "prompt_words<=4": True,
        "response_words<=2": False,
        "word=inherited": True,
        "word=percent": False,
        "inherited": False,
        "task=a and b & word=is": False,  # a kind, not a feature
    }.items():
        assert traits.has(feature) is there, feature
    assert traits.is_of(f"task=a and b{BOTH}word=is")
    assert not traits.is_of(f"task=a and b{BOTH}word=percent")
    assert not traits_of("x").has("reference_words<=9")


@given(st.lists(st.tuples(st.text("ab ?%1", max_size=12), st.sampled_from("xyz")), min_size=8, max_size=30))
def test_every_column_says_who_has_the_feature(rows: list[tuple[str, str]]) -> None:
    every = [traits_of(prompt, (answer,), (f"t={answer}",), None, answer) for prompt, answer in rows]
    for feature, column in columns_of(every, fewest=2).items():
        assert column == [one.has(feature) for one in every]
        if not feature.partition("_words")[1]:
            assert 2 <= sum(column) <= len(rows) - 2


def test_a_training_row_has_the_features_of_a_case() -> None:
    rows = [
        Example(n, f"What share is it, {n} %?", {"completion": "one in four"}, None, ("task=risk",)) for n in (1, 2)
    ]
    rows.append(Example(3, "What is it?", {"completion": "rare"}))
    rows.append(Example(4, None, {"text": "About 5 % carry it."}))
    case = traits_of("What share is it, 1 %?", ("one in four",), ("task=risk",))
    assert traits_of_example(rows[0]) == case
    assert [row.number for row in of_kind(rows, "has=percentage", frozenset())] == [1, 2, 4]
    assert [row.number for row in of_kind(rows, "has=percentage & task=risk", frozenset())] == [1, 2]
    assert [row.number for row in of_kind(rows, "prompt_words<=3", frozenset())] == [3]
    assert not of_kind(rows, "task=other", frozenset())


@pytest.mark.parametrize(
    ("features", "words"),
    [
        (("has=percentage",), "questions with a percentage in them"),
        (("task=risk", "prompt_words>12"), "questions with the tag task=risk and prompts of more than 12 words"),
        (("asks=how many", "word=gene"), "questions with 'how many' as the question word and the word 'gene' in them"),
        (("answer=not inherited",), "questions with the expected answer 'not inherited'"),
        (("group=g1", "reference_words<=1"), "questions with the group g1 and expected answers of at most 1 word"),
        (
            ("response_words>3", "has=colour"),
            "questions with answers of more than 3 words from the model and the tag has=colour",
        ),
    ],
)
def test_a_rule_in_words(features: tuple[str, ...], words: str) -> None:
    assert in_words(features) == words


def test_the_length_of_an_answer_is_known_of_cases_alone() -> None:
    assert not known_of_rows("response_words>3")
    assert all(map(known_of_rows, ("reference_words>3", "prompt_words>3", "word=x", "task=response_words>3")))
