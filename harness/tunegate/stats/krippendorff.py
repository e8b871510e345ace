"""Krippendorff's alpha for named verdicts: agreement beyond chance of any number of reviewers, some verdicts missing.

Source: K. Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), section C (nominal data, any number of
observers, missing data). The interval is a percentile bootstrap over the units (B. Efron, R. J. Tibshirani, An
Introduction to the Bootstrap, 1993, chapter 13).
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Hashable, Sequence

RESAMPLES = 1000


def alpha(units: Sequence[Sequence[Hashable]]) -> float | None:
    """Alpha of the verdicts on each unit; a unit with fewer than two verdicts is left out.

    None if nothing can be compared, or if all verdicts are the same: then agreement says nothing.

    Example:
        >>> from tunegate.stats.krippendorff import alpha
        >>> round(alpha([["yes", "yes"], ["no", "no", "no"], ["yes", "no"], ["yes"]]), 3)
        0.5
    """
    return _alpha(_units(units))


def alpha_interval(units: Sequence[Sequence[Hashable]], confidence: float = 0.95, seed: int = 0) -> tuple[float, float]:
    """The interval of alpha, by drawing the units again with replacement; (-1, 1) if alpha is not defined.

    A resample in which all verdicts are the same has no alpha; it counts as no agreement beyond chance (0).
    """
    paired = _units(units)
    if _alpha(paired) is None:
        return -1.0, 1.0
    rng = random.Random(seed)
    found = sorted(_alpha(rng.choices(paired, k=len(paired))) or 0.0 for _ in range(RESAMPLES))
    tail = round((1.0 - confidence) / 2.0 * RESAMPLES)
    return found[tail], found[-1 - tail]


_Unit = tuple[float, tuple[int, ...]]
"""The disagreement within a unit, and how often it got each verdict."""


def _units(units: Sequence[Sequence[Hashable]]) -> list[_Unit]:
    verdicts = list(dict.fromkeys(verdict for unit in units for verdict in unit))
    counted = [tuple(map(Counter(unit).__getitem__, verdicts)) for unit in units if len(unit) > 1]
    return [((sum(unit) ** 2 - sum(n * n for n in unit)) / (sum(unit) - 1), unit) for unit in counted]


def _alpha(units: Sequence[_Unit]) -> float | None:
    totals = [sum(column) for column in zip(*(counts for _, counts in units), strict=True)]
    n = sum(totals)
    expected = n * n - sum(count * count for count in totals)
    observed = sum(disagreement for disagreement, _ in units)
    return 1.0 - (n - 1) * observed / expected if expected else None
