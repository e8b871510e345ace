"""What a pass is worth: the chance that a bad model passes by luck, and the pass rate that a PASS shows. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from tunegate.stats.binomial import solve_increasing
from tunegate.stats.plans import GatePlan

SHOWN_WITH = 0.05
"""A PASS shows a pass rate if a model below it would have passed with at most this probability."""


@dataclass(frozen=True, slots=True)
class LuckyPass:
    """The chance that a model with pass rate `at` passes a gate by luck: within the `attempts` that were made
    (`so_far`), and within all that are allowed (`limit`, `within_limit`)."""

    at: float
    attempts: int
    so_far: float
    limit: int
    within_limit: float
    at_most: float | None = None
    """`so_far` where the judges err as much as their admission leaves open; None where no judge decides."""
    shows: float | None = None
    """The pass rate that the PASS shows after `attempts` (`shown_rate`); None in older records."""
    shows_at_least: float | None = None
    """`shows` where the judges err as much as their admission leaves open; None where no judge decides."""
    independent: float | None = None
    """The independent cases that the draw with the fewest of them is worth; None if no two cases are of one group."""


def lucky_pass(plan: GatePlan, attempts: int, limit: int, independent: float | None = None) -> LuckyPass:
    """The chance that a bad model passes a gate by luck, and what a PASS shows instead."""
    at = plan.at
    so_far, within_limit = (plan.acceptance_within(at, number) for number in (attempts, limit))
    worst = plan.judged and plan.on(plan.judged.lenient)
    return LuckyPass(
        at,
        attempts,
        so_far,
        limit,
        within_limit,
        at_most=worst and worst.acceptance_within(at, attempts),
        shows=shown_rate(plan, attempts),
        shows_at_least=worst and shown_rate(worst, attempts),
        independent=independent,
    )


def shown_rate(plan: GatePlan, attempts: int, chance: float = SHOWN_WITH) -> float:
    """The pass rate below which a model would have passed within these attempts with at most this probability.

    It is the lower confidence limit for a model that passed, which the attempts before it are part of. 0 if a PASS
    shows no rate: because even a model that is never right passes more often (its judge passes wrong answers), or
    because not even a perfect model passes as often.

    Example:
        >>> from tunegate.stats.luck import shown_rate
        >>> from tunegate.stats.plans import PlanRule
        >>> round(shown_rate(PlanRule().resolve(5), 1), 4)
        0.8363
    """
    if plan.acceptance_within(0.0, attempts) > chance or plan.acceptance_within(1.0, attempts) <= chance:
        return 0.0
    return solve_increasing(lambda p: plan.acceptance_within(p, attempts) - chance, steps=40)
