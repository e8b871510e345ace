"""A gate run alone with another draw than its suite's plan asks for: the numbers that were given, or a clear no."""

from __future__ import annotations

from dataclasses import replace

from tunegate.exceptions import ConfigError
from tunegate.stats.plans import GatePlan
from tunegate.stats.sampling import SinglePlan
from tunegate.suites.suite import Suite


def override(suite: Suite, draw: int | None, accept: int | None) -> GatePlan:
    """The suite's plan with another `draw` or `accept`; raises ConfigError for numbers that it cannot be.

    `draw` alone keeps the share of the draw that must pass, rounded up; `accept` alone keeps the draw. Only a single
    plan can be changed so: two numbers do not say what becomes of a confirming draw, or of Wald's lines.
    """
    plan = suite.plan
    if draw is None and accept is None:
        return plan
    if suite.rule.kind != "single":
        raise ConfigError(
            f"the plan of suite {suite.name!r} is {suite.rule.kind}, which another draw or accept would undo; "
            "leave draw and accept out, or change the plan in the suite file"
        )
    drawn = plan.draw if draw is None else draw
    needed = -(-plan.accept * drawn // plan.draw) if accept is None else accept
    if not 1 <= needed <= drawn:
        raise ConfigError(f"draw {drawn}, accept {needed}: accept must lie between 1 and draw")
    if drawn > suite.bank.distinct("working"):
        raise ConfigError(f"draw {drawn}: the bank of suite {suite.name!r} has {suite.bank.in_words('working')}")
    return replace(plan, first=SinglePlan(drawn, needed), confirm=None, confirms="never")
