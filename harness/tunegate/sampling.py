"""Sampling plans: how many cases a gate draws, which counts accept, and what that says about the model.

Pure functions in closed form; no random numbers, no simulation. The tests hold every formula against scipy.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SinglePlan:
    """Draw `draw` cases; accept the model when at least `accept` of them pass (ISO 2859-1, single sampling)."""

    draw: int = 100
    accept: int = 90

    def __post_init__(self) -> None:
        if self.draw < 1 or not 0 < self.accept <= self.draw:
            raise ValueError(f"a plan needs 1 <= accept <= draw, got accept {self.accept} and draw {self.draw}")

    @property
    def allowed_misses(self) -> int:
        """The largest number of missed cases that still accepts."""
        return self.draw - self.accept

    def acceptance_probability(self, p: float) -> float:
        """Operating characteristic: the chance that a model which passes a case with probability `p` is accepted."""
        return binomial_tail(self.accept, self.draw, p)


def binomial_tail(k: int, n: int, p: float) -> float:
    """P(X >= k) for X ~ Binomial(n, p), to about 1e-12, or relative to that where it is small.

    Summed term by term from k away from the mean: there the terms fall, and soon add nothing.
    """
    if k <= 0:
        return 1.0
    if k > n or p <= 0.0:
        return 0.0
    if p >= 1.0:
        return 1.0
    if k > n * p:
        return min(1.0, math.fsum(_terms(k, n, p, 1)))
    return max(0.0, 1.0 - math.fsum(_terms(k - 1, n, p, -1)))


def _terms(start: int, n: int, p: float, step: int) -> Iterator[float]:
    """P(X = start), P(X = start + step), … until the terms, which fall, are too small to count."""
    log_p, log_q, log_n = math.log(p), math.log1p(-p), math.lgamma(n + 1)
    first = None
    i = start
    while 0 <= i <= n:
        term = math.exp(log_n - math.lgamma(i + 1) - math.lgamma(n - i + 1) + i * log_p + (n - i) * log_q)
        yield term
        first = term if first is None else first
        if term < first * 1e-20:
            return
        i += step


def exact_interval(passed: int, drawn: int, confidence: float = 0.95) -> tuple[float, float]:
    """Clopper-Pearson interval for the pass rate, both ends by bisection of the binomial tail.

    Source: C. J. Clopper, E. S. Pearson, Biometrika 26 (1934) 404-413. Returns (low, high), both within [0, 1].
    """
    if not 0 <= passed <= drawn or drawn < 1:
        raise ValueError(f"need 0 <= passed <= drawn and drawn >= 1, got {passed} of {drawn}")
    alpha = (1.0 - confidence) / 2.0
    low = 0.0 if passed == 0 else _solve(lambda p: binomial_tail(passed, drawn, p) - alpha)
    high = 1.0 if passed == drawn else _solve(lambda p: binomial_tail(passed + 1, drawn, p) - (1.0 - alpha))
    return low, high


def _solve(increasing: Callable[[float], float]) -> float:
    """The root in [0, 1] of an increasing function, to double precision."""
    low, high = 0.0, 1.0
    for _ in range(100):
        middle = (low + high) / 2.0
        if increasing(middle) < 0.0:
            low = middle
        else:
            high = middle
    return (low + high) / 2.0


def draw_order(ids: Iterable[str], seed: int) -> list[str]:
    """A permutation of the case ids that depends on the seed alone.

    Ids are ranked by SHA-256 of (seed, id). The first n of the order are a simple random sample without replacement,
    the next n a fresh one, on every platform and in whatever order the bank was written.
    """
    return sorted(ids, key=lambda case_id: hashlib.sha256(f"{seed}\x00{case_id}".encode()).digest())
