"""A pass rate weighted by the shares that kinds of cases have elsewhere, such as in production, and its interval.

Source: X. Yan, X. G. Su, Statistics in Biopharmaceutical Research 2 (2010) 329-335: the limits of each stratum at the
confidence at which their weighted sum has the wanted one. They take Wilson's limits, which cover too rarely near 1 (.88
to .95 where .95 is wanted); here they are those of Clopper and Pearson (`tests/stats/test_stratified.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

from tunegate.stats.beta import effective_interval

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Stratum:
    """A kind of case: how many of its cases passed, and its share of the whole. `worth` is how many independent cases
    these are, if they are fewer."""

    passed: int
    cases: int
    share: float
    worth: float | None = None

    @property
    def size(self) -> float:
        return float(self.cases) if self.worth is None else self.worth


@dataclass(frozen=True, slots=True)
class StratifiedRate:
    """A weighted pass rate with its interval."""

    rate: float
    interval: Interval


def stratified_rate(strata: Sequence[Stratum], confidence: float = 0.95) -> StratifiedRate | None:
    """The pass rate for the shares of the strata, which sum to 1; None if a stratum has no case.

    Example:
        >>> from tunegate.stats.stratified import Stratum, stratified_rate
        >>> found = stratified_rate([Stratum(45, 50, 0.2), Stratum(35, 50, 0.8)])
        >>> round(found.rate, 2), [round(end, 2) for end in found.interval]
        (0.74, [0.62, 0.84])
    """
    if not strata or any(one.cases == 0 for one in strata):
        return None
    z = NormalDist().inv_cdf((1.0 + confidence) / 2.0)
    errors = [one.share * math.sqrt(_variance(one, z)) for one in strata]
    reach = z * math.sqrt(math.fsum(error**2 for error in errors)) / math.fsum(errors)
    each = 2.0 * NormalDist().cdf(reach) - 1.0
    ends = [effective_interval(one.passed / one.cases, one.size, each) for one in strata]
    low, high = (math.fsum(one.share * end[at] for one, end in zip(strata, ends, strict=True)) for at in (0, 1))
    return StratifiedRate(math.fsum(one.share * one.passed / one.cases for one in strata), (low, high))


def _variance(one: Stratum, z: float) -> float:
    """Of a stratum's pass rate, moved towards one half as by Wilson and by Agresti and Coull, so that it is never 0."""
    n = one.size + z * z
    rate = (one.passed / one.cases * one.size + z * z / 2.0) / n
    return rate * (1.0 - rate) / n
