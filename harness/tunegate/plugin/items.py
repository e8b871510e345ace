"""The nodes that pytest collects: a gate's file or function, its cases, and its deciding item."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tunegate.cases.case import Case
from tunegate.checks.outcome import Outcome, Verdict
from tunegate.exceptions import Inconclusive, TunegateError, from_outside
from tunegate.gates.gate_run import GateRunResult
from tunegate.plugin.gate_function import mark_of
from tunegate.plugin.gates import Gate, load_function_gate, load_gate, skip_unasked
from tunegate.plugin.tally import COMPLETE, DECIDING, attach, show_missed
from tunegate.record.ledger_words import told_of
from tunegate.record.record import GateRecord
from tunegate.text.printable import printable, printable_lines
from tunegate.verdicts.luck_words import in_words as luck_in_words
from tunegate.verdicts.reason import beyond_count
from tunegate.verdicts.words import interval_words, sentence

SHOWN_CASES = 20
MAX_REASON = 200


class GateVerdict(pytest.fail.Exception):
    """A verdict other than PASS, raised by a deciding item."""

    __module__ = "builtins"  # so that pytest's summary says `GateVerdict: FAIL: 89 of 100`


# --- collectors ----------------------------------------------------------------------------------------------------


class GateFile(pytest.File):
    """A `*.gate.yaml` file."""

    def collect(self) -> Iterator[pytest.Item]:
        """Load the suite, draw, and yield the items of the gate."""
        skip_unasked(self.config, self.nodeid)
        with _one_line_errors(self):
            gate = load_gate(self.config, _short_path(self.path), self.nodeid)
        yield from _items(self, gate)


class GateFunction(pytest.Collector):
    """A function decorated with `@tunegate.gate`."""

    def __init__(self, *, function: Callable[..., object], **kwargs: Any) -> None:
        super().__init__(**kwargs)  # pyright: ignore[reportUnknownMemberType]
        self.function = function
        self.own_markers.extend(getattr(function, "pytestmark", []))

    def collect(self) -> Iterator[pytest.Item]:
        """Load the suite, draw, and yield the items of the gate."""
        mark = mark_of(self.function)
        assert mark is not None
        skip_unasked(self.config, self.nodeid)
        with _one_line_errors(self):
            if not isinstance(self.parent, pytest.Module):
                raise self.CollectError(f"{self.name}: expected a gate function at the top level of its module")
            path = _short_path(self.path)
            gate = load_function_gate(self.config, self.function, mark, self.name, path, self.nodeid)
        yield from _items(self, gate)


@contextmanager
def _one_line_errors(collector: pytest.Collector) -> Generator[None]:
    """Turn errors of files, names and the disk into a collection error of one line."""
    try:
        yield
    except Exception as error:
        known = from_outside(error)
        if known is None:
            raise
        raise collector.CollectError(printable(str(known))) from None


def _short_path(path: Path) -> Path:
    """A path as the user would write it, for messages and the record."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _items(parent: pytest.Collector, gate: Gate) -> Iterator[pytest.Item]:
    for case in gate.cases:
        yield _node(CaseItem, parent, f"case[{printable(case.id)}]", gate=gate, case=case)
    yield _node(DecidingItem, parent, DECIDING, gate=gate)


def _node(kind: Any, parent: pytest.Collector, name: str, **facts: Any) -> pytest.Item:
    # The full id is passed: pytest 9.2 reads brackets in an id, but not in the name of a child, and `--lf` compares.
    return kind.from_parent(parent, name=name, nodeid=f"{parent.nodeid}::{name}", **facts)


# --- items ---------------------------------------------------------------------------------------------------------


class GateItem(pytest.Item):
    """The common part of a gate's items."""

    def __init__(self, *, gate: Gate, **kwargs: Any) -> None:
        super().__init__(**kwargs)  # pyright: ignore[reportUnknownMemberType]
        self.gate = gate
        self.stash[COMPLETE] = self.complete

    def complete(self, report: pytest.TestReport) -> None:
        raise NotImplementedError

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, 0, f"{self.gate.suite.name} {self.name}"

    @property
    def selected(self) -> list[GateItem]:
        """The items of this gate that the session selected, found once for all of them."""
        assert self.parent is not None
        if SELECTED not in self.parent.stash:
            items = [item for item in self.session.items if isinstance(item, GateItem) and item.gate is self.gate]
            self.parent.stash[SELECTED] = items
        return self.parent.stash[SELECTED]

    @property
    def selected_whole(self) -> bool:
        """Whether all cases were selected, and the deciding item with them."""
        return len(self.selected) == self.gate.plan.draw + 1


