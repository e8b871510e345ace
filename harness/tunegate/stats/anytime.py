"""A plan that may be looked at after every case and continued for as long as anybody likes: a test by betting.

Against a model with pass rate `at`, each case is a bet on the pass rates of a beta distribution. After s passes and f
misses the bets are worth E = B(a+s, b+f) / B(a, b) / (at^s (1-at)^f), where B is the beta function. E is a martingale
for a model with pass rate `at`: by Ville's inequality it ever reaches 1 / risk with at most this risk, whoever decides
when to stop, and why. E also grows where the rate is below `at`, so a pass needs a rate above `at` too: a worse model
misses wherever this one does, and more, so it passes no more often.

Sources: I. Waudby-Smith, A. Ramdas, Estimating means of bounded random variables by betting, arXiv:2010.09686; mixtures
over pass rates: H. Robbins, Ann. Math. Statist. 41 (1970) 1397-1409; J. Ville, Étude critique de la notion de collectif
(1939). Pure; the tests compare everything with scipy.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass, replace
from functools import lru_cache

from tunegate.stats.binomial import solve_increasing

WEIGHT = 40.0
"""How many cases' worth of belief the bets of a plan put on its two rates; of 5 to 80, 40 asks good models few."""
JEFFREYS = 0.5
"""Both parameters of the beta distribution by which an interval bets: no rate is preferred."""


@dataclass(frozen=True, slots=True)
class AnytimePlan:
    """Ask until the evidence against the pass rate `at` is at least `accept_at`; at most `draw` cases, for now.

    It rejects when the evidence against the pass rate `good` is at least `reject_at`. After `draw` cases without
    either, the draw is undecided, and more cases may be asked: the limits of a case do not depend on `draw`. `weight`
    is that of the bets: on beta(good * weight, (1 - good) * weight) against `at`, and the other way round.
    The record holds these numbers, so that the verdict can be computed again on any machine.
    """

    draw: int
    at: float
    good: float
    accept_at: float
    reject_at: float
    weight: float = WEIGHT

    def __post_init__(self) -> None:
        if not (0 < self.at < self.good < 1 and min(self.accept_at, self.reject_at) > 1 and self.weight > 0):
            raise ValueError(f"expected 0 < at < good < 1, evidence above 1 and a weight above 0, got {self}")
        if self.draw < 1 or self._acceptance(self.draw) < 0:
            raise ValueError(
                f"{self.draw} cases cannot accept any model, even if it passes all of them; at least "
                f"{self.fewest} are needed"
            )

    @property
    def accept(self) -> int:
        """How many of all `draw` cases pass at least where the last of them accepts."""
        return self.draw - self._acceptance(self.draw)

    @property
    def fewest(self) -> int:
        """The number of cases that accept a model without a miss."""
        asked = 1
        while self._acceptance(asked) < 0:
            asked += 1
        return asked

    def limits(self, asked: int) -> tuple[int, int]:
        accept_up_to = self._acceptance(asked)
        return accept_up_to, accept_up_to + 1 if asked == self.draw else self.rejection(asked)

    def rejection(self, asked: int) -> int:
        """The smallest number of misses among these cases that rejects."""
        return asked - _most(self.weight, 1.0 - self.at, 1.0 - self.good, self.reject_at, asked)

    def extended(self, cases: int) -> AnytimePlan:
        """The same plan with a cap that is this number of cases higher."""
        return replace(self, draw=self.draw + cases)

    def evidence(self, asked: int, misses: int) -> float:
        """How strong the evidence against the pass rate `at` is: E."""
        a, b = self.good * self.weight, (1.0 - self.good) * self.weight
        return math.exp(log_evidence(asked - misses, misses, self.at, a, b))

    def _acceptance(self, asked: int) -> int:
        return _most(self.weight, self.good, self.at, self.accept_at, asked)


@lru_cache(65536)
def _most(weight: float, bet: float, against: float, needed: float, asked: int) -> int:
    """The largest number of misses among these cases whose rate is above `against` and whose evidence is at least
    `needed`; -1 if there is none.

    Fewer misses are then stronger evidence: log E is convex in the misses, and at most 0 where the rate is `against`.
    """
    a, b, enough = bet * weight, (1.0 - bet) * weight, math.log(needed)
    above = range(math.ceil(asked * (1.0 - against) - 1e-9))
    return bisect_left(above, True, key=lambda misses: log_evidence(asked - misses, misses, against, a, b) < enough) - 1


def log_evidence(passed: int, missed: int, against: float, a: float, b: float) -> float:
    """The natural logarithm of E, for bets on beta(a, b) against the pass rate `against`."""
    won = log_beta(a + passed, b + missed) - log_beta(a, b)
    return won - passed * math.log(against) - missed * math.log1p(-against)


def log_beta(a: float, b: float) -> float:
    """The natural logarithm of the beta function."""
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def anytime_interval(passed: int, missed: int, confidence: float = 0.95) -> tuple[float, float]:
    """The pass rates against which there is less evidence than 1 / (1 - confidence); it holds after every case at once.

    A confidence sequence: the chance that it ever leaves out the true rate is at most 1 - confidence, whatever the
    reason to stop or to go on. Source: H. Robbins, see above.
    """
    rate, enough = passed / (passed + missed), -math.log(1.0 - confidence)

    def beyond(p: float) -> float:
        return log_evidence(passed, missed, p, JEFFREYS, JEFFREYS) - enough

    low = 0.0 if passed == 0 else rate * solve_increasing(lambda share: -beyond(share * rate))
    high = 1.0 if missed == 0 else 1.0 - (1.0 - rate) * solve_increasing(lambda share: -beyond(1 - share * (1 - rate)))
    return low, high
