"""Leaks in prompts that are written in JSON, in suites and in training rows."""

from __future__ import annotations

import json

import pytest

from tests.support.leak_helpers import prompts, rows
from tunegate.leaks.json_text import laid_out
from tunegate.leaks.leakage import compare
from tunegate.leaks.texts import row_as_it_is

CASES = [
    ("Which of these cranial nerves carries taste from the anterior part of the tongue?", ["facial", "vagus", "tenth"]),
    ("What is the capital of Australia?", ["Canberra", "Sydney", "Perth"]),
    ("下列哪种酶在经典型苯丙酮尿症患者中缺乏？", ["苯丙氨酸羟化酶", "酪氨酸酶", "尿黑酸氧化酶"]),
]
SUITE = prompts(*(json.dumps({"question": question, "options": options}) for question, options in CASES))
PLAIN = prompts(*(f"{question}\nA. {' B. '.join(options)}\nAnswer:" for question, options in CASES))


@pytest.mark.parametrize("number", range(len(CASES)))
def test_a_case_in_json_is_found_by_its_question(number: int):
    question, options = CASES[number]
    for taught in (
        question,
        f"{question}\n1) {options[2]}\n2) {options[0]}",
        json.dumps({"options": options[::-1], "q": question}, indent=1),
        f"Answer this: {question}",
    ):
        assert [leak.case_id for leak in compare(rows(taught), [SUITE])] == [f"c{number + 1}"]


@pytest.mark.parametrize("number", range(len(CASES)))
def test_a_row_in_json_is_found_with_all_its_escapes(number: int):
    question, options = CASES[number]
    for taught in (
        json.dumps({"id": 7, "question": question, "choices": dict(zip("ABC", options[::-1], strict=True))}),
        "Answer in JSON.\n" + json.dumps([{"content": f"Read this.\n{question}\n{options}"}]) + "\nBe short.",
    ):
        assert [leak.case_id for leak in compare(rows(taught), [PLAIN])] == [f"c{number + 1}"]
        assert compare([row_as_it_is("t", 1, {"text": taught})], [PLAIN])


def test_other_questions_in_the_same_json_are_no_leak():
    taught = json.dumps({"question": "What is the capital of Austria?", "options": ["Vienna", "Sydney", "Perth"]})
    assert not compare(rows(taught), [SUITE, PLAIN])


def test_a_short_question_in_quotes_is_found():
    [leak] = compare(rows('Answer the question "What is the capital of Australia?" in a word.'), [PLAIN])
    assert leak.case_id == "c2"


@pytest.mark.parametrize("text", ["no JSON", "a {b} [c]", '{"a": ', "[[[[", "{" * 5000, '["' * 5000])
def test_a_text_without_json_is_as_it_is(text: str):
    assert laid_out(text) == text
