"""Scores of one check, counted into bins for a histogram."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tunegate.checks.outcome import Finding, Verdict

BINS = 20
MAX_WHOLE_BINS = 30
LARGEST = 1e15


@dataclass(frozen=True, slots=True)
class Bin:
    """The cases with a score in [low, high); the last bin includes its upper end."""

    low: float
    high: float
    passed: int
    missed: int


@dataclass(frozen=True, slots=True)
class Histogram:
    """Bins of equal width, left to right, and the cut-offs that decided the cases."""

    bins: tuple[Bin, ...]
    cutoffs: tuple[float, ...]

    @property
    def low(self) -> float:
        return self.bins[0].low

    @property
    def high(self) -> float:
        return self.bins[-1].high


def histogram(findings: Sequence[Finding]) -> Histogram | None:
    """Count the numeric scores of one check; None if there is nothing to draw.

    True and false, labels, and counts without a cut-off have no histogram.
    """
    scored = [(score, finding.verdict) for finding in findings if (score := number(finding.value)) is not None]
    cutoffs = sorted({cutoff for finding in findings if (cutoff := number(finding.cutoff)) is not None})
    if not scored or (not cutoffs and all(score.is_integer() for score, _ in scored)):
        return None
    edges = _edges([score for score, _ in scored] + cutoffs)
    counts = [[0, 0] for _ in edges[1:]]
    width = edges[1] - edges[0]
    for score, verdict in scored:
        index = min(max(int((score - edges[0]) / width + 1e-9), 0), len(counts) - 1)
        counts[index][verdict is not Verdict.PASS] += 1
    bins = tuple(Bin(edges[i], edges[i + 1], passed, missed) for i, (passed, missed) in enumerate(counts))
    return Histogram(bins, tuple(cutoffs))


def number(value: object) -> float | None:
    """A number that can be drawn, as a float; None for anything else: true and false, NaN, numbers above LARGEST."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= LARGEST:
        return None
    return float(value)


def _edges(values: Sequence[float]) -> list[float]:
    """Bin edges: one bin per whole number for small whole scores (a judge's 1 to 5); otherwise 20."""
    low, high = min(values), max(values)
    if all(value.is_integer() for value in values) and high - low < MAX_WHOLE_BINS and high > 1:
        return [low - 0.5 + step for step in range(int(high - low) + 2)]
    if low >= 0.0 and high <= 1.0:
        low, high = 0.0, 1.0
    else:
        step = 10.0 ** math.floor(math.log10(max(high - low, abs(high), 1e-9)))
        low, high = math.floor(low / step) * step, math.ceil(high / step) * step
        high = high if high > low else low + step
    return [low + (high - low) * index / BINS for index in range(BINS + 1)]
