"""What asking a model some recorded cases again shows: how many of its recorded passes it does not give.

Honest machines differ in a few answers (docs/determinism.md), so a few lost passes show nothing. The record is
contradicted when the share of all recorded cases that passed then and miss now is above LARGEST_LOSS for certain: when
Clopper's and Pearson's one-sided lower bound at CONFIDENCE is above it. The cases are drawn without replacement from
the record, for which this bound, that of a draw with replacement, is on the safe side.

Source: C. J. Clopper, E. S. Pearson, Biometrika 26 (1934) 404-413.
"""

from __future__ import annotations

from tunegate.stats.beta import beta_quantile
from tunegate.stats.binomial import binomial_tail

LARGEST_LOSS = 0.05
"""The share of recorded cases that may pass on record and miss now, because machines differ."""
CONFIDENCE = 0.95
FEWEST_ASKED = 2
"""Of one case alone, the lower bound is never above LARGEST_LOSS: it cannot contradict a record."""


def lower_bound(lost: int, asked: int) -> float:
    """The one-sided lower bound of the share of lost passes, from `lost` of `asked` cases.

    Example:
        >>> round(lower_bound(4, 20), 4), round(lower_bound(3, 20), 4)
        (0.0714, 0.0422)
    """
    return beta_quantile(1.0 - CONFIDENCE, lost, asked - lost + 1.0) if lost else 0.0


def contradicts(lost: int, asked: int) -> bool:
    """Whether this number of lost passes contradicts a record."""
    return lower_bound(lost, asked) > LARGEST_LOSS


def fewest_lost(asked: int) -> int:
    """The fewest lost passes that contradict a record, for `asked` cases, FEWEST_ASKED or more.

    Example:
        >>> [fewest_lost(n) for n in (2, 20, 100)]
        [2, 4, 10]
    """
    return next(lost for lost in range(1, asked + 1) if contradicts(lost, asked))


def chance_of_contradiction(lost: float, asked: int) -> float:
    """How likely `asked` cases contradict a record of which the model loses the share `lost`.

    A model that is right 60 % of the time, behind a record in which every case passed, loses 0.4 of it.

    Example:
        >>> round(chance_of_contradiction(0.4, 20), 3)
        0.984
    """
    return binomial_tail(fewest_lost(asked), asked, lost)
