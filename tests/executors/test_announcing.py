"""What a model is told before a draw is what it is asked in it: call by call, in order, and nothing afterwards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.checks.test_checks import Scripted
from tests.gates.test_runner import make_suite, right, run
from tunegate.cases.case import Case
from tunegate.checks.outcome import Finding, Verdict
from tunegate.data.training_data import Example
from tunegate.generation.choose import Filters
from tunegate.generation.generate import Request, generate
from tunegate.models.blocks import Block
from tunegate.models.metering import MeteredModel
from tunegate.models.model import GenerationSettings, Response
from tunegate.models.shared_answers import SharedAnswers
from tunegate.models.with_prompt import OwnPrompt, with_prompt
from tunegate.progress import no_progress
from tunegate.training.own_answers import ask_rows


class Told:
    """A model that remembers what it was told and what it was asked."""

    name, dtype, block_size = "told", None, 4

    def __init__(self, sha256: str | None = "weights") -> None:
        self.sha256 = sha256
        self.told: list[list[str]] = []
        self.asked: list[str] = []

    def expect(self, blocks: Iterable[Block]) -> None:
        self.told.append([block.id for block in blocks])

    def end_draw(self) -> None:
        self.told.append([])

    def generate(self, cases: Sequence[Case], settings: GenerationSettings) -> Iterator[tuple[int, Response]]:
        self.asked.append(Block("generate", tuple(cases), settings).id)
        yield from ((index, Response(case.id.partition(" ")[0], "stop")) for index, case in enumerate(cases))

    def score_choices(self, cases: Sequence[Case], settings: GenerationSettings) -> Iterator[tuple[int, Response]]:
        self.asked.append(Block("score_choices", tuple(cases), settings).id)
        yield from ((index, Response(case.id, "stop")) for index, case in enumerate(cases))


def wrong(samples: Sequence[Any]) -> list[Finding]:
    return [Finding("x", Verdict.FAIL) for _ in samples]


def as_it_is(model: Told) -> Any:
    return model


def around(model: Told) -> Any:
    return MeteredModel(SharedAnswers(with_prompt(model, OwnPrompt("p", system="Be brief.", template="Q: {prompt}"))))


@pytest.mark.parametrize("wrap", [as_it_is, around])
@pytest.mark.parametrize("samples", [1, 3])
def test_it_is_asked_what_it_was_told(tmp_path: Path, wrap: Any, samples: int) -> None:
    suite, model = make_suite(), Told()
    suite = replace(suite, settings=replace(suite.settings, samples=samples))
    run(tmp_path, suite, wrap(model))
    assert len(model.asked) == 3  # ten cases in blocks of four
    assert model.told == [model.asked, []]


def test_a_draw_that_stops_early_takes_the_rest_back(tmp_path: Path) -> None:
    model = Told()
    run(tmp_path, make_suite(check=Scripted(wrong)), model, curtail=True)
    first, last = model.told
    assert last == []
    assert first[: len(model.asked)] == model.asked
    assert len(model.asked) < len(first)


@pytest.mark.parametrize("samples", [1, 3])
def test_own_answers_are_announced(samples: int) -> None:
    rows = [Example(number, f"say {number}", {"completion": "x"}) for number in range(10)]
    model = Told()
    ask_rows(make_suite(check=Scripted(right)), model, rows, lambda done, n: None, samples)
    assert len(model.asked) == 3
    assert model.told == [model.asked]


def test_what_is_generated_is_announced(tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("x")
    cases = [Case(f"c{n}", f"{n}?") for n in range(10)]
    for count, out in ((3, "one"), (0, "one"), (3, "other")):
        model = Told()
        generate(Request(model, prompts, cases, GenerationSettings(), Filters(), tmp_path / out), no_progress)
        assert len(model.asked) == count
        assert model.told == [model.asked]


def test_questions_that_may_get_another_answer_are_announced_to_nobody(tmp_path: Path) -> None:
    model = Told(sha256=None)
    run(tmp_path, make_suite(check=Scripted(right)), model)
    assert model.asked
    assert model.told == [[]]
