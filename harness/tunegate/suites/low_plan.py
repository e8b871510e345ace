"""A draw that accepts too few passes: not more than a model passes on average that should not pass the gate."""

from __future__ import annotations

from dataclasses import dataclass

from tunegate.stats.plans import GatePlan, lowest_above
from tunegate.stats.sampling import acceptance_probability
from tunegate.verdicts.words import probability


@dataclass(frozen=True, slots=True)
class LowPlan:
    """A draw with accept/draw at or below the share `passes` that a model right at the rate `at` passes on average.

    `passes` differs from `at` only where a judge decides. The draw accepts such a model with probability `lucky`.
    `least` is the lowest accept number above that share.
    """

    draw: int
    accept: int
    at: float
    passes: float
    lucky: float
    least: int

    @property
    def in_words(self) -> str:
        """One line."""
        judge = "" if self.passes == self.at else f" ({100 * self.passes:.1f}% by its judge)"
        return (
            f"{self.accept} of {self.draw} is too low: a model that is right only {100 * self.at:g}% of the time"
            f"{judge} passes as many on average, and this draw with probability {probability(self.lucky)}; "
            f"set `accept` to at least {self.least}, or draw more cases"
        )


def low_plans(plan: GatePlan) -> tuple[LowPlan, ...]:
    """The draws of a plan that are too low, the first draw before the confirming one; mostly none."""
    passes = plan.seen(plan.at)
    return tuple(
        LowPlan(
            one.draw,
            one.accept,
            plan.at,
            passes,
            acceptance_probability(one, passes),
            lowest_above(passes, one.draw),
        )
        for one in dict.fromkeys(filter(None, (plan.first, plan.confirm)))
        if one.accept < lowest_above(passes, one.draw)
    )
