"""What the reports of a pytest session say of its gates: how items are shown, and which gates got no verdict.

Reports are all that reaches the controller of pytest-xdist, so each report of a gate's item carries its facts in plain
values. Nothing heavy is imported here: this module is loaded by every pytest that runs where Tunegate is installed.
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

SESSION, SELECTED_GATES = "tunegate_session", "tunegate_gates"
"""What the controller of pytest-xdist tells its workers, and what they tell it."""

LETTERS = {"FAIL": ("missed", "m", "MISSED"), "INVALID": ("invalid", "i", "INVALID")}
"""Verdict of a case to pytest's category, letter and word."""


def attach(report: pytest.TestReport, facts: dict[str, Any]) -> None:
    """Let a report carry the facts of a gate's item: `gate` (its node id), `verdict`, and for a deciding item also
    `summary` (one line), `items` (the node ids of the whole gate if it did not pass) and `notes` on who answered."""
    vars(report)[FACTS] = facts


def facts_of(report: pytest.TestReport | pytest.CollectReport) -> dict[str, Any] | None:
    """The facts that a report carries; None for the reports of everyone else's tests."""
    return vars(report).get(FACTS)


def show_missed(report: pytest.TestReport, verdict: str, reason: str) -> None:
    """Turn a case's report into one that is neither passed nor failed, with its reason where a skip has one."""
    path, line, _ = report.location
    report.outcome = "skipped"
    report.longrepr = (path, (line or 0) + 1, f"{reason} ({LETTERS[verdict][0]})")  # JUnit XML has no other word for it


def status(report: pytest.TestReport | pytest.CollectReport) -> tuple[str, str, tuple[str, dict[str, bool]]] | None:
    """Category, letter and word of a case that did not pass; None leaves a report to pytest."""
    facts = facts_of(report)
    if facts is None or not report.skipped:
        return None
    category, letter, word = LETTERS[facts["verdict"]]
    return category, letter, (word, {"yellow": True})


class Ledger:
    """The gates of a session, from its reports. A plugin of its own: its hook is not told the session.

    `session` is no other session's; pytest-xdist's `--testrunuid` may be given twice.
    """

    def __init__(self) -> None:
        self.session = uuid4().hex
        self.selected: list[str] = []
        self._objection = ""
        self._cases: dict[str, list[str]] = {}
        self._decided: dict[str, dict[str, Any]] = {}

    def select(self, gates: Iterable[str]) -> None:
        """Take down the gates of which items were selected: each of them owes a verdict."""
        self.selected = list(dict.fromkeys([*self.selected, *gates]))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take down one report, anyone's; runs in the controller of pytest-xdist too."""
        facts = facts_of(report)
        if facts is None:
            return
        if "summary" in facts:
            self._decided[facts["gate"]] = facts
        else:
            self._cases.setdefault(facts["gate"], []).append(report.nodeid)

    @property
    def undecided(self) -> list[str]:
        """Gates of which items were selected or run, but the deciding item did not run."""
        return [gate for gate in dict.fromkeys([*self.selected, *self._cases]) if gate not in self._decided]

    def accepts(self, named: Sequence[str]) -> bool:
        """Whether a session that pytest calls good is good. `named` are the given options that say who answers."""
        passed = sum(facts["verdict"] == "PASS" for facts in self._decided.values())
        owed = len(self._decided) + len(self.undecided)
        if passed < owed:
            self._objection = f"exit code 1: {owed - passed} of {owed} gates without PASS"
        elif named and not owed:
            self._objection = f"exit code 1: {named[0]} was given, but no gate was run"
        return not self._objection

    def lines(self) -> list[tuple[str, bool]]:
        """One line per gate, and one where the exit code is not pytest's; and whether it is good news."""
        decided = [(f"{gate}: {facts['summary']}", facts["verdict"] == "PASS") for gate, facts in self._decided.items()]
        notes = dict.fromkeys((f"note: {note}", True) for facts in self._decided.values() for note in facts["notes"])
        missing = [
            (f"{gate}: INVALID: no verdict, for its deciding item did not run; run the whole gate", False)
            for gate in self.undecided
        ]
        objection = [(self._objection, False)] if self._objection else []
        return [*decided, *notes, *missing, *objection]

    def remember_failed(self, cache: pytest.Cache) -> None:
        """Let `--lf` run the whole of a gate that did not pass: its deciding item alone could not decide again.

        Cases that were run without their deciding item stay, for as long as that one has failed.
        """
        last_failed = cast("dict[str, bool]", cache.get(LAST_FAILED, {}))  # pyright: ignore[reportUnknownMemberType]
        items = [item for facts in self._decided.values() for item in facts["items"]]
        waiting = [gate for gate in self.undecided if f"{gate}::{DECIDING}" in last_failed]
        items += [case for gate in waiting for case in self._cases.get(gate, ())]
        if items:
            cache.set(LAST_FAILED, {**last_failed, **dict.fromkeys(items, True)})


LEDGER = pytest.StashKey[Ledger]()
COMPLETE = pytest.StashKey[Callable[[pytest.TestReport], None]]()
"""Where a gate's item keeps the function that completes its report."""
