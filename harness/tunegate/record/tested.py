"""What the gates of a model tested of its behaviour towards people, and what they did not: values, from a record alone.

The areas are those that a model card is asked for: performance by group (Mitchell and others, Model Cards, FAT* 2019),
and bias, toxicity and memorised text (Liang and others, HELM, TMLR 2023). Nothing here is a verdict of its own: these
are the counts of the gates that ran. `tested_words` has the sentences.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tunegate.checks.outcome import Outcome, Verdict
from tunegate.record.record import AttemptRecord, GateRecord, RunRecord
from tunegate.stats.paired import PairedCounts
from tunegate.verdicts.comparison import GroupGap, group_gap
from tunegate.verdicts.grouped import share_interval
from tunegate.verdicts.slices import SliceRule, slice_of
from tunegate.verdicts.terms import MEASURED, PAIRED, compared

Area = Literal[
    "swapped", "groups", "slices", "stereotypes", "pii", "unsupported", "refusal", "toxicity", "harm", "memory"
]
AREAS: tuple[Area, ...] = (
    "swapped", "groups", "slices", "stereotypes", "pii", "unsupported", "refusal", "toxicity", "harm", "memory",
)  # fmt: skip
"""In the order in which they are shown. No check that ships tests the last three."""
OF_CATEGORY: Mapping[str, Area] = {
    "pii": "pii",
    "unsupported_number": "unsupported",
    "unsupported_entity": "unsupported",
    "refusal": "refusal",
}
"""Error category to area."""
OPEN_CHECKS = ("judge", "python", "evaluate", "ragas", "imported")
"""Checks whose subject only their options or their code say."""
DECIDED = (Verdict.PASS, Verdict.FAIL)


@dataclass(frozen=True, slots=True)
class Counted:
    """A share of a draw's judged cases: changed answers, answers with an error, pairs with the stereotype likelier.

    `of` is what was counted: an error category, or the tag of a part of the pairs; empty for all cases of the area.
    `interval` is 95 %, wider where several cases are of one group. `cap` is how many cases may show it.
    """

    area: Area
    gate: str
    of: str
    count: int
    cases: int
    interval: tuple[float, float]
    cap: int | None = None


@dataclass(frozen=True, slots=True)
class Minimum:
    """A kind of case that has a minimum, and how many of its cases passed."""

    gate: str
    tag: str
    passed: int
    cases: int
    min: float
    area: Area = "slices"


@dataclass(frozen=True, slots=True)
class Groups:
    """Groups of cases whose pass rates were compared."""

    gate: str
    gap: GroupGap
    area: Area = "groups"


@dataclass(frozen=True, slots=True)
class Moved:
    """The pairs of an earlier model and this one; in those that are `lost`, only this model prefers the stereotype."""

    gate: str
    pairs: PairedCounts
    area: Area = "stereotypes"


Evidence = Counted | Minimum | Groups | Moved


@dataclass(frozen=True, slots=True)
class AreasTested:
    """What the last gated model of a run was tested for. `draws` names its draws; `open_checks` are those of which the
    record does not say what they test."""

    draws: tuple[str, ...]
    evidence: tuple[Evidence, ...]
    open_checks: tuple[str, ...]

    @property
    def areas(self) -> tuple[Area, ...]:
        """The areas with evidence."""
        return tuple(area for area in AREAS if any(one.area == area for one in self.evidence))

    @property
    def untested(self) -> tuple[Area, ...]:
        """The areas without evidence."""
        return tuple(area for area in AREAS if area not in self.areas)


def areas_tested(run: RunRecord) -> AreasTested:
    """What the draws of a run's last gated attempt say, or those of a gate that was run alone.

    Earlier attempts and stages had other weights, so they say nothing of this model. Draws under way are left out.

    Example:
        >>> from pathlib import Path
        >>> areas_tested(RunRecord(Path("run"))).areas
        ()
    """
    draws = [gate for gate in _draws(run) if gate.decided and gate.purpose not in MEASURED]
    evidence = [one for gate in draws for one in _evidence(run, gate)]
    evidence.sort(key=lambda one: AREAS.index(one.area))
    names = dict.fromkeys(_kind(name) for gate in draws for name in gate.checks)
    return AreasTested(
        tuple(gate.key for gate in draws), tuple(evidence), tuple(name for name in names if name in OPEN_CHECKS)
    )


def _draws(run: RunRecord) -> Sequence[GateRecord]:
    if not run.stages:
        return list(run.gates.values())
    role = "step" if any(stage.role == "step" for stage in run.stages.values()) else "scorer"
    attempts = [attempt for stage in run.stages.values() if stage.role == role for attempt in stage.attempts.values()]
    return list(next((one.gates.values() for one in reversed(attempts) if _is_gated(one)), ()))


def _is_gated(attempt: AttemptRecord) -> bool:
    return any(gate.decided for gate in attempt.gates.values())


def _evidence(run: RunRecord, gate: GateRecord) -> Iterator[Evidence]:
    kinds = set(map(_kind, gate.checks))
    if "counterfactual" in kinds:
        yield _counted("swapped", gate, "counterfactual", lambda outcome: _failed(outcome, "counterfactual"))
    if "preference_bias" in kinds:
        yield from _preferences(run, gate)
    yield from _errors(run, gate)
    if not gate.spared:
        yield from _parts(gate)


def _preferences(run: RunRecord, gate: GateRecord) -> Iterator[Evidence]:
    """How often the stereotype is likelier, overall and by tag; with an earlier model, how often it was."""
    name = "preference_bias"
    tags = sorted({tag for outcome in gate.outcomes for tag in outcome.tags})
    for tag in ("", *(tags if len(tags) > 1 else ())):
        yield _counted("stereotypes", gate, name, lambda outcome: _failed(outcome, name), tag)
    if gate.purpose in PAIRED and len(gate.checks) == 1:  # the comparison is of cases, under all their checks
        counts = compared(gate.registered, gate.outcomes, run.held_against(gate)).counts
        if counts is not None:
            yield Moved(gate.key, counts)


def _errors(run: RunRecord, gate: GateRecord) -> Iterator[Counted]:
    """How many answers show each category that the suite looks for; older records do not say which these are."""
    suites: Mapping[str, Any] = run.start.get("suites") or {}
    facts = suites.get(gate.gate)  # only a hash in the oldest records
    known: Mapping[str, Any] = facts if isinstance(facts, Mapping) else {}  # pyright: ignore[reportUnknownVariableType]
    looked_for: Sequence[str] = known.get("error_categories", ())
    for category, area in OF_CATEGORY.items():
        if category in looked_for:
            yield _counted(area, gate, "errors", lambda one, name=category: name in one.error_categories, of=category)


def _parts(gate: GateRecord) -> Iterator[Evidence]:
    """The minima and the gap of a draw in which every case was asked."""
    gap: Mapping[str, Any] | None = gate.terms.get("gap")
    minima: Mapping[str, Mapping[str, Any]] = gate.terms.get("slices") or {}
    if gap:
        yield Groups(gate.key, group_gap(gate.outcomes, gap["between"], gap["max"], gap["at_least"]))
    for tag, rule in minima.items():
        part = slice_of(gate.outcomes, tag)
        yield Minimum(gate.key, tag, part.passed, part.cases, SliceRule(**rule).min)


def _counted(
    area: Area, gate: GateRecord, check: str, holds: Callable[[Outcome], bool], tag: str = "", of: str = ""
) -> Counted:
    judged = [one for one in gate.outcomes if (not tag or tag in one.tags) and _judged(one, check)]
    interval, cap = share_interval(judged, holds), gate.terms.get("max_errors", {}).get(of)
    count = sum(map(holds, judged))
    return Counted(area, gate.key, of or tag, count, len(judged), interval, cap)


def _judged(outcome: Outcome, check: str) -> bool:
    return any(_kind(one.check) == check and one.verdict in DECIDED for one in outcome.findings)


def _failed(outcome: Outcome, check: str) -> bool:
    return any(_kind(one.check) == check and one.verdict is Verdict.FAIL for one in outcome.findings)


def _kind(known_as: str) -> str:
    """The check of a name in a suite: `regex` for `regex#2`."""
    return known_as.partition("#")[0]
