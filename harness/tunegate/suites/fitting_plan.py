"""A plan for a small bank: how many attempts a bank has cases for, and which plan fits it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import floor

from tunegate.cases.bank import SEALED_SHARE, Bank, split
from tunegate.cases.case import Case
from tunegate.exceptions import ConfigError
from tunegate.stats.plans import GatePlan, PlanRule
from tunegate.verdicts.words import probability

DRAWS = (100, 90, 80, 70, 60, 50, 40, 30, 20, 10)
"""The sizes of the first draw to try, the largest first."""


@dataclass(frozen=True, slots=True)
class FittingPlan:
    """Keys of a suite file, as YAML, their plan, and the number of attempts that the bank has cases for."""

    keys: str
    plan: GatePlan
    attempts: int

    @property
    def in_words(self) -> str:
        """What to write, and how likely it is to pass a bad model."""
        draws = f"{self.plan.accept} of {self.plan.draw}"
        if self.plan.confirm is not None:
            when = "" if self.plan.confirms == "always" else "after a retry "
            draws += f", {when}confirmed by {self.plan.confirm.accept} of {self.plan.confirm.draw} sealed cases"
        number = "one attempt" if self.attempts == 1 else f"{self.attempts} attempts"
        lucky = self.plan.acceptance_within(self.plan.at, self.attempts)
        return (
            f"this bank has enough cases for {number} of `{self.keys}` ({draws}; a model that is right "
            f"{100 * self.plan.at:g}% of the time passes with probability {probability(lucky)})"
        )


def fitting_plan(cases: Sequence[Case], attempts: int) -> FittingPlan | None:
    """The plan for this number of attempts, or for fewer, that fits these cases; None with fewer than ten cases.

    Plans with the default risk come before others, and these before fewer attempts.
    """
    for allowed in dict.fromkeys((attempts, 1)):
        for keys, rule, share in (*_within_risk(allowed), *_singles(allowed)):
            plan = rule.resolve(allowed)
            supported = supported_attempts(split(cases, share), plan)
            if supported is not None and supported >= allowed:
                return FittingPlan(keys, plan, allowed)
    return None


def proposal(cases: Sequence[Case], attempts: int) -> str:
    """The end of an error that refuses a plan: what to write instead; empty if no plan fits."""
    found = fitting_plan(cases, attempts)
    return f"; {found.in_words}" if found else ""


def _within_risk(attempts: int) -> Iterator[tuple[str, PlanRule, float]]:
    for draw in DRAWS:
        rule = PlanRule("double", draw)
        try:
            confirm = rule.resolve(attempts).confirm
        except ConfigError:
            return  # a smaller draw rejects good models even more often
        if confirm is not None:
            share = floor(100 * confirm.draw / (draw + confirm.draw) + 0.5) / 100
            yield f"plan: {{kind: double, draw: {draw}}}, sealed: {share:g}", rule, share
    yield "plan: {kind: sequential}", PlanRule("sequential"), 0.0


def _singles(attempts: int) -> Iterator[tuple[str, PlanRule, float]]:
    share = SEALED_SHARE if attempts > 1 else 0.0
    for draw in DRAWS:
        yield f"plan: {{draw: {draw}, accept: {-(-9 * draw // 10)}}}", PlanRule("single", draw), share


def supported_attempts(bank: Bank, plan: GatePlan, before: int = 0) -> int | None:
    """How many attempts a bank is certain to have fresh cases for; None: any number, because the plan reuses cases.

    Attempts that miss early ask fewer cases than they register, so the bank may last longer. `before` attempts were
    made already, on other cases than those of this bank.
    """
    if plan.reuse and plan.confirm is None:
        return None
    attempts = [bank.distinct("working") // plan.draw] if not plan.reuse else []
    if plan.confirm is not None and plan.confirms != "never":
        confirmed = _confirmed(bank.distinct("sealed"), plan, before)
        attempts += [confirmed] if not (plan.reuse and bank.distinct("sealed") >= plan.confirm.draw) else []
    return min(attempts, default=None)


def _confirmed(sealed: int, plan: GatePlan, before: int) -> int:
    """How many attempts after those `before` this number of sealed cases can confirm."""
    left, attempts = sealed, 0
    while (confirm := plan.confirmation(before + attempts + 1)) is None or confirm.draw <= left:
        left -= 0 if confirm is None else confirm.draw
        attempts += 1
    return attempts
