"""What a suite's judges make of its plan: whether bad models pass more often than it claims, or good ones less."""

from __future__ import annotations

from dataclasses import dataclass

from tunegate.exceptions import ConfigError
from tunegate.stats.plans import PlanRule, Risk, SinglePlan
from tunegate.suites.suite import Suite
from tunegate.verdicts.words import probability

TOLERATED = 2.0
"""A bad model may pass this many times as often as the plan claims before `tunegate check` warns."""


@dataclass(frozen=True, slots=True)
class JudgedPlan:
    """A plan whose judges err too much for it, over `attempts` attempts.

    A model that is right at the rate `at` is accepted with probability `lucky` (up to `lucky_at_most` within the
    intervals of the judges' error rates) where the plan claims `claimed`; one that is right at the rate `good` passes
    its first attempt with `fair` where `fair_wanted` is wanted. `mended` is the smallest single draw that keeps the
    risk on the judges' scale, None where none of up to 2,000 cases does; `cases` is how many the bank has to draw from.
    """

    attempts: int
    at: float
    lucky: float
    lucky_at_most: float
    claimed: float
    good: float
    fair: float
    fair_wanted: float
    risk: Risk
    mended: SinglePlan | None
    cases: int

    @property
    def in_words(self) -> str:
        """One line: both chances, and the plan that mends it."""
        within = "in one attempt" if self.attempts == 1 else f"within {self.attempts} attempts"
        lucky, at_most, claimed, fair = map(probability, (self.lucky, self.lucky_at_most, self.claimed, self.fair))
        return (
            f"its judge errs: a model that is right {100 * self.at:g}% of the time passes {within} with probability "
            f"{lucky}, up to {at_most} by the judge's error rates ({claimed} if it never erred); one that is right "
            f"{100 * self.good:g}% of the time passes its first attempt with {fair}; {self._remedy}"
        )

    @property
    def _remedy(self) -> str:
        risk = self.risk
        keys = f"consumer: {risk.consumer:g}, at: {risk.at:g}, producer: {risk.producer:g}, good: {risk.good:g}"
        keys += ", pipeline: true" if risk.pipeline else ""
        if self.mended is None:
            return "no draw of up to 2,000 cases mends that; use a judge that agrees with people more often"
        more = f"; the bank has {self.cases}" if self.cases < self.mended.draw * self.attempts else ""
        each = "" if self.attempts == 1 else " in each attempt"
        return (
            f"`plan: {{risk: {{{keys}}}}}` asks {self.mended.accept} of {self.mended.draw}{each} and keeps both{more}"
        )


def judged_plan(suite: Suite, attempts: int, draws: int = 1) -> JudgedPlan | None:
    """None without a judge, and where a suite's judges leave its plan near what it claims.

    `draws`: how many independent draws the pipeline has; one for a gate alone.
    """
    plan = suite.resolve(attempts, draws)
    if plan.judged is None:
        return None
    asked, risk = suite.rule.risk, suite.rule.risk or Risk()
    claimed = asked.consumer if asked else plan.truth.acceptance_within(risk.at, attempts)
    lucky, fair = plan.acceptance_within(risk.at, attempts), plan.acceptance(risk.good)
    fair_wanted = 1.0 - risk.shared_by(draws).producer
    if lucky <= TOLERATED * claimed and fair >= fair_wanted:
        return None
    try:
        mended = PlanRule("single", risk=risk).resolve(attempts, plan.judged, draws).first
    except ConfigError:
        mended = None
    return JudgedPlan(
        attempts=attempts,
        at=risk.at,
        lucky=lucky,
        lucky_at_most=plan.on(plan.judged.lenient).acceptance_within(risk.at, attempts),
        claimed=claimed,
        good=risk.good,
        fair=fair,
        fair_wanted=fair_wanted,
        risk=risk,
        mended=mended if isinstance(mended, SinglePlan) else None,
        cases=suite.bank.distinct("working"),
    )
