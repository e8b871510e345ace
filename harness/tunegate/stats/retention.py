"""A retention test as a plan: how many cases, and how large a net loss, keep two risks. Exact, without scipy.

Both models answer the same cases. A case is lost (only the earlier model passed it), won (only the new one did), or the
same. With a true drop d and a share s of differing cases, a case is lost with (s + d) / 2 and won with (s - d) / 2, and
the numbers of lost and won cases are multinomial; the net loss is lost minus won.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from tunegate.exceptions import ConfigError
from tunegate.stats.plans import any_of, per_attempt

STEP = 5
"""Solved draws are multiples of this: the smallest draw of all would be a few cases smaller and read like a typing
error."""
MOST_CASES = 4000
"""The largest draw that is tried."""
DIFFER = 0.1
"""The assumed share of cases on which two models differ, where nothing is said."""
_TINY = 1e-9  # 0.7 * 100 is not quite 70
_NOTHING = 1e-20
"""Chances below this are dropped from the ends of a distribution."""


@dataclass(frozen=True, slots=True)
class RetentionRisk:
    """The allowed risks of a retention test: `consumer`, the chance that a model that lost the whole margin gets
    through any attempt, and `producer`, the chance that a model that lost nothing fails one attempt.

    `differ` is the largest share of cases on which the two models are expected to differ.
    """

    consumer: float = 0.05
    producer: float = 0.05
    differ: float = DIFFER


@dataclass(frozen=True, slots=True)
class NetLoss:
    """The net loss on `cases` cases, exactly: `chances[i]` is that of `low + i`."""

    cases: int
    low: int
    chances: Sequence[float]

    def at_most(self, net_loss: int) -> float:
        """The chance of at most this net loss."""
        return min(1.0, math.fsum(self.chances[: max(0, net_loss - self.low + 1)]))

    def above(self, net_loss: int) -> float:
        """The chance of more than this net loss; accurate where it is small."""
        return min(1.0, math.fsum(self.chances[max(0, net_loss - self.low + 1) :]))


def net_loss_of(cases: int, drop: float, differ: float) -> NetLoss:
    """The net loss of a model that truly lost `drop` points, where the models differ on a share `differ` of cases.

    Raises ValueError unless `differ` is at least `drop` / 100 and at most 1.
    """
    lose, win = _shares(drop, differ)
    return next(loss for loss in _growing(lose, win, 1) if loss.cases == cases)


def largest_allowed(cases: int, max_drop: float) -> int:
    """The largest net loss that is not more than `max_drop` points of the cases."""
    return math.floor(max_drop * cases / 100.0 + _TINY)


def gets_through(cases: int, net_loss: int, drop: float, differ: float, attempts: int = 1) -> float:
    """The chance that a model that truly lost `drop` points has at most this net loss in at least one of several
    attempts, each on fresh cases."""
    return any_of([net_loss_of(cases, drop, differ).at_most(net_loss)] * attempts)


def fails_although_equal(cases: int, net_loss: int, differ: float) -> float:
    """The chance that a model that lost nothing has a larger net loss than this, in one attempt."""
    return net_loss_of(cases, 0.0, differ).above(net_loss)


def solve_retention(margin: float, risk: RetentionRisk, attempts: int) -> tuple[int, int]:
    """The smallest draw, a multiple of `STEP`, and its largest net loss that keep both risks over all attempts.

    `margin` in percentage points. Raises ConfigError where no draw of up to `MOST_CASES` cases does.
    """
    if not 0.0 < margin <= 100.0 * risk.differ + _TINY:
        raise ConfigError(
            f"`differ` ({risk.differ:g}) must be at least `max_drop` / 100 ({margin / 100.0:g}), and `max_drop` above "
            "0: a model that lost so much differs on at least as many cases; set `differ` higher"
        )
    limit = per_attempt(risk.consumer, attempts)
    bad, equal = (_growing(*_shares(drop, risk.differ), STEP) for drop in (margin, 0.0))
    for lossy, fair in zip(bad, equal, strict=True):
        net_loss = lossy.low + bisect_right(list(accumulate(lossy.chances)), limit) - 1
        if net_loss >= 0 and fair.above(net_loss) <= risk.producer:
            return lossy.cases, net_loss
        if lossy.cases >= MOST_CASES:
            break
    raise ConfigError(
        f"no draw of up to {MOST_CASES} cases tells a model that lost {margin:g} points from one that lost nothing "
        f"with these risks over {attempts} attempts; raise `max_drop` or a risk, or lower `differ`"
    )


def _shares(drop: float, differ: float) -> tuple[float, float]:
    """The chances that a case is lost and won."""
    if not abs(drop) / 100.0 <= differ + _TINY <= 1.0 + 2 * _TINY:
        raise ValueError(f"`differ` must be at least {abs(drop) / 100:g} and at most 1, got {differ}")
    return (differ + drop / 100.0) / 2.0, max(0.0, (differ - drop / 100.0) / 2.0)


def _growing(lose: float, win: float, step: int) -> Iterator[NetLoss]:
    """The net loss on `step`, 2 `step`, … cases: each by convolution with the one before."""
    one = [win, max(0.0, 1.0 - lose - win), lose]
    block = [1.0]
    for _ in range(step):
        block = _convolved(block, one)
    cases, low, chances = step, -step, block
    while True:
        yield NetLoss(cases, low, chances)
        chances = _convolved(chances, block)
        first = next(i for i, chance in enumerate(chances) if chance > _NOTHING)
        last = next(i for i in reversed(range(len(chances))) if chances[i] > _NOTHING)
        cases, low, chances = cases + step, low - step + first, chances[first : last + 1]


def _convolved(many: Sequence[float], few: Sequence[float]) -> list[float]:
    """The distribution of a sum."""
    total = [0.0] * (len(many) + len(few) - 1)
    for shift, weight in enumerate(few):
        for place, chance in enumerate(many, start=shift):
            total[place] += weight * chance
    return total
