"""Binomial and hypergeometric distributions to double precision, without scipy: the core install stays small."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator


def binomial_tail(k: int, n: int, p: float) -> float:
    """P(X >= k) for X ~ Binomial(n, p), with an error of about 1e-12, relative where the probability is small.

    Summed term by term from k away from the mean: there the terms decrease and soon add nothing.
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
    """P(X = start), P(X = start + step), … until the decreasing terms are too small to count."""
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


def hypergeometric(n: int, size: int, passing: int) -> dict[int, float]:
    """P(X = k) by k: X is the number of passing items among n, drawn without replacement from `size` items of which
    `passing` pass. Values of k less likely than 1e-30 times the likeliest are omitted.

    Each term is computed from its neighbour, from the likeliest outwards; the sum is 1.
    """
    mode = (n + 1) * (passing + 1) // (size + 2)
    terms = {mode: 1.0}
    for step in (1, -1):
        k, term = mode, 1.0
        while True:
            low = k if step > 0 else k - 1  # P(low + 1) / P(low), or its inverse
            up, down = (passing - low) * (n - low), (low + 1) * (size - passing - n + low + 1)
            term = term * up / down if step > 0 else term * down / up
            if term < 1e-30:
                break
            k += step
            terms[k] = term
    total = math.fsum(terms.values())
    return {k: term / total for k, term in terms.items()}


def solve_increasing(increasing: Callable[[float], float], steps: int = 100) -> float:
    """The root in [0, 1] of an increasing function, by bisection; 100 steps are double precision."""
    low, high = 0.0, 1.0
    for _ in range(steps):
        middle = (low + high) / 2.0
        if increasing(middle) < 0.0:
            low = middle
        else:
            high = middle
    return (low + high) / 2.0
