"""One seal for all suites of a project that share questions: what one of them seals, none asks in a working draw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from tunegate.cases.case import question_of
from tunegate.suites.suite import Suite


def sealed_together(suites: Mapping[str, Suite]) -> dict[str, Suite]:
    """The suites, each with what any of them seals."""
    seal = frozenset(question_of(case) for suite in suites.values() for case in suite.bank.sealed)
    return {
        name: replace(suite, seal=seal) if seal.intersection(map(question_of, suite.bank.working)) else suite
        for name, suite in suites.items()
    }
