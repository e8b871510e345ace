"""The record of a run under way: it says what a reader of the file would find, and nothing passes on a changed file."""

from __future__ import annotations

import os
import tracemalloc
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import pytest

from tests.support import fake_pipeline
from tunegate.checks.outcome import Verdict
from tunegate.exceptions import Tampered
from tunegate.record import event_log, gate_events, run_events, stage_events
from tunegate.record.event import Event, Unknown
from tunegate.record.event_log import EVENTS, EventLog, digest_of, read_events
from tunegate.record.events import KINDS, event_from_json
from tunegate.record.read_run import read_run
from tunegate.record.run_events import RunDecided
from tunegate.record.run_log import RunLog


class Comparing(RunLog):
    """Holds the record that is kept against the one on disk, after every event."""

    compared = 0

    def append(self, *events: Event, durable: bool = True) -> None:
        super().append(*events, durable=durable)
        assert self.record == read_run(self.folder)
        self.compared += 1


def test_the_record_that_is_kept_is_the_one_on_disk_after_every_event(tmp_path: Path) -> None:
    logs: list[Comparing] = []

    def open_log(folder: Path) -> RunLog:
        logs.append(Comparing.open(folder))
        return logs[-1]

    run = fake_pipeline.carry_out(fake_pipeline.write_pipeline(tmp_path / "project"), open_log=open_log)
    assert (run.verdict, len(run.promotions)) == (Verdict.PASS, 1)
    assert logs[0].compared > 50


@pytest.mark.parametrize("written", [0.0, 0.5, 1.0])
def test_ctrl_c_while_a_line_is_written_breaks_no_record(
    written: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def second_line_is_interrupted(fd: int, line: bytes) -> None:
        monkeypatch.undo()
        os.write(fd, line[: round(written * len(line))])
        raise KeyboardInterrupt

    with RunLog.open(tmp_path) as log:
        log.append(run_events.FaultMet(reason="first"))
        monkeypatch.setattr(event_log, "write_line", second_line_is_interrupted)
        with pytest.raises(KeyboardInterrupt), log.faults_on_record():
            log.append(run_events.FaultMet(reason="second"))
        log.check_whole()
    kept = ["first", *(["second"] if written == 1.0 else []), "interrupted"]
    assert list(read_run(tmp_path).faults) == kept


def test_every_event_of_a_run_is_a_value_that_writes_the_same_line(tmp_path: Path) -> None:
    fake_pipeline.carry_out(fake_pipeline.write_pipeline(tmp_path / "project"))
    sealed = ("time", "previous_sha256", "line_sha256")
    seen: set[type[Event]] = set()
    for line in read_events(tmp_path / "project" / "run"):
        event = event_from_json(line, "here")
        seen.add(type(event))
        with EventLog.open(tmp_path / "again") as log:
            [again] = log.append(event.to_json())
        assert {k: v for k, v in again.items() if k not in sealed} == {k: v for k, v in line.items() if k not in sealed}
    assert len(seen) > 10
    assert seen <= {*KINDS}


def test_every_kind_of_event_is_read_and_is_in_the_file_of_its_subject() -> None:
    files = (run_events, stage_events, gate_events)
    concrete = {
        one for file in files for one in vars(file).values() if isinstance(one, type) and issubclass(one, Event)
    }
    assert {one for one in concrete if one.KIND} == {*KINDS}
    assert len({kind.KIND for kind in KINDS}) == len(KINDS)
    for kind in KINDS:
        about_a_gate, about_an_attempt = issubclass(kind, gate_events.OfGate), issubclass(kind, stage_events.OfAttempt)
        assert about_a_gate == (kind.__module__ == gate_events.__name__), kind
        assert not about_an_attempt or kind.__module__ == stage_events.__name__, kind


def test_an_event_of_a_later_version_is_passed_over() -> None:
    assert event_from_json({"event": "moved", "to": "another house"}, "here") == Unknown()


class Reader:
    """Opens a log that somebody edits in place, without another length, just before the run passes."""

    def __init__(self, old: bytes, new: bytes) -> None:
        self.old, self.new = old, new

    def open_log(self, folder: Path) -> RunLog:
        old, new = self.old, self.new

        class Edited(RunLog):
            def append(self, *events: Event, durable: bool = True) -> None:
                if isinstance(events[0], RunDecided):
                    with (folder / EVENTS).open("r+b") as file:
                        text = file.read()
                        file.seek(text.index(old))
                        file.write(new)
                super().append(*events, durable=durable)

        return Edited.open(folder)


def test_nothing_passes_on_a_record_that_was_changed_meanwhile(tmp_path: Path) -> None:
    path = fake_pipeline.write_pipeline(tmp_path / "project")
    with pytest.raises(Tampered, match="this line does not match its own hash"):
        fake_pipeline.carry_out(path, open_log=Reader(b'"verdict": "FAIL"', b'"verdict": "PASS"').open_log)
    kinds = [line for line in (path.parent / "run" / EVENTS).read_text().splitlines() if '"run_decided"' in line]
    assert kinds == []
    assert not (path.parent / "registry").exists()


def test_a_record_cannot_be_changed(tmp_path: Path) -> None:
    run = fake_pipeline.carry_out(fake_pipeline.write_pipeline(tmp_path / "project"))
    attempt = run.stages["sft"].attempts[1]
    gate = attempt.gates["facts"]
    forbidden: list[Any] = [run.stages, run.start, run.start["suites"], attempt.gates, attempt.settings, gate.terms]
    for mapping in (*forbidden, gate.judged.outcomes, gate.answers.responses):
        with pytest.raises(TypeError, match="cannot be changed"):
            mapping["x"] = 1
        with pytest.raises(TypeError, match="cannot be changed"):
            mapping.clear()
    with pytest.raises(TypeError, match="cannot be changed"):
        run.start["stages"].append("more")
    for part in (run, run.stages["sft"], attempt, gate):
        with pytest.raises(FrozenInstanceError):
            part.reason = "because"  # type: ignore[misc]
    with pytest.raises(TypeError):
        gate.outcomes[0] = None  # type: ignore[index]
    assert replace(gate, reason="a copy").reason == "a copy"


def test_a_record_is_checked_line_by_line(tmp_path: Path) -> None:
    with EventLog.open(tmp_path) as log:
        for number in range(200):
            log.append({"event": "of a later version", "text": f"{number} " * 2000}, durable=False)
        last = log.last_sha256
    size = (tmp_path / EVENTS).stat().st_size
    tracemalloc.start()
    try:
        assert digest_of(tmp_path) == last
        with EventLog.open(tmp_path) as again:
            assert again.last_sha256 == last
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (tmp_path / EVENTS).stat().st_size == size > 5 * peak
