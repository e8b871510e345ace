"""A suite with a test function as one more check: how pytest makes it, and how a record's suite is made again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tunegate.cases.case import Case, Prompt
from tunegate.checks.check import Check, Need, Sample
from tunegate.checks.outcome import Finding
from tunegate.suites.suite import Suite

FUNCTION = "function"
"""The key of `Suite.made` under which a record has the function's name and fingerprint."""


@dataclass(frozen=True)
class RecordedFunction:
    """The test function of a record. It is the user's code, and is not run again: its findings are believed."""

    name: str
    fingerprint: str
    version: str = "1"
    batch_size: int = 1
    needs_choices: bool = False
    needs: tuple[Need, ...] = ()
    can_fail: bool = True
    max_errors: dict[str, int] = field(default_factory=dict[str, int])

    def variants(self, case: Case) -> tuple[Prompt, ...]:
        return ()

    def judge(self, samples: Sequence[Sample]) -> Sequence[Finding]:
        raise NotImplementedError(f"the function {self.name} is only on record")


def with_function(suite: Suite, name: str, check: Check) -> Suite:
    """The suite of a gate function: `suite` under the function's name, with the function as its last check."""
    digest = hashlib.sha256(f"{suite.sha256}\n{check.fingerprint}".encode()).hexdigest()
    made = {FUNCTION: {"name": check.name, "fingerprint": check.fingerprint}}
    return replace(suite, name=name, checks=(*suite.checks, check), sha256=digest, made=made)


def with_recorded_function(suite: Suite, made: Mapping[str, Any]) -> Suite:
    """The same from a record; the suite's hash shows whether the record names the function that was used."""
    function: Mapping[str, Any] = made[FUNCTION]
    name = str(function.get("name"))
    return with_function(suite, name, RecordedFunction(name, str(function.get("fingerprint"))))
