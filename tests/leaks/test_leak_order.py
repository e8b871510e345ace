"""Leakage: neither the order of rows, nor rows with the same words in another layout, decide which rows leak."""

from __future__ import annotations

import numpy
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.leak_helpers import prompts, rows, suite
from tests.support.leaks_in_memory import compare_in_memory
from tunegate import processes
from tunegate.cases.case import Case
from tunegate.leaks.leakage import Looking, compare
from tunegate.leaks.texts import TrainRow, row_as_it_is
from tunegate.suites.suite import Suite

CAPITAL = "What is the capital of France?"
PLAIN, ASKING = "Please answer what is the capital of France", "Please answer: What is the capital of France?"
LAYOUTS = (
    (CAPITAL, PLAIN, ASKING),
    ("What is BRCA1?", "Question what is BRCA1", "Question: What is BRCA1?"),
)
"""A case, a row with the same words as a leak without its layout, and the leak."""


def leaking(taught: list[TrainRow], asked: Suite) -> set[tuple[int, str, str]]:
    return {(leak.train_row, leak.case_id, leak.kind) for leak in compare(taught, [asked])}


@pytest.mark.parametrize(("case", "plain", "asking"), LAYOUTS)
def test_a_leak_is_found_before_and_behind_the_same_words_in_another_layout(
    case: str, plain: str, asking: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = rows(plain, asking)
    expected = {(2, "c1", "containment")}
    assert leaking([first, second], prompts(case)) == leaking([second, first], prompts(case)) == expected
    monkeypatch.setattr(processes, "ITEMS_PER_BLOCK", 1)
    assert leaking([first, second], prompts(case)) == leaking([second, first], prompts(case)) == expected


@pytest.mark.parametrize("fields", [(PLAIN, ASKING), (ASKING, PLAIN)])
def test_so_it_is_within_one_row(fields: tuple[str, str]) -> None:
    assert leaking([TrainRow("t", 1, fields)], prompts(CAPITAL)) == {(1, "c1", "containment")}


@pytest.mark.parametrize("plain_first", [True, False])
def test_so_it_is_in_a_chat_and_in_a_system_message(plain_first: bool) -> None:
    turns = [{"role": "system", "content": PLAIN}, {"role": "user", "content": ASKING}]
    chat = [turns[0], turns[1]] if plain_first else [{**turns[0], "content": ASKING}, {**turns[1], "content": PLAIN}]
    row = row_as_it_is("t", 1, {"messages": [*chat, {"role": "assistant", "content": "Paris"}]})
    assert leaking([row], prompts(CAPITAL)) == {(1, "c1", "containment")}


def test_a_leak_shows_the_text_of_its_own_row() -> None:
    leaks = compare(rows(CAPITAL, CAPITAL.upper()), [prompts(CAPITAL)])
    assert [(leak.train_row, leak.train_text) for leak in leaks] == [(1, CAPITAL), (2, CAPITAL.upper())]


@pytest.mark.parametrize("order", [1, -1])
def test_each_layout_is_compared_by_meaning(order: int) -> None:
    vectors = {CAPITAL: (1.0, 0.0), "France's capital?": (0.96, 0.28), "france's CAPITAL?": (0.0, 1.0)}
    looking = Looking(lambda texts: {text: numpy.array(vectors[text]) for text in texts}, 0.95)
    taught = rows("france's CAPITAL?", "France's capital?")[::order]
    assert [leak.train_row for leak in compare(taught, [prompts(CAPITAL)], looking)] == [2]


@pytest.mark.parametrize("order", [1, -1])
def test_each_case_with_the_same_words_is_compared_by_meaning(order: int) -> None:
    vectors = {CAPITAL: (1.0, 0.0), "WHAT IS THE CAPITAL OF FRANCE": (0.0, 1.0), "France's capital?": (0.96, 0.28)}
    looking = Looking(lambda texts: {text: numpy.array(vectors[text]) for text in texts}, 0.95)
    cases = [Case("small", CAPITAL), Case("large", CAPITAL.upper()[:-1])][::order]
    leaks = compare(rows("France's capital?"), [suite(*cases)], looking)
    assert [(leak.case_id, leak.case_text) for leak in leaks] == [("small", CAPITAL)]


WORDS = (
    "what is the capital of France",
    "what is BRCA1",
    "the river ends in the wide sea behind the hills of the town",
)
WRITTEN = (
    "{}",
    "Please answer {}",
    "Please answer: {}?",
    "please ANSWER {}?",
    "Please answer.\n{}?",
    "Question {}",
    "Question: {}?",
    "**Question** {}",
    "Question\n{}?",
)


@st.composite
def orders(draw: st.DrawFn) -> tuple[list[TrainRow], list[TrainRow]]:
    """Rows, many of which have the same words in another layout, and the same rows in another order."""
    text = st.builds(str.format, st.sampled_from(WRITTEN), st.sampled_from(WORDS))
    pairs = draw(st.lists(st.tuples(text, text), min_size=1, max_size=12))
    taught = [TrainRow("t.jsonl", number, (asked,), (answer,)) for number, (asked, answer) in enumerate(pairs, 1)]
    return taught, draw(st.permutations(taught))


@given(
    orders(), st.lists(st.sampled_from([*WORDS, *(f"Question: {words}?" for words in WORDS)]), min_size=1), st.data()
)
@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=50)
def test_the_order_of_rows_never_changes_which_leak(
    ordered: tuple[list[TrainRow], list[TrainRow]], asked: list[str], data: st.DataObject
) -> None:
    taught, shuffled = ordered
    cases = suite(*(Case(str(number), prompt) for number, prompt in enumerate(asked)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processes, "ITEMS_PER_BLOCK", data.draw(st.sampled_from((1, 5, 1000))))
        found = compare(taught, [cases])
        assert found == compare(shuffled, [cases]) == compare_in_memory(taught, [cases])
