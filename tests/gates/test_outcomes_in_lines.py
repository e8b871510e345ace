"""Outcomes of many stored answers are written many to a line: the same record as one by one, and as safe."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.bank import write_jsonl
from tunegate.cli import main
from tunegate.exceptions import Tampered
from tunegate.gates import runner
from tunegate.record.event_log import EventLog, read_events
from tunegate.record.gate_events import OutcomesJudged
from tunegate.record.read_run import read_run
from tunegate.record.recheck import recheck
from tunegate.record.record import GateRecord
from tunegate.record.run_log import RunLog

CASES, IN_LINE = 50, 20


@pytest.fixture
def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Gates the same 50 answers in a new folder; returns the folder."""
    monkeypatch.chdir(tmp_path)
    rows = [{"id": str(n), "prompt": f"Say it: {n}", "reference": f"It is {n}."} for n in range(CASES)]
    write_jsonl(tmp_path / "cases.jsonl", rows)
    said = [{"id": str(n), "response": f"It is {n if n % 3 else -1}."} for n in range(CASES)]
    write_jsonl(tmp_path / "a.jsonl", said)

    def run(folder: str, in_line: int = IN_LINE, checks: str = "[exact, {rougeL: {min: 0.4}}]", ends: int = 0) -> Path:
        monkeypatch.setattr(runner, "ANSWERS_PER_LINE", in_line)
        (tmp_path / "s.yaml").write_text(f"cases: cases.jsonl\nchecks: {checks}\nplan: {{draw: {CASES}, accept: 10}}\n")
        where = ["--ledger", "none", "--run", folder]
        assert main(["gate", "--responses", "a.jsonl", "--suite", "s.yaml", *where]) == ends
        return tmp_path / folder

    return run


def lines(folder: Path) -> list[list[Any]]:
    """The outcomes of each line that holds any."""
    return [
        event["outcomes"] if event["event"] == "judged" else [event["outcome"]]
        for event in read_events(folder)
        if event["event"] in ("judged", "outcome")
    ]


def outcomes(folder: Path) -> list[Any]:
    return [outcome for line in lines(folder) for outcome in line]


def of(folder: Path) -> GateRecord:
    [gate] = read_run(folder).gates.values()
    recheck(gate)
    return gate


def changed(folder: Path, change: Callable[[list[Any]], list[Any]]) -> Path:
    """A copy of a record, sealed again, with other outcomes in its first line of them."""
    copy, done = folder.with_name("changed"), False
    with EventLog.open(copy) as log:
        for event in read_events(folder):
            if event["event"] == "judged" and not done:
                event, done = {**event, "outcomes": change(event["outcomes"])}, True
            log.append({name: value for name, value in event.items() if name not in SEALS}, durable=False)
    return copy


SEALS = ("time", "previous_sha256", "line_sha256")


def test_the_record_is_the_same_as_one_by_one(gate: Callable[..., Path]) -> None:
    together, alone = gate("together"), gate("alone", in_line=1)
    assert [len(line) for line in lines(together)] == [20, 20, 10]
    assert [len(line) for line in lines(alone)] == [1] * CASES
    assert outcomes(together) == outcomes(alone)
    one, other = of(together), of(alone)
    for name in ("outcomes", "judged", "answers", "verdict", "reasons", "passed", "failed", "interval", "terms"):
        assert getattr(one, name) == getattr(other, name)


def test_few_outcomes_and_those_of_other_checks_are_written_one_by_one(
    gate: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [len(line) for line in lines(gate("few", in_line=CASES + 1))] == [1] * CASES
    (tmp_path / "own.py").write_text("def said(case, response):\n    return True\n")
    monkeypatch.setenv("TUNEGATE_TRUST", str(tmp_path))
    assert [len(line) for line in lines(gate("own", checks="[exact, {python: 'own:said'}]"))] == [1] * CASES


def test_a_gate_that_was_stopped_between_two_lines_goes_on(
    gate: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stop(BaseException):
        """As `kill -9`: nothing more is written."""

    def stopping(self: RunLog, *events: Any, durable: bool = True) -> None:
        if any(isinstance(event, OutcomesJudged) for event in events) and next(left) == 0:
            raise Stop
        append(self, *events, durable=durable)

    left: Iterator[int] = iter([2, 1, 0])
    append = RunLog.append
    with monkeypatch.context() as patched:
        patched.setattr(RunLog, "append", stopping)
        gate("stopped", ends=3)
    assert [len(line) for line in lines(Path("stopped"))] == [20, 20]
    resumed, whole = gate("stopped"), gate("whole")
    assert outcomes(resumed) == outcomes(whole)
    assert of(resumed).outcomes == of(whole).outcomes


def test_a_line_that_was_cut_is_judged_again(gate: Callable[..., Path]) -> None:
    whole = gate("whole")
    events = (whole / "events.jsonl").read_bytes().splitlines(keepends=True)
    last = next(n for n, line in enumerate(events) if json.loads(line)["event"] == "judged") + 1
    cut = whole.with_name("cut")
    cut.mkdir()
    (cut / "events.jsonl").write_bytes(b"".join(events[:last]) + events[last][:1000])
    gate("cut")
    assert outcomes(cut) == outcomes(whole)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda rows: [*rows, rows[0]], "already has a verdict, but is judged again"),
        (lambda rows: [{**rows[0], "case_id": "else"}, *rows[1:]], "a case is judged before it is answered"),
        (lambda rows: [{**rows[0], "verdict": 1}, *rows[1:]], "verdict: expected one of"),
        (lambda rows: [[], *rows[1:]], "outcomes.0: expected an object"),
        (lambda rows: {}, "outcomes: expected a list"),
    ],
)
def test_an_outcome_in_a_line_is_held_against_the_record(
    gate: Callable[..., Path], change: Callable[[list[Any]], list[Any]], said: str
) -> None:
    with pytest.raises(Tampered, match=said):
        read_run(changed(gate("whole"), change))


def test_a_verdict_that_its_findings_contradict_is_found(gate: Callable[..., Path]) -> None:
    folder = changed(gate("whole"), lambda rows: [{**one, "verdict": "PASS"} for one in rows])
    [record] = read_run(folder).gates.values()
    with pytest.raises(Tampered):
        recheck(record)
