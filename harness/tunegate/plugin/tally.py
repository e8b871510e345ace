"""Evaluates the reports of a pytest session: how to show gate items, and which gates have no verdict.

The controller of pytest-xdist receives only reports, so each report of a gate's item carries its facts as plain values.
Nothing heavy is imported here: every pytest loads this module if Tunegate is installed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast
from uuid import uuid4

import pytest

FACTS = "tunegate"
LAST_FAILED = "cache/lastfailed"
DECIDING = "gate"
"""The name of the item that decides a gate."""

SESSION, SELECTED_GATES, SKIPPED_GATES = "tunegate_session", "tunegate_gates", "tunegate_skipped"
"""The messages of pytest-xdist's controller to its workers, and back."""

LETTERS = {"FAIL": ("missed", "m", "MISSED"), "INVALID": ("invalid", "i", "INVALID")}
"""Verdict of a case to pytest's category, letter and word."""


def attach(report: pytest.TestReport, facts: dict[str, Any]) -> None:
    """Attach the facts of a gate's item to its report: `gate` (its node id), `verdict`, and for a deciding item also
    `summary` (one line), `told` (its lines on ledger and luck), `items` (the node ids of the whole gate if it did not
    pass) and `notes` on the model."""
    vars(report)[FACTS] = facts


def facts_of(report: pytest.TestReport | pytest.CollectReport) -> dict[str, Any] | None:
    """The facts attached to a report; None for the reports of other tests."""
    return vars(report).get(FACTS)


def show_missed(report: pytest.TestReport, verdict: str, reason: str) -> None:
    """Turn a case's report into one that is neither passed nor failed, with its reason as that of a skip."""
    path, line, _ = report.location
    report.outcome = "skipped"
    report.longrepr = (path, (line or 0) + 1, f"{reason} ({LETTERS[verdict][0]})")  # JUnit XML has no other state


def status(report: pytest.TestReport | pytest.CollectReport) -> tuple[str, str, tuple[str, dict[str, bool]]] | None:
    """Category, letter and word of a case that did not pass; None leaves a report to pytest."""
    facts = facts_of(report)
    if facts is None or not report.skipped:
        return None
    category, letter, word = LETTERS[facts["verdict"]]
    return category, letter, (word, {"yellow": True})


class Tally:
    """The gates of a session, from its reports. A separate plugin, because its hook does not get the session.

    `session` is a unique id; pytest-xdist's `--testrunuid` may be reused.
    """

    def __init__(self) -> None:
        self.session = uuid4().hex
        self.selected: list[str] = []
        self.skipped: dict[str, str] = {}
        """The gates that were not collected, with the reason."""
        self._objection = ""
        self._cases: dict[str, list[str]] = {}
        self._decided: dict[str, dict[str, Any]] = {}

    def select(self, gates: Iterable[str]) -> None:
        """Record the gates with selected items: each of them must reach a verdict."""
        self.selected = list(dict.fromkeys([*self.selected, *gates]))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Record one report, of any test; also runs in the controller of pytest-xdist."""
        facts = facts_of(report)
        if facts is None:
            return
        if "summary" in facts:
            self._decided[facts["gate"]] = facts
        else:
            self._cases.setdefault(facts["gate"], []).append(report.nodeid)

    @property
    def undecided(self) -> list[str]:
        """Gates with selected or run items, but without a deciding item that ran."""
        return [gate for gate in dict.fromkeys([*self.selected, *self._cases]) if gate not in self._decided]

    def accepts(self, named: Sequence[str]) -> bool:
        """Whether a session that passed for pytest also passed its gates. `named` are the given model options."""
        passed = sum(facts["verdict"] == "PASS" for facts in self._decided.values())
        owed = len(self._decided) + len(self.undecided)
        if passed < owed:
            self._objection = f"exit code 1: {owed - passed} of {owed} gates without PASS"
        elif named and not owed:
            self._objection = f"exit code 1: {named[0]} was given, but no gate ran"
        return not self._objection

    def lines(self) -> list[tuple[str, bool]]:
        """The lines of each gate, one if the exit code differs from pytest's, and for each whether it is good."""
        decided = [
            (line, facts["verdict"] == "PASS")
            for gate, facts in self._decided.items()
            for line in (f"{gate}: {facts['summary']}", *(f"  {line}" for line in facts["told"]))
        ]
        skipped = [(f"{gate}: skipped: {why}", True) for gate, why in self.skipped.items()]
        notes = dict.fromkeys((f"note: {note}", True) for facts in self._decided.values() for note in facts["notes"])
        missing = [
            (f"{gate}: INVALID: no verdict, because its deciding item did not run; run the whole gate", False)
            for gate in self.undecided
        ]
        objection = [(self._objection, False)] if self._objection else []
        return [*decided, *skipped, *notes, *missing, *objection]

    def remember_failed(self, cache: pytest.Cache) -> None:
        """Make `--lf` run the whole of a gate that did not pass: its deciding item alone could not decide again.

        Cases that ran without their deciding item stay in the list for as long as the deciding item fails.
        """
        last_failed = cast("dict[str, bool]", cache.get(LAST_FAILED, {}))  # pyright: ignore[reportUnknownMemberType]
        items = [item for facts in self._decided.values() for item in facts["items"]]
        waiting = [gate for gate in self.undecided if f"{gate}::{DECIDING}" in last_failed]
        items += [case for gate in waiting for case in self._cases.get(gate, ())]
        if items:
            cache.set(LAST_FAILED, {**last_failed, **dict.fromkeys(items, True)})


TALLY = pytest.StashKey[Tally]()
COMPLETE = pytest.StashKey[Callable[[pytest.TestReport], None]]()
"""The stash key of the function that completes the report of a gate's item."""
