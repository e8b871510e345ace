"""The sampling error of a figure that repeated cases would distort: random halves of the cases, none of them twice.

The usual bootstrap draws cases with replacement. A case drawn twice is a text that occurs twice, so it would make every
sample look less diverse than the draw. Halves drawn without replacement have the same variance for a mean: the half's
variance s²/(n/2) times the finite-population factor 1/2 is s²/n.

Sources: Politis, Romano and Wolf, "Subsampling" (1999); Bickel, Götze and van Zwet, "Resampling fewer than n
observations" (Statistica Sinica 7, 1997, 1-31).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from random import Random


def random_halves(units: Sequence[Sequence[int]], number: int, seed: int = 0) -> Iterator[list[int]]:
    """`number` random halves of the units (groups of indices that belong together), as sorted indices.

    Only `Random.random` is used, which gives the same numbers in every version of Python.
    """
    random = Random(seed)
    half = max(1, len(units) // 2)
    for _ in range(number):
        order = sorted(range(len(units)), key=lambda _: random.random())
        yield sorted(at for unit in order[:half] for at in units[unit])


def upper_limit(values: Sequence[float], risk: float) -> float:
    """The value that a share `risk` of all values exceeds at most, rounded up to the next of them.

    >>> upper_limit([0.1, 0.4, 0.2, 0.3], 0.25)
    0.4
    """
    ranked = sorted(values)
    return ranked[min(len(ranked), math.ceil((1 - risk) * (len(ranked) + 1))) - 1]


def interval_around(value: float, halves: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """An interval for a figure of all units from the same figure of random halves.

    A half has fewer texts, so its figure is another on the average: only the spread of the halves, as a share of their
    mean, is carried over to the figure of all units.

    >>> interval_around(0.5, [0.6] * 20)
    (0.5, 0.5)
    """
    mean = sum(halves) / len(halves)
    if not mean:
        return value, value
    risk = (1 - level) / 2
    high = upper_limit(halves, risk)
    low = -upper_limit([-one for one in halves], risk)
    return value * low / mean, value * high / mean
