"""What a draw shows that holds several cases of a group: fewer independent cases than it has. Pure.

A draw that passes by count passes only if a bad model reaches this rate on that many independent cases no oftener than
on the cases of the plan; `stats/clustered.py` has the formulas.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tunegate.checks.outcome import Outcome, Verdict
from tunegate.stats.agreement import Share
from tunegate.stats.beta import effective_interval
from tunegate.stats.binomial import binomial_tail
from tunegate.stats.clustered import RISK, Group, chance, effective_size, grouped, needed_size
from tunegate.stats.sampling import DrawPlan
from tunegate.verdicts.reason import Reason, because

Interval = tuple[float, float]
TINY = 1e-12  # two ways to compute the same chance


@dataclass(frozen=True, slots=True)
class Independent:
    """The independent cases, `size`, that the `cases` of a draw are worth at least; they are of `groups` groups.

    `luck` is the chance that a model with pass rate `at` reaches the rate of the draw on this number of cases,
    `allowed` what the plan leaves it at this point of the draw.
    """

    cases: int
    groups: int
    size: float
    rate: float
    at: float
    luck: float
    allowed: float

    @property
    def enough(self) -> bool:
        """Whether a bad model is no likelier to be this lucky than the plan allows."""
        return self.luck <= self.allowed + TINY

    @property
    def reason(self) -> Reason:
        """What the draw is worth; an objection to a pass if a bad model is too likely to be lucky."""
        worth = {"cases": self.cases, "groups": self.groups, "independent": round(self.size, 1)}
        if self.enough:
            return because("grouped", **worth)
        found = needed_size(self.rate, self.at, self.allowed, self.cases)
        needed = self.cases if found is None else found
        return because("grouped_luck", **worth, at=self.at, luck=self.luck, allowed=self.allowed, needed=needed)


def independent(plan: DrawPlan, at: float | None, outcomes: Sequence[Outcome]) -> Independent | None:
    """What asked cases are worth; None without `at` (older records), and if no two of them are of one group.

    What the plan allows is the chance of its least passing count after this number of cases: for a single draw, of its
    accept number. The less it allows, the surer the correlation must be.
    """
    groups = by_group(outcomes, Verdict.PASS)
    if at is None or len(groups) == len(outcomes):
        return None
    cases = len(outcomes)
    passed, least = sum(good for good, _ in groups), cases - max(0, plan.limits(cases)[0])
    allowed = binomial_tail(least, cases, at)
    size = effective_size(groups, min(RISK, allowed))
    rate = passed / cases
    return Independent(cases, len(groups), size, rate, at, chance(rate, size, at), allowed)


def widened(interval: Interval, found: Independent | None, outcomes: Sequence[Outcome]) -> Interval:
    """The interval of a draw's pass rate that holds several cases of a group: at the effective number of cases.

    As for any draw, the low end counts a case that was not judged as missed, and the high end as passed. The interval
    of a draw that stopped early is part of it.
    """
    if found is not None:
        low, high = effective_interval(found.rate, found.size)
        return min(interval[0], low), max(interval[1], high)
    at_worst, at_best = by_group(outcomes, Verdict.PASS), by_group(outcomes, Verdict.PASS, Verdict.INVALID)
    if len(at_worst) == len(outcomes):
        return interval
    return min(interval[0], _interval(at_worst)[0]), max(interval[1], _interval(at_best)[1])


def _interval(groups: Sequence[Group]) -> Interval:
    passed, cases = sum(good for good, _ in groups), sum(size for _, size in groups)
    return effective_interval(passed / cases, effective_size(groups))


def share_interval(outcomes: Sequence[Outcome], holds: Callable[[Outcome], bool]) -> Interval:
    """95 % interval of the share of cases of which something holds: exact, or wider for several cases of a group.

    (0, 1) without cases.
    """
    found = Share(sum(map(holds, outcomes)), len(outcomes))
    groups = grouped(_names(outcomes), lambda at: holds(outcomes[at]))
    if len(groups) == len(outcomes):
        return found.interval
    low, high = effective_interval(found.count / found.of, effective_size(groups))
    return min(found.interval[0], low), max(found.interval[1], high)


def by_group(outcomes: Sequence[Outcome], *passing: Verdict) -> list[Group]:
    """The outcomes by group; an outcome without a group is its own."""
    return grouped(_names(outcomes), lambda at: outcomes[at].verdict in passing)


def _names(outcomes: Sequence[Outcome]) -> list[object]:
    return [outcome.group if outcome.group is not None else (outcome.case_id,) for outcome in outcomes]
