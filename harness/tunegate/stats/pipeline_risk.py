"""The operating characteristic of a pipeline: how likely it promotes a model that is right at the rate p everywhere.

Such a model is asked every gate of every stage, with confirming draws, and each draw that compares it with an earlier
model; a good model fails each of them now and then, and these chances add up. Draws of different banks multiply. Gates
of a stage that share a draw ask the same cases, so they are not independent: all of them pass with at most the smallest
of their chances, and the results of this module are then upper limits (`is_at_most`). Attempts are independent: each
draws other cases, and retraining is assumed to change nothing. What a paired draw passes is given as a number, because
its rule is not a plan.

Not part of it, because no rate p says how often they pass: minima for slices, gaps between groups, caps on error
categories, and the comparison with a baseline, which training is supposed to leave far behind. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from tunegate.stats.plans import GatePlan, any_of
from tunegate.stats.retention import fails_although_equal

DIFFER = 0.1
"""The share of cases on which an equal model is assumed to differ from an earlier one."""


@dataclass(frozen=True, slots=True)
class StageRisk:
    """What a stage must pass within `attempts` attempts.

    `draws`: the gates by name, grouped by the cases they ask; most groups have one gate. `paired`: the chance that an
    equal model passes each comparison with an earlier one.
    """

    name: str
    attempts: int
    draws: tuple[Mapping[str, GatePlan], ...]
    paired: Mapping[str, float]

    def accepted(self, p: float, attempt: int) -> float:
        """The chance that this attempt passes everything."""
        drawn = (min(_acceptance(plan, p, attempt) for plan in gates.values()) for gates in self.draws)
        return math.prod([*drawn, *self.paired.values()])

    def accepted_within(self, p: float) -> float:
        """The chance that any of the attempts does."""
        return any_of([self.accepted(p, attempt) for attempt in range(1, self.attempts + 1)])


@lru_cache(4096)
def _acceptance(plan: GatePlan, p: float, attempt: int) -> float:
    return plan.acceptance(p, attempt)


@dataclass(frozen=True, slots=True)
class Cost:
    """The draw that fails a model of some pass rate most often at its first attempt, with its chance to fail it."""

    stage: str
    gate: str
    fails: float
    paired: bool


@dataclass(frozen=True, slots=True)
class PipelineRisk:
    """A pipeline by its stages, in order."""

    stages: tuple[StageRisk, ...]

    def at_first(self, p: float) -> float:
        """The chance that every stage passes at its first attempt."""
        return math.prod(stage.accepted(p, 1) for stage in self.stages)

    def within_budget(self, p: float) -> float:
        """The chance that every stage passes within its attempts."""
        return math.prod(stage.accepted_within(p) for stage in self.stages)

    @property
    def is_at_most(self) -> bool:
        """Whether gates share a draw, so that the chances are upper limits."""
        return any(len(gates) > 1 for stage in self.stages for gates in stage.draws)

    @property
    def independent_draws(self) -> int:
        """How many draws decide by a plan; gates that share one count once."""
        return sum(len(stage.draws) for stage in self.stages)

    @property
    def decides(self) -> bool:
        """Whether there is anything that a model must pass."""
        return any(stage.draws or stage.paired for stage in self.stages)

    def costliest(self, p: float) -> Cost:
        """The draw that costs a model of this pass rate most, the first of equals; raises ValueError without draws."""
        plans = [
            Cost(stage.name, name, 1.0 - _acceptance(plan, p, 1), paired=False)
            for stage in self.stages
            for gates in stage.draws
            for name, plan in gates.items()
        ]
        pairs = [
            Cost(stage.name, name, 1.0 - c, paired=True) for stage in self.stages for name, c in stage.paired.items()
        ]
        return max([*plans, *pairs], key=lambda cost: cost.fails)


@lru_cache(256)
def retained_by_equal(cases: int, net_loss: int, differ: float = DIFFER) -> float:
    """The chance that a model that forgot nothing passes a retention draw of at most this net loss.

    Example:
        >>> from tunegate.stats.pipeline_risk import retained_by_equal
        >>> round(retained_by_equal(100, 5), 3)
        0.96
    """
    return 1.0 - fails_although_equal(cases, net_loss, differ)


def grouped(plans: Mapping[str, GatePlan], sharing: Sequence[Sequence[str]]) -> tuple[Mapping[str, GatePlan], ...]:
    """The gates of a stage, grouped by the draws that they share; `sharing` names the groups of several gates."""
    shared = {name for names in sharing for name in names}
    alone = [{name: plan} for name, plan in plans.items() if name not in shared]
    return (*({name: plans[name] for name in names} for names in sharing), *alone)
