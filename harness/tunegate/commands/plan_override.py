"""A single gate with another draw than in its suite's plan: the given numbers, or a clear error."""

from __future__ import annotations

import re
from argparse import Namespace
from dataclasses import replace

from tunegate.exceptions import ConfigError, Tampered
from tunegate.stats.anytime import AnytimePlan
from tunegate.stats.plans import GatePlan
from tunegate.stats.sampling import SinglePlan, same_share
from tunegate.suites.suite import Suite
from tunegate.verdicts.terms import NOT_ANYTIME


def override(suite: Suite, draw: int | None, accept: int | None) -> GatePlan:
    """The suite's plan with another `draw` or `accept`; raises ConfigError for numbers that make no plan.

    `draw` alone keeps the share of the draw that must pass, rounded up; `accept` alone keeps the draw. Only a single
    plan can be changed like this: two numbers do not define a confirming draw or the lines of Wald's test.
    """
    plan = suite.plan
    if draw is None and accept is None:
        return plan
    if suite.rule.kind != "single":
        raise ConfigError(
            f"the plan of suite {suite.name!r} is {suite.rule.kind}, and only a single plan can be overridden; "
            "leave draw and accept out, or change the plan in the suite file"
        )
    drawn = plan.draw if draw is None else draw
    if drawn < 1:
        raise ConfigError(f"draw {drawn}: a draw has at least 1 case")
    needed = same_share(plan.first, drawn).accept if accept is None else accept
    if not 1 <= needed <= drawn:
        raise ConfigError(f"draw {drawn}, accept {needed}: accept must be between 1 and draw")
    if drawn > suite.bank.distinct("working"):
        raise ConfigError(f"draw {drawn}: the bank of suite {suite.name!r} has only {suite.bank.in_words('working')}")
    return replace(plan, first=SinglePlan(drawn, needed), confirm=None, confirms="never")


def check_expected(suite: Suite, sha256: str | None) -> None:
    """Raise Tampered unless the suite is the expected one: whoever is examined may not change the exam."""
    if sha256 is None:
        return
    if not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise ConfigError(f"--expect-suite: expected the 64 hexadecimal digits of a suite's sha256, got {sha256!r}")
    if suite.sha256 != sha256:
        raise Tampered(
            f"{suite.path}: not the suite that --expect-suite names: its sha256 is {suite.sha256}, so its cases, "
            "checks, plan or settings differ"
        )


def check_more(options: Namespace, suite: str, plan: GatePlan) -> None:
    """Raise ConfigError if the options ask to continue a gate whose plan does not allow it."""
    if options.more is None:
        return
    if not isinstance(plan.first, AnytimePlan):
        raise ConfigError(f"--continue: suite {suite!r}: {NOT_ANYTIME}")
