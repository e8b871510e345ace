"""How long the banks of a pipeline last: no question is asked twice in a run, by whichever suite, stage or attempt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from tunegate.cases.bank import Part
from tunegate.cases.case import question_of
from tunegate.pipeline.odds import budget
from tunegate.pipeline.pipeline import Pipeline, Stage

PARTS: tuple[Part, ...] = get_args(Part)


@dataclass(frozen=True, slots=True)
class Supply:
    """For how many attempts of a stage fresh cases are left, at most those that it may make: if every stage before it
    passes at its first attempt (`at_best`), and if each uses all its attempts (`at_worst`).

    `first_short` is the gate, or the comparison, that ends it at best, and the key under which its suite may allow
    `reuse`; None if all attempts find cases.
    """

    at_best: int
    at_worst: int
    first_short: tuple[str, str] | None = None


Questions = Mapping[tuple[str, Part], Sequence[str]]
"""The questions of each part of each suite's bank."""


def supply_of(pipeline: Pipeline) -> dict[str, Supply]:
    """The supply of every stage, if every draw asks all its cases; draws that stop early leave more."""
    questions: Questions = {
        (name, part): list(dict.fromkeys(map(question_of, suite.bank.part(part))))
        for name, suite in pipeline.suites.items()
        for part in PARTS
    }
    best, worst = frozenset[str](), frozenset[str]()
    found: dict[str, Supply] = {}
    for stage in pipeline.stages:
        most = budget(stage)
        at_best, _, short = _attempts(pipeline, stage, questions, best, most)
        at_worst, worst, _ = _attempts(pipeline, stage, questions, worst, most)
        _, best, _ = _attempts(pipeline, stage, questions, best, 1)
        found[stage.name] = Supply(at_best, at_worst, None if short is None else (short.label, short.key))
    return found


def _attempts(
    pipeline: Pipeline, stage: Stage, questions: Questions, used: frozenset[str], most: int
) -> tuple[int, frozenset[str], _Draw | None]:
    """How many attempts of a stage find fresh cases, up to `most`, what is used then, and the draw that finds none."""
    for number in range(1, most + 1):
        after = used
        for draw in _draws(pipeline, stage, number):
            fresh = [one for one in questions[draw.gate, draw.part] if one not in after][: draw.cases]
            if len(fresh) < draw.cases and not draw.reuse:
                return number - 1, used, draw
            after |= frozenset(fresh)
        used = after
    return most, used, None


@dataclass(frozen=True, slots=True)
class _Draw:
    gate: str
    part: Part
    cases: int
    reuse: bool
    compared: bool = False

    @property
    def label(self) -> str:
        return f"the comparison on {self.gate!r}" if self.compared else f"gate {self.gate!r}"

    @property
    def key(self) -> str:
        return "retention" if self.compared else "plan"


def _draws(pipeline: Pipeline, stage: Stage, number: int) -> Iterator[_Draw]:
    """The draws of an attempt. Of gates that share one, the largest; a comparison also asks the cases of the attempt's
    own gates on its bank."""
    gates = pipeline.gates(stage)
    own: dict[str, int] = {}
    for name in gates:
        alike = pipeline.sharing_a_draw(stage, name)
        if alike[0] != name:
            continue
        suite, largest = pipeline.suites[name], max(gates[one].first.plan.draw for one in alike)
        own[suite.asks], reuse = largest, stage.role == "baseline" or suite.rule.reuse
        yield _Draw(name, "working", largest, reuse)
        confirms = [terms.plan for one in alike if (terms := gates[one].confirmation(number)) is not None]
        if confirms:
            yield _Draw(name, "sealed", max(plan.draw for plan in confirms), reuse)
    for compared in pipeline.paired(stage).values():
        for name, kept in compared.items():
            asks = pipeline.suites[name].asks
            yield _Draw(name, "working", max(0, kept.draw - own.get(asks, 0)), kept.again, True)
            own[asks] = max(kept.draw, own.get(asks, 0))
