"""How long the banks of a pipeline last: no question is asked twice in a run, by whichever suite, stage or attempt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from tunegate.cases.bank import Part
from tunegate.cases.case import question_of
from tunegate.pipeline.odds import budget
from tunegate.pipeline.pipeline import Pipeline, Stage
from tunegate.stats.sampling import DrawPlan

PARTS: tuple[Part, ...] = get_args(Part)


@dataclass(frozen=True, slots=True)
class Supply:
    """For how many attempts of a stage fresh cases are left, at most those that it may make: if every stage before it
    passes at its first attempt (`at_best`), and if each uses all its attempts (`at_worst`)."""

    at_best: int
    at_worst: int


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
        at_best, _ = _attempts(pipeline, stage, questions, best, most)
        at_worst, worst = _attempts(pipeline, stage, questions, worst, most)
        _, best = _attempts(pipeline, stage, questions, best, 1)
        found[stage.name] = Supply(at_best, at_worst)
    return found


def _attempts(
    pipeline: Pipeline, stage: Stage, questions: Questions, used: frozenset[str], most: int
) -> tuple[int, frozenset[str]]:
    """How many attempts of a stage find fresh cases, up to `most`, and what is used then."""
    for number in range(1, most + 1):
        after = used
        for gate, part, plan in _draws(pipeline, stage, number):
            fresh = [one for one in questions[gate, part] if one not in after][: plan.draw]
            measured = stage.role == "baseline" or pipeline.suites[gate].rule.reuse
            if len(fresh) < plan.draw and not measured:
                return number - 1, used
            after |= frozenset(fresh)
        used = after
    return most, used


def _draws(pipeline: Pipeline, stage: Stage, number: int) -> Iterator[tuple[str, Part, DrawPlan]]:
    """The draws of an attempt: of gates that share one, the largest."""
    gates = pipeline.gates(stage)
    for name in gates:
        alike = pipeline.sharing_a_draw(stage, name)
        if alike[0] != name:
            continue
        yield name, "working", _largest([gates[one].first.plan for one in alike])
        confirms = [terms.plan for one in alike if (terms := gates[one].confirmation(number)) is not None]
        if confirms:
            yield name, "sealed", _largest(confirms)


def _largest(plans: Sequence[DrawPlan]) -> DrawPlan:
    return max(plans, key=lambda plan: plan.draw)