class CaseItem(GateItem):
    """One drawn case. It never fails: only the deciding item can fail."""

    def __init__(self, *, case: Case, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.case = case
        self.verdict, self.reason = Verdict.INVALID, "not judged"

    def runtest(self) -> None:
        """Take the case's outcome from its gate, which the first item runs."""
        try:
            outcome = self._outcome()
        except TunegateError as error:
            self.reason = str(error)
        else:
            if outcome is None:
                pytest.skip("not asked: the verdict was certain before its turn")
            self.verdict, self.reason = outcome.verdict, outcome.reason
        self.user_properties.append(("verdict", self.verdict.value))

    def _outcome(self) -> Outcome | None:
        if self.selected_whole:
            return self.gate.outcome(self.case)
        cases = [item.case for item in self.selected if isinstance(item, CaseItem)]
        return self.gate.outcome_of_some(self.case, cases)

    def complete(self, report: pytest.TestReport) -> None:
        if not report.passed:
            return  # not from the gate: a timeout, for example
        attach(report, {"gate": self.gate.node_id, "verdict": self.verdict.value})
        if self.verdict is not Verdict.PASS:
            show_missed(report, self.verdict.value, _short(self.reason))


class DecidingItem(GateItem):
    """The item that passes if its gate passes."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.verdict, self.summary = Verdict.INVALID, "INVALID: not decided"
        self.told: list[str] = []

    def runtest(self) -> None:
        """Raise GateVerdict unless the gate passes."""
        drawn = self.gate.plan.draw
        self.user_properties += [("drawn", drawn), ("accept", self.gate.plan.accept), ("seed", self.gate.seed)]
        if not self.selected_whole:
            return self._end(f"only {len(self.selected) - 1} of {drawn} cases are selected: no verdict")
        try:
            result = self.gate.result
        except TunegateError as error:
            self.verdict = Verdict.INCONCLUSIVE if isinstance(error, Inconclusive) else Verdict.INVALID
            return self._end("\n".join([str(error), *getattr(error, "__notes__", [])]))
        self.told = _ledger_and_luck(result)
        record = result.deciding
        counts = {"passed": record.passed, "failed": record.failed, "invalid": record.invalid}
        self.user_properties += [*counts.items(), ("record", str(result.folder))]
        self.verdict = record.verdict
        tried = [words for words in (result.earlier_in_words, record.asked_or_judged_again) if words]
        count = "; ".join([_count(record), *tried, f"record: {result.folder}"])
        return self._end("\n".join([count, *_details(record), *self.gate.notes]))

    def _end(self, text: str) -> None:
        text = printable_lines(text)
        self.summary = f"{self.verdict}: {text.splitlines()[0]}"
        self.user_properties.append(("verdict", self.verdict.value))
        if self.verdict is not Verdict.PASS:
            raise GateVerdict(f"{self.verdict}: {text}", pytrace=False) from None

    def complete(self, report: pytest.TestReport) -> None:
        items = [f"{self.gate.node_id}::case[{printable(case.id)}]" for case in self.gate.cases]
        items = [] if report.passed else [*items, self.nodeid]
        facts = {"gate": self.gate.node_id, "verdict": self.verdict.value, "summary": self.summary, "items": items}
        facts["told"] = [printable(line) for line in self.told]
        attach(report, {**facts, "notes": [printable(note) for note in self.gate.notes]})


SELECTED = pytest.StashKey[list[GateItem]]()


# --- words ---------------------------------------------------------------------------------------------------------


def _count(record: GateRecord) -> str:
    count = f"{record.passed} of {record.drawn}, {record.accept} needed"
    more = "" if record.verdict is Verdict.PASS else sentence(beyond_count(record.reasons))
    return f"{count}{f': {_short(more)}' if more else ''} ({interval_words(record.interval, selected=record.selected)})"


def _ledger_and_luck(result: GateRunResult) -> list[str]:
    """Which attempt on its bank this was, and how likely a bad model would have passed, as `tunegate gate` says it."""
    lines = [f"ledger: {words}" for words in told_of([result.record])]
    lines += [f"luck: {result.unknown_luck}"] if result.unknown_luck else []
    return lines + ([f"luck: {luck_in_words(result.luck)}"] if result.luck is not None else [])


def _details(record: GateRecord) -> list[str]:
    """Seed and model, the error categories, and each case that did not pass with its reason."""
    lines = [f"{record.drawn} cases drawn with seed {record.seed}, answered by {record.model}"]
    if record.error_categories:
        lines.append("errors: " + ", ".join(f"{name} {count}" for name, count in record.error_categories.items()))
    by_id = {outcome.case_id: outcome for outcome in record.outcomes}
    outcomes = [by_id[case_id] for case_id in record.case_ids if case_id in by_id]
    for verdict, title in ((Verdict.INVALID, "not judged"), (Verdict.FAIL, "missed")):
        lines += _listed([outcome for outcome in outcomes if outcome.verdict is verdict], title)
    return lines


def _listed(outcomes: list[Outcome], title: str) -> list[str]:
    if not outcomes:
        return []
    shown = [f"  {printable(outcome.case_id)}: {_short(outcome.reason)}" for outcome in outcomes[:SHOWN_CASES]]
    more = [f"  and {len(outcomes) - SHOWN_CASES} more"] if len(outcomes) > SHOWN_CASES else []
    return [f"{title}, {len(outcomes)}:", *shown, *more]


def _short(text: str) -> str:
    line = printable(" ".join(text.split()))
    return line if len(line) <= MAX_REASON else f"{line[: MAX_REASON - 1]}…"
