"""What further requirements on a draw cost a good model: the chance that it fails a slice or a gap by bad luck. Exact.

The model is equally good everywhere, and the slices and groups share no case.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from tunegate.stats.binomial import binomial_tail

_TINY = 1e-9  # 0.7 * 10 is not quite 7


def slice_failed(share: float, size: int, p: float) -> float:
    """The chance that a model of pass rate `p` passes fewer than `share` of `size` cases.

    Example:
        >>> from tunegate.stats.requirements import any_failed, slice_failed
        >>> round(slice_failed(0.9, 10, 0.95), 3), round(any_failed([slice_failed(0.9, 10, 0.95)] * 5), 2)
        (0.086, 0.36)
    """
    return 1.0 - binomial_tail(math.ceil(share * size - _TINY), size, p)


def any_failed(chances: Sequence[float]) -> float:
    """The chance that at least one of independent requirements fails."""
    return 1.0 - math.prod(1.0 - chance for chance in chances)


def gap_failed(max_gap: float, groups: int, size: int, p: float) -> float:
    """The chance that `groups` groups of `size` cases lie more than `max_gap` percentage points apart.

    The distribution of the range of independent counts: W. Feller, An Introduction to Probability Theory and Its
    Applications, volume 1 (1968), chapter IX, problem 3.
    """
    allowed = math.floor(max_gap / 100.0 * size + _TINY)
    at_least = [binomial_tail(k, size, p) for k in range(size + allowed + 3)]

    def all_within(low: int, high: int) -> float:
        return max(0.0, at_least[low] - at_least[high + 1]) ** groups if low <= high else 0.0

    within = math.fsum(all_within(m, m + allowed) - all_within(m + 1, m + allowed) for m in range(size + 1))
    return min(1.0, max(0.0, 1.0 - within))
