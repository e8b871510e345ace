"""How many of n requests must keep a limit that a share of all requests has to keep, and exact tests of that share.

An absolute limit is an acceptance plan, like a gate: of n requests, the share has to keep it. A ratio of two models
that answer the same requests is decided by the sign test: each pair keeps the limit or does not, and under the null
hypothesis the number that keep it is binomial, whatever the distribution of the times.

Source: W. J. Conover, Practical Nonparametric Statistics (1999), section 3.2 (quantile test) and 3.4 (sign test).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from tunegate.stats.binomial import binomial_tail

LEVEL = 0.05
"""The risk of each side of a decision by the sign test."""
_TINY = 1e-9  # 0.95 * 100 is not quite 95


def needed(p: float, n: int) -> int:
    """How many of n requests must keep a limit that `p` percent have to keep.

    >>> needed(95, 100), needed(99.9, 100)
    (95, 100)
    """
    return max(1, math.ceil(p * n / 100 - _TINY))


def fewest(p: float) -> int:
    """The fewest requests of which `p` percent leave room for a miss; 1 for 100 percent.

    >>> fewest(95), fewest(100)
    (20, 1)
    """
    return 1 if p >= 100 else math.ceil(100 / (100 - p) - _TINY)


def fewest_for_ratio(p: float) -> int:
    """The fewest pairs with which the sign test can show that `p` percent keep a limit; raises ValueError for 100.

    >>> fewest_for_ratio(50), fewest_for_ratio(95)
    (5, 59)
    """
    if not 0 < p < 100:
        raise ValueError(f"expected p above 0 and below 100, got {p}")
    return math.ceil(math.log(LEVEL) / math.log(p / 100) - _TINY)


def p_kept(within: int, n: int, p: float) -> float:
    """The chance that at least `within` of n keep the limit if only `p` percent of all do; small: more than p do."""
    return binomial_tail(within, n, p / 100)


def p_exceeded(within: int, n: int, p: float) -> float:
    """The chance that at most `within` of n keep the limit if `p` percent of all do; small: fewer than p do."""
    return binomial_tail(n - within, n, 1 - p / 100)


def quantile(values: Sequence[float], p: float) -> float:
    """The smallest value that `p` percent of the values do not exceed, so that it is one of them.

    >>> quantile([4, 1, 3, 2], 50)
    2
    """
    return sorted(values)[needed(p, len(values)) - 1]
