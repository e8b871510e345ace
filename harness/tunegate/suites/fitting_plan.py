"""A plan that a small bank can serve: for how many attempts a bank has cases, and which plan fits it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import floor

from tunegate.cases.bank import SEALED_SHARE, Bank, split
from tunegate.cases.case import Case
from tunegate.exceptions import ConfigError
from tunegate.stats.plans import GatePlan, PlanRule

DRAWS = (100, 90, 80, 70, 60, 50, 40, 30, 20, 10)
"""The first draws that are tried, the largest first."""


@dataclass(frozen=True, slots=True)
class FittingPlan:
    """Keys of a suite file, as YAML, and the plan that they make; the bank has cases for so many attempts of it."""

    keys: str
    plan: GatePlan
    attempts: int

    @property
    def in_words(self) -> str:
        """What to write, and what it lets through."""
        draws = f"{self.plan.accept} of {self.plan.draw}"
        if self.plan.confirm is not None:
            when = "" if self.plan.confirms == "always" else "after a retry "
            draws += f", {when}confirmed by {self.plan.confirm.accept} of {self.plan.confirm.draw} sealed cases"
        number = "one attempt" if self.attempts == 1 else f"{self.attempts} attempts"
        lucky = self.plan.acceptance_within(self.plan.at, self.attempts)
        return (
            f"this bank can serve {number} of `{self.keys}` ({draws}; a model that is right "
            f"{100 * self.plan.at:g}% of the time passes with probability {lucky:.3f})"
        )


def fitting_plan(cases: Sequence[Case], attempts: int) -> FittingPlan | None:
    """The plan for so many attempts, or for fewer, that these cases can serve; None where not even ten are there.

    Plans that keep the default risk go before those that do not, and these before fewer attempts.
    """
    for allowed in dict.fromkeys((attempts, 1)):
        for keys, rule, share in (*_within_risk(allowed), *_singles(allowed)):
            plan = rule.resolve(allowed)
            supported = supported_attempts(split(cases, share), plan)
            if supported is not None and supported >= allowed:
                return FittingPlan(keys, plan, allowed)
    return None


def proposal(cases: Sequence[Case], attempts: int) -> str:
    """What to write instead, to go behind the line that refuses a plan; empty if nothing fits."""
    found = fitting_plan(cases, attempts)
    return f"; {found.in_words}" if found else ""


def _within_risk(attempts: int) -> Iterator[tuple[str, PlanRule, float]]:
    for draw in DRAWS:
        rule = PlanRule("double", draw)
        try:
            confirm = rule.resolve(attempts).confirm
        except ConfigError:
            return  # a smaller draw turns away good models more often still
        if confirm is not None:
            share = floor(100 * confirm.draw / (draw + confirm.draw) + 0.5) / 100
            yield f"plan: {{kind: double, draw: {draw}}}, sealed: {share:g}", rule, share
    yield "plan: {kind: sequential}", PlanRule("sequential"), 0.0


def _singles(attempts: int) -> Iterator[tuple[str, PlanRule, float]]:
    share = SEALED_SHARE if attempts > 1 else 0.0
    for draw in DRAWS:
        yield f"plan: {{draw: {draw}, accept: {-(-9 * draw // 10)}}}", PlanRule("single", draw), share


def supported_attempts(bank: Bank, plan: GatePlan) -> int | None:
    """For how many attempts a bank surely has fresh cases; None: for any number, since the plan lends used ones again.

    Attempts that miss early ask fewer cases than they register, so it may last longer.
    """
    if plan.reuse and plan.confirm is None:
        return None
    attempts = [bank.distinct("working") // plan.draw] if not plan.reuse else []
    if plan.confirm is not None and plan.confirms != "never":
        unconfirmed = 1 if plan.confirms == "after_retry" else 0
        confirmed = bank.distinct("sealed") // plan.confirm.draw
        attempts += [unconfirmed + confirmed] if not (plan.reuse and confirmed) else []
    return min(attempts, default=None)
