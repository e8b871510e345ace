"""The operating characteristic of a gate over a run, at the pass rates that people look up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tunegate.stats.plans import GatePlan, any_of

RATES = (0.5, 0.6, 0.7, 0.75, 0.8, 0.825, 0.85, 0.875, 0.9, 0.925, 0.95, 0.975, 0.99)
"""The pass rates that `tunegate plan` tabulates."""


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """The operating characteristic at one pass rate: one attempt, any of all attempts, mean cases of one attempt.

    `promoted` is the chance for a whole run: `accept_any`, but for a single plan with the confirming draw of a retry.
    """

    p: float
    accept: float
    accept_any: float
    mean_tests: float
    promoted: float


def accept_any(plan: GatePlan, p: float, attempts: int) -> float:
    """The chance that at least one of these attempts passes its draws, without the confirming draw of a retry."""
    if plan.confirms == "after_retry":
        return any_of([plan.acceptance(p)] * attempts)
    return plan.acceptance_within(p, attempts)


def curve(plan: GatePlan, attempts: int, rates: Sequence[float] = RATES) -> list[CurvePoint]:
    """The operating characteristic of a plan over a run, at these pass rates."""
    return [
        CurvePoint(
            p,
            accept=plan.acceptance(p),
            accept_any=accept_any(plan, p, attempts),
            mean_tests=plan.mean_tests(p),
            promoted=plan.acceptance_within(p, attempts),
        )
        for p in rates
    ]
