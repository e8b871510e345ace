"""Statistics of one draw: when it may stop, its operating characteristic and its intervals.

A draw asks cases in order and counts the misses. After every case its plan gives two numbers: at most the first number
of misses accepts the model, at least the second rejects it, and between them the draw continues. `SinglePlan` and
`SequentialPlan` differ only in those two numbers, so that one exact recursion (`endings`) gives the operating
characteristic, the average sample number and the interval of both. No simulation, no approximation; the tests compare
everything with scipy.

Terms and definitions: A. Wald, Sequential Analysis (1947); ISO 2859-1 (single sampling), ISO 28591 (formerly 8422,
sequential sampling). `plans.py` covers a gate's plan over a whole run with its retries.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

from tunegate.stats.anytime import AnytimePlan
from tunegate.stats.binomial import binomial_tail, hypergeometric, solve_increasing

MissChance = Callable[[int, int], float]
"""The chance that the next case is missed, given (cases asked, misses) so far."""


class DrawPlan(Protocol):
    """How many cases a draw registers, and when it stops.

    `draw` is the largest number of cases it asks, `accept` how many of all `draw` must pass. `limits(asked)` gives
    `(accept_up_to, reject_from)`: after `asked` cases, at most `accept_up_to` misses accept the model, at least
    `reject_from` reject it. At `asked == draw` the two leave no gap.
    """

    @property
    def draw(self) -> int: ...
    @property
    def accept(self) -> int: ...
    def limits(self, asked: int) -> tuple[int, int]: ...


@dataclass(frozen=True, slots=True)
class SinglePlan:
    """Draw `draw` cases; accept the model when at least `accept` of them pass (ISO 2859-1, single sampling).

    It rejects as soon as there are too many misses, when no remaining answer could change the verdict (curtailment),
    and never accepts before the last case.
    """

    draw: int = 100
    accept: int = 90

    def __post_init__(self) -> None:
        if self.draw < 1 or not 0 < self.accept <= self.draw:
            raise ValueError(f"a plan needs 1 <= accept <= draw, got accept {self.accept} and draw {self.draw}")

    @property
    def allowed_misses(self) -> int:
        """The largest number of missed cases that still accepts."""
        return self.draw - self.accept

    def limits(self, asked: int) -> tuple[int, int]:
        return (self.allowed_misses if asked == self.draw else -1), self.allowed_misses + 1


@dataclass(frozen=True, slots=True)
class SequentialPlan:
    """Wald's sequential probability ratio test, capped at `draw` cases, where at least `accept` must have passed.

    After n cases it accepts at `slope * n - accept_intercept` misses or fewer, and rejects at
    `slope * n + reject_intercept` or more (Wald 1947, section 5.3); sooner, when the cap makes the end certain.
    The record holds these numbers, so that the verdict can be computed again on any machine.
    """

    draw: int
    accept: int
    slope: float
    accept_intercept: float
    reject_intercept: float

    def __post_init__(self) -> None:
        if self.draw < 1 or not 0 < self.accept <= self.draw:
            raise ValueError(f"a plan needs 1 <= accept <= draw, got accept {self.accept} and draw {self.draw}")
        if not (0 < self.slope < 1 and self.accept_intercept > 0 and self.reject_intercept > 0):
            raise ValueError(f"expected a slope between 0 and 1 and intercepts above 0, got {self}")
        if not -1 - self.accept_intercept < self.draw - self.accept - self.slope * self.draw < self.reject_intercept:
            raise ValueError(f"at the cap, `accept` must be between the lines, got {self}")

    def limits(self, asked: int) -> tuple[int, int]:
        allowed, left = self.draw - self.accept, self.draw - asked
        accept_up_to = min(math.floor(self.slope * asked - self.accept_intercept), allowed)
        reject_from = min(math.ceil(self.slope * asked + self.reject_intercept), allowed + 1)
        return max(accept_up_to, allowed - left, -1), reject_from


def wald_plan(good: float, at: float, producer: float, consumer: float, draw: int) -> SequentialPlan:
    """Wald's lines that distinguish a model with pass rate `good` from a model with pass rate `at` (`at` < `good`).

    `producer` is the risk of rejecting the good model, `consumer` the risk of accepting the other; both are approximate
    (Wald 1947, section 3.4); `acceptance_probability` is exact. At the cap, the middle between the lines decides.
    """
    q_good, q_bad = 1.0 - good, 1.0 - at
    scale = math.log(q_bad * good / (q_good * at))
    slope = math.log(good / at) / scale
    return SequentialPlan(
        draw=draw,
        accept=draw - math.floor(slope * draw),
        slope=slope,
        accept_intercept=math.log((1.0 - producer) / consumer) / scale,
        reject_intercept=math.log((1.0 - consumer) / producer) / scale,
    )


def same_share(plan: DrawPlan, draw: int) -> SinglePlan:
    """A single draw of another size that needs at least the same share of passes.

    >>> same_share(SinglePlan(100, 90), 15)
    SinglePlan(draw=15, accept=14)
    """
    return SinglePlan(draw, -(-plan.accept * draw // plan.draw))


def plan_from_json(data: dict[str, Any]) -> DrawPlan:
    """The inverse of `dataclasses.asdict`; raises TypeError or ValueError for anything else."""
    if "accept_at" in data:
        return AnytimePlan(**data)
    return SequentialPlan(**data) if "slope" in data else SinglePlan(**data)


# --- the operating characteristic ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ending:
    """One way for a draw to end: after `asked` cases and `misses`, with its probability."""

    asked: int
    misses: int
    accepted: bool
    probability: float


def endings(plan: DrawPlan, miss: MissChance) -> Iterator[Ending]:
    """Every way for a draw to end, with its probability; they sum to 1. Exact, by recursion over the cases asked."""
    live = {0: 1.0}
    for asked in range(1, plan.draw + 1):
        accept_up_to, reject_from = plan.limits(asked)
        reached: dict[int, float] = {}
        for misses, probability in live.items():
            chance = miss(asked - 1, misses)
            reached[misses] = reached.get(misses, 0.0) + probability * (1.0 - chance)
            reached[misses + 1] = reached.get(misses + 1, 0.0) + probability * chance
        live = {}
        for misses, probability in reached.items():
            if accept_up_to < misses < reject_from:
                live[misses] = probability
            elif probability > 0.0:
                yield Ending(asked, misses, misses <= accept_up_to, probability)


def independent(p: float) -> MissChance:
    """Each case passes with probability `p`: cases of a bank that was itself sampled from the domain."""
    return lambda asked, misses: 1.0 - p


def from_bank(size: int, passing: int) -> MissChance:
    """Draws without replacement from a bank of `size` cases, `passing` of which the model would pass.

    These are the chances of the hypergeometric distribution. They hold for this particular bank rather than for the
    domain.
    """
    return lambda asked, misses: (size - passing - misses) / (size - asked)


def acceptance_probability(plan: DrawPlan, p: float) -> float:
    """Operating characteristic: the chance of accepting a model that passes a case with probability `p`."""
    if isinstance(plan, SinglePlan):
        return binomial_tail(plan.accept, plan.draw, p)
    return _accepted(plan, independent(p))


def bank_acceptance_probability(plan: DrawPlan, size: int, passing: int, confirm: DrawPlan | None = None) -> float:
    """The chance of acceptance when the model would pass `passing` of the `size` cases of the bank.

    With `confirm`, a second draw from the remaining cases must accept too.
    """
    if not isinstance(plan, SinglePlan):
        return math.fsum(
            end.probability * _confirmed(confirm, size - end.asked, passing - end.asked + end.misses)
            for end in endings(plan, from_bank(size, passing))
            if end.accepted
        )
    accepted = math.fsum(
        chance * _confirmed(confirm, size - plan.draw, passing - passed)
        for passed, chance in hypergeometric(plan.draw, size, passing).items()
        if passed >= plan.accept
    )
    return min(1.0, accepted)


def _confirmed(confirm: DrawPlan | None, size: int, passing: int) -> float:
    """The chance that the confirming draw, if there is one, accepts too, from the rest of the bank."""
    return 1.0 if confirm is None else bank_acceptance_probability(confirm, size, passing)


def _accepted(plan: DrawPlan, miss: MissChance) -> float:
    return min(1.0, math.fsum(ending.probability for ending in endings(plan, miss) if ending.accepted))


def average_sample_number(plan: DrawPlan, p: float) -> float:
    """The mean number of cases asked until the draw ends (ASN), its curtailment included.

    For a single plan by Wald's identity: mean misses = mean cases asked times the chance of a miss.
    """
    if isinstance(plan, SinglePlan) and p < 1.0:
        too_many = plan.allowed_misses + 1
        to_the_end = plan.draw * binomial_tail(plan.accept, plan.draw - 1, p)
        return to_the_end + too_many / (1.0 - p) * binomial_tail(too_many, plan.draw, 1.0 - p)
    return math.fsum(ending.asked * ending.probability for ending in endings(plan, independent(p)))


def as_bad_or_worse(plan: DrawPlan, asked: int, misses: int, p: float) -> float:
    """The chance that a model with pass rate `p` ends a draw as it ended here, at (asked, misses), or worse.

    Worse is what `stopped_interval` orders lower: an earlier rejection. For a single plan, stopped early or not, this
    is the binomial tail of that many misses among the cases asked.
    """
    if isinstance(plan, SinglePlan):
        return binomial_tail(misses, asked, 1.0 - p)
    observed = _stagewise(asked, misses, misses <= plan.limits(asked)[0])
    return min(1.0, math.fsum(e.probability for e in endings(plan, independent(p)) if _rank(e) <= observed))


# --- the interval --------------------------------------------------------------------------------------------------


@lru_cache(4096)
def exact_interval(passed: int, drawn: int, confidence: float = 0.95) -> tuple[float, float]:
    """Clopper-Pearson interval for a pass rate after a fixed number of cases.

    Source: C. J. Clopper, E. S. Pearson, Biometrika 26 (1934) 404-413. Returns (low, high), both within [0, 1].
    """
    if not 0 <= passed <= drawn or drawn < 1:
        raise ValueError(f"expected 0 <= passed <= drawn and drawn >= 1, got {passed} of {drawn}")
    alpha = (1.0 - confidence) / 2.0
    low = 0.0 if passed == 0 else solve_increasing(lambda p: binomial_tail(passed, drawn, p) - alpha)
    high = 1.0 if passed == drawn else solve_increasing(lambda p: binomial_tail(passed + 1, drawn, p) - (1.0 - alpha))
    return low, high


def stopped_interval(plan: DrawPlan, asked: int, misses: int, confidence: float = 0.95) -> tuple[float, float]:
    """Exact interval for the pass rate after a draw that stopped by its own limits at (asked, misses).

    Clopper-Pearson with the endings in stage-wise order: an earlier rejection is stronger evidence against the model
    than a later one, and an earlier acceptance is stronger evidence for it. Source: C. Jennison, B. W. Turnbull,
    Technometrics 25 (1983) 49-58.
    """
    if isinstance(plan, SinglePlan):
        return _single_interval(plan, asked, misses, confidence)
    alpha = (1.0 - confidence) / 2.0
    observed = _stagewise(asked, misses, misses <= plan.limits(asked)[0])

    def at_least(p: float) -> float:
        return math.fsum(e.probability for e in endings(plan, independent(p)) if _rank(e) >= observed)

    def more(p: float) -> float:
        return math.fsum(e.probability for e in endings(plan, independent(p)) if _rank(e) > observed)

    low = solve_increasing(lambda p: at_least(p) - alpha, steps=40)
    high = solve_increasing(lambda p: more(p) - (1.0 - alpha), steps=40)
    return (low if low > 1e-9 else 0.0), (high if high < 1.0 - 1e-9 else 1.0)


def _single_interval(plan: SinglePlan, asked: int, misses: int, confidence: float) -> tuple[float, float]:
    """The same in closed form: a draw that ends at or after this rejection has fewer misses among the cases before."""
    if misses <= plan.allowed_misses:
        return exact_interval(asked - misses, asked, confidence)
    alpha, passed = (1.0 - confidence) / 2.0, asked - misses
    low = 0.0 if passed == 0 else solve_increasing(lambda p: binomial_tail(passed, asked - 1, p) - alpha)
    high = solve_increasing(lambda p: binomial_tail(passed + 1, asked, p) - (1.0 - alpha))
    return low, high


def _rank(ending: Ending) -> tuple[int, int]:
    return _stagewise(ending.asked, ending.misses, ending.accepted)


def _stagewise(asked: int, misses: int, accepted: bool) -> tuple[int, int]:
    """A key that sorts endings from the worst to the best. At the same case, fewer misses are better."""
    return (1, -asked * 1_000_000 - misses) if accepted else (0, asked * 1_000_000 - misses)
