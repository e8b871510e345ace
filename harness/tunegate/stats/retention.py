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
from functools import lru_cache
from itertools import accumulate
from typing import Literal

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


Tier = Literal["critical", "supporting", "advisory"]
"""How strict a comparison of a candidate with a baseline is. critical: a pass must be shown by the cases. supporting:
the count decides. advisory: the count is reported, and ends nothing."""


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
class KeptRule:
    """How a paired draw decides: at most `net_loss` more cases lost than won, on fresh cases in each of `attempts`.

    `differ` is the assumed share of differing cases; `risk` is None where the number was not solved from a risk. `tier`
    is that of a candidate compared with a baseline, outside a run.
    """

    net_loss: int
    differ: float
    attempts: int
    risk: RetentionRisk | None = None
    tier: Tier | None = None


@dataclass(frozen=True, slots=True)
class Slips:
    """What a rule lets through: by true drop, in points, the chance of getting through any attempt; and the chance that
    a model that lost nothing fails an attempt."""

    lost: dict[float, float]
    equal: float
    differ: float
    attempts: int

    @property
    def in_words(self) -> str:
        """A sentence for terminal and report, without its full stop."""
        attempts = "one attempt" if self.attempts == 1 else f"{self.attempts} attempts"
        (drop, chance), *others = self.lost.items()
        first = f"a model that lost {drop:g} points gets through {attempts} with probability {_chance(chance)}"
        more = "".join(f", one that lost {lost:g} points with {_chance(other)}" for lost, other in others)
        equal = f"an equal model fails an attempt with {_chance(self.equal)}"
        return f"{first}{more}; {equal} (if the two models differ on {100 * self.differ:.3g} % of all cases)"


def _chance(chance: float) -> str:
    return "< 0.001" if 0.0 < chance < 0.0005 else f"{chance:.3f}"


def kept_rule(max_drop: float, cases: int, attempts: int, risk: RetentionRisk | None) -> tuple[int, KeptRule]:
    """The draw and the rule of a paired comparison: solved from its risk, or `max_drop` points of these cases.

    Without a risk, twice `max_drop` is assumed as the share of differing cases, and 10 % at least.
    """
    if risk is None:
        differ = min(1.0, max(DIFFER, 2.0 * max_drop / 100.0))
        return cases, KeptRule(largest_allowed(cases, max_drop), differ, attempts)
    draw, net_loss = solve_retention(max_drop, risk, attempts)
    return draw, KeptRule(net_loss, risk.differ, attempts, risk)


NOTABLE = 5.0
"""Points: the drop that is shown where a rule allows none."""


@lru_cache(maxsize=64)
def slips(cases: int, max_drop: float, rule: KeptRule) -> Slips:
    """What a rule lets through at `max_drop` and at twice that, as far as the assumed share of differing cases
    allows."""
    drop = max_drop or NOTABLE
    differ = max(rule.differ, drop / 100.0)
    drops = [lost for lost in (drop, 2.0 * drop) if lost <= 100.0 * differ + _TINY]
    through = {lost: gets_through(cases, rule.net_loss, lost, differ, rule.attempts) for lost in drops}
    return Slips(through, fails_although_equal(cases, rule.net_loss, differ), differ, rule.attempts)


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
            f"expected `max_drop` above 0 and `differ` at least `max_drop` / 100, got max_drop {margin:g} and differ "
            f"{risk.differ:g}; a model that lost {margin:g} points differs on at least {margin:g} % of the cases"
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
