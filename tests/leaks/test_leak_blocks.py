"""Leakage by blocks: the same leaks as with all rows in memory, whatever the blocks and the number of processes."""

from __future__ import annotations

import random
from collections.abc import Generator, Iterable, Iterator
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.leak_helpers import GENES, prompts, read, rows, suite
from tests.support.leaks_in_memory import compare_in_memory
from tunegate import processes
from tunegate.cases.case import Case
from tunegate.exceptions import ConfigError
from tunegate.leaks import leakage, survey
from tunegate.leaks.leakage import Looking, compare
from tunegate.leaks.texts import TrainRow, row_as_it_is
from tunegate.processes import DONE_HERE, InOrder, in_order

WORDS = [f"{start}{vowel}{end}" for start in "bdfg" for vowel in "aei" for end in "dkn"]
FRAMES = (
    "{}",
    "Question: {}\nA. yes\nB. no\nAnswer:",
    "Q-{}?",
    "<p>{}</p> Thanks.",
    "Read this.\n\n{}?\n1) one\n2) two",
    "Please help: {}. It is for the hospital, and the record of the patient says no more than that.",
    '{{"question": "{}", "options": ["red", "blue"]}}',
    "**{}**",
    "I said &quot;{}&quot; twice.",
)


@st.composite
def texts(draw: st.DrawFn) -> str:
    """Texts of few words, so that they contain, repeat and nearly repeat each other; some share a template."""
    rng = random.Random(draw(st.integers(0, 40)))
    words = rng.choices(WORDS, k=rng.choice((1, 2, 4, 6, 9, 14, 30, 45)))
    for at in draw(st.lists(st.integers(0, len(words) - 1), max_size=2)):
        words[at] = "changed"
    ask = draw(st.sampled_from(("", "?")))
    return draw(st.sampled_from(FRAMES)).replace("{}", " ".join(words) + ask).replace("{{", "{").replace("}}", "}")


@st.composite
def training_rows(draw: st.DrawFn) -> list[TrainRow]:
    pairs = draw(st.lists(st.tuples(texts(), texts()), max_size=30))
    return [TrainRow("t.jsonl", number, (asked,), (answer,)) for number, (asked, answer) in enumerate(pairs, 1)]


@given(training_rows(), st.lists(st.tuples(texts(), texts()), min_size=1, max_size=6), st.sampled_from((1, 7, 1000)))
@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=50)
def test_blocks_find_what_one_comparison_finds(
    taught: list[TrainRow], asked: list[tuple[str, str]], block: int
) -> None:
    cases = suite(*(Case(str(n), prompt, (reference,)) for n, (prompt, reference) in enumerate(asked)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processes, "ITEMS_PER_BLOCK", block)
        assert compare(taught, [cases]) == compare_in_memory(taught, [cases])


def test_the_gene_tests_leak_the_same_in_two_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    taught = [row_as_it_is("train", number, row) for number, row in enumerate(read(GENES / "train.jsonl"), 1)]
    bank = [
        Case(str(number), f"{row['context']} {row['question']}", (row["answer"],), row["context"])
        for number, row in enumerate(read(GENES / "bank.jsonl"))
    ][:120]
    monkeypatch.setattr(leakage, "ALL_PAIRS", 10**6)  # above it, pairs are chosen, one way here and another way there
    expected = compare_in_memory(taught, [suite(*bank)])
    assert len(expected) > 5
    monkeypatch.setattr(processes, "ITEMS_PER_BLOCK", 50)
    assert compare(taught, [suite(*bank)], Looking(in_order=in_processes(2))) == expected


def in_processes(count: int) -> InOrder:
    return partial(in_order, processes=count)


@pytest.mark.parametrize("count", [1, 2])
def test_the_cases_are_indexed_once_here(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    built: list[int] = []
    build = survey.CaseIndex.__init__
    monkeypatch.setattr(survey.CaseIndex, "__init__", lambda *texts: (built.append(1), build(*texts))[1])
    monkeypatch.setattr(processes, "ITEMS_PER_BLOCK", 1)
    taught = rows(*["Where does it end?"] * (DONE_HERE + 1))
    assert compare(taught, [prompts("Where does it end?")], Looking(in_order=in_processes(count)))
    assert len(built) == 1


def test_an_interrupt_ends_the_workers_at_once() -> None:
    """Also while its traceback is held, which keeps the generator alive."""
    ended: list[str] = []

    def watched(build: Any, setup: Any, blocks: Iterable[Any]) -> Generator[Any, None, None]:
        try:
            yield from map(build(setup), blocks)
        finally:
            ended.append("all")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as held:
        compare(rows("some text"), [prompts("a question")], Looking(progress=interrupt, in_order=watched))
    assert held.value.__traceback__ is not None
    assert ended == ["all"]


def test_a_question_that_another_block_asks_is_a_question() -> None:
    """The answer of row 1 is the prompt of row 9, so both rows leak it."""
    question = "Where does the river end?"
    taught = [*rows(*("other text " * 9 for _ in range(7)), "no", question)]
    taught[0] = TrainRow("train.jsonl", 1, ("Say something.",), (question,))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processes, "ITEMS_PER_BLOCK", 1)
        assert [leak.train_row for leak in compare(taught, [prompts(question)])] == [1, 9]


class _Changing:
    """Rows that are others when they are read again."""

    def __init__(self) -> None:
        self.times = 0

    def __iter__(self) -> Iterator[TrainRow]:
        self.times += 1
        yield from rows("Where does the river end?" if self.times == 1 else "Something else.")


def test_rows_that_change_meanwhile_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"train\.jsonl: the rows changed while they were compared"):
        compare(_Changing(), [prompts("Where does the river end?")])


def test_what_a_block_tells_of_rows_without_shared_words_does_not_grow_with_their_length() -> None:
    read_block = survey._BlockReader(survey.CaseIndex([], []))  # pyright: ignore[reportPrivateUsage]
    short, long = (read_block(rows(*(f"{n} " * times for n in range(50)))) for times in (5, 500))
    assert len(short.digests) == len(long.digests) == 51 * survey.DIGEST + 49 * survey.DIGEST
    assert not short.shared
    assert not long.shared
