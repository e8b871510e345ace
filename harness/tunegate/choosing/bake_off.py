"""A bake-off: several models on the same cases, each in an ordinary gate, compared with each other case by case.

The best model is chosen from the same results, so every pair of models counts as a comparison when p-values are
adjusted (Holm), also pairs that are not shown; an interval is valid for all pairs at once (Bonferroni).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Literal

from tunegate.checks.outcome import Outcome, Verdict
from tunegate.models.metering import Cost
from tunegate.models.model_facts import ModelFacts
from tunegate.record.record import GateRecord
from tunegate.stats.holm import SHOWN_P_VALUE, holm
from tunegate.stats.paired import Interval, PairedCounts, paired_interval
from tunegate.verdicts.comparison import compare

Standing = Literal["best", "worse", "not shown worse", "not compared", "INVALID"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One model. If it could not be gated, `gate` is None and `fault` says why; `folder` is that of its record."""

    model: str
    folder: Path
    gate: GateRecord | None = None
    fault: str = ""
    facts: ModelFacts = field(default_factory=ModelFacts)
    cost: Cost | None = None

    @property
    def verdict(self) -> Verdict:
        return Verdict.INVALID if self.gate is None or self.fault else self.gate.verdict

    @property
    def reason(self) -> str:
        """Why there is no pass rate; empty if there is one."""
        if self.verdict is not Verdict.INVALID:
            return ""
        return self.fault or (self.gate.reason if self.gate else "")

    @property
    def rate(self) -> float:
        return self.gate.passed / (self.gate.asked or self.gate.drawn) if self.gate else 0.0


@dataclass(frozen=True, slots=True)
class AgainstBest:
    """A model compared with the best. `points` and `interval`: its pass rate minus the best's, in percentage points."""

    counts: PairedCounts
    points: float
    interval: Interval
    p_value: float
    p_holm: float


@dataclass(frozen=True, slots=True)
class Ranked:
    """An entry in its place. `against` is None for the best, and if there is nothing to compare."""

    entry: Entry
    standing: Standing
    against: AgainstBest | None = None


@dataclass(frozen=True, slots=True)
class BakeOff:
    """The models, the best first, those without a verdict last; `pairs` comparisons were made."""

    suite: str
    suite_sha256: str
    draw: int
    seed: int
    ranked: tuple[Ranked, ...]
    pairs: int

    @property
    def verdict(self) -> Verdict:
        """INVALID if a model has no verdict; whether a base model passes the gate does not matter."""
        faulty = any(one.standing == "INVALID" for one in self.ranked)
        return Verdict.INVALID if faulty else Verdict.PASS


def rank(entries: Sequence[Entry]) -> tuple[Ranked, ...]:
    """Sort by pass rate, the smaller model first if two are equal, and compare each with the best."""
    judged = sorted((one for one in entries if one.verdict is not Verdict.INVALID), key=_order)
    counts = {(i, j): _paired(judged[i], judged[j]) for i, j in combinations(range(len(judged)), 2)}
    compared = {pair: count for pair, count in counts.items() if count is not None}
    adjusted = holm({pair: count.p_value for pair, count in compared.items()})
    ranked = [
        Ranked(entry, "best") if i == 0 else _against(entry, i, compared, adjusted) for i, entry in enumerate(judged)
    ]
    return (*ranked, *(Ranked(one, "INVALID") for one in entries if one.verdict is Verdict.INVALID))


def _order(entry: Entry) -> tuple[float, float]:
    return -entry.rate, math.inf if entry.facts.size_bytes is None else entry.facts.size_bytes


def _paired(better: Entry, worse: Entry) -> PairedCounts | None:
    """The counts on the cases that both were asked: `lost` are those that only the better model passes."""
    first, second = _outcomes(better), _outcomes(worse)
    common = [case_id for case_id in first if case_id in second]
    return compare([first[i] for i in common], [second[i] for i in common]).counts


def _outcomes(entry: Entry) -> dict[str, Outcome]:
    return {outcome.case_id: outcome for outcome in entry.gate.outcomes} if entry.gate else {}


def _against(
    entry: Entry, i: int, compared: Mapping[tuple[int, int], PairedCounts], adjusted: Mapping[tuple[int, int], float]
) -> Ranked:
    counts = compared.get((0, i))
    if counts is None:
        return Ranked(entry, "not compared")
    low, high = paired_interval(counts.won, counts.lost, counts.n, 1.0 - 0.05 / len(compared))
    against = AgainstBest(counts, 0.0 - counts.drop, (100.0 * low, 100.0 * high), counts.p_value, adjusted[(0, i)])
    return Ranked(entry, "worse" if against.p_holm < SHOWN_P_VALUE else "not shown worse", against)
