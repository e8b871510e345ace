"""The record: what is appended comes back as it was, what was changed shows, and a torn line costs only itself."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import fake_pipeline
from tunegate.checks.outcome import ErrorSpan, Finding, Outcome, Verdict
from tunegate.cli import main
from tunegate.exceptions import CannotJudge, ConfigError, Tampered, TunegateError
from tunegate.reading.chats import Message
from tunegate.record.event_log import EVENTS, EventLog, last_event, read_events
from tunegate.record.outcome_json import outcome_from_json, outcome_to_json
from tunegate.record.read_run import read_run
from tunegate.record.run_log import RunLog


def write_events(folder: Path, n: int = 3) -> Path:
    with EventLog.open(folder) as log:
        for number in range(n):
            log.append({"event": "note", "number": number})
    return folder / EVENTS


def numbers(folder: Path) -> list[int]:
    return [event["number"] for event in read_events(folder)]


def test_what_is_appended_is_read(tmp_path: Path) -> None:
    write_events(tmp_path)
    write_events(tmp_path, 2)
    assert numbers(tmp_path) == [0, 1, 2, 0, 1]


def test_events_are_on_disk_before_append_returns(tmp_path: Path) -> None:
    with EventLog.open(tmp_path) as log:
        log.append({"event": "note", "number": 0}, durable=False)
        assert numbers(tmp_path) == [0]


@pytest.mark.parametrize("cut", [1, 2, 40])
def test_a_torn_last_line_is_dropped_and_work_goes_on(tmp_path: Path, cut: int) -> None:
    events = write_events(tmp_path)
    events.write_bytes(events.read_bytes()[:-cut])
    assert numbers(tmp_path) == [0, 1]
    write_events(tmp_path, 1)
    assert numbers(tmp_path) == [0, 1, 0]


def test_a_record_that_is_only_a_torn_line_is_empty(tmp_path: Path) -> None:
    (tmp_path / EVENTS).write_bytes(b'{"event": "run_sta')
    assert last_event(tmp_path) is None
    with pytest.raises(ConfigError, match="nosuch: no such folder"):
        list(read_events(tmp_path / "nosuch"))
    assert list(read_events(tmp_path)) == []
    write_events(tmp_path, 1)
    assert numbers(tmp_path) == [0]


@given(data=st.data())
def test_any_changed_byte_is_tampering(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("record")
    events = write_events(folder)
    content = bytearray(events.read_bytes())
    place = data.draw(st.integers(0, len(content) - 2))  # without the last line's end a line is only torn
    content[place] = data.draw(st.integers(0, 255).filter(lambda byte: byte != content[place]))
    events.write_bytes(content)
    with pytest.raises(Tampered):
        list(read_events(folder))


@pytest.mark.parametrize("drop", [0, 1])
def test_a_line_taken_out_is_tampering(tmp_path: Path, drop: int) -> None:
    events = write_events(tmp_path)
    lines = events.read_bytes().splitlines(keepends=True)
    del lines[drop]
    events.write_bytes(b"".join(lines))
    with pytest.raises(Tampered, match=rf"events\.jsonl:{drop + 1}: this line does not continue"):
        list(read_events(tmp_path))


def test_lines_in_another_order_are_tampering(tmp_path: Path) -> None:
    events = write_events(tmp_path)
    events.write_bytes(b"".join(reversed(events.read_bytes().splitlines(keepends=True))))
    with pytest.raises(Tampered):
        list(read_events(tmp_path))


@pytest.mark.parametrize("garbage", [b"5\n", b"[]\n", b'{"previous_sha256": ""}\n', b"\xff\xfe\n"])
def test_garbage_is_tampering_for_every_reader(tmp_path: Path, garbage: bytes) -> None:
    (tmp_path / EVENTS).write_bytes(garbage)
    for read in (read_run, last_event, EventLog.open, RunLog.open):
        with pytest.raises(Tampered):
            read(tmp_path)


def test_the_command_line_ends_with_5_on_a_changed_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    events = write_events(tmp_path)
    events.write_text(events.read_text().replace('"number": 2', '"number": 3'))
    assert main(["report", str(tmp_path)]) == 5
    assert "events.jsonl:3: this line does not match its own hash" in capsys.readouterr().err


def test_a_folder_without_a_record_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not a run folder"):
        list(read_events(tmp_path))
    assert last_event(tmp_path) is None


def test_the_last_event_is_found_behind_long_lines(tmp_path: Path) -> None:
    with EventLog.open(tmp_path) as log:
        for size in (10, 200_000, 70_000, 300_000):
            log.append({"event": "note", "number": size, "text": "x" * size})
            last = last_event(tmp_path)
            assert last is not None
            assert last["number"] == size


# --- two writers ---------------------------------------------------------------------------------------------------


def test_a_second_writer_in_the_same_process_is_refused(tmp_path: Path) -> None:
    with EventLog.open(tmp_path):
        with pytest.raises(ConfigError, match="another tunegate process is writing"):
            EventLog.open(tmp_path)
    EventLog.open(tmp_path).close()


def test_a_second_process_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from tunegate.record.event_log import EventLog; "
        "EventLog.open(Path(sys.argv[1]))"
    )
    with EventLog.open(tmp_path) as log:
        log.append({"event": "note", "number": 1})
        before = (tmp_path / EVENTS).read_bytes()
        second = subprocess.run(
            [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=False
        )
        assert second.returncode != 0
        assert "ConfigError" in second.stderr
        assert (tmp_path / EVENTS).read_bytes() == before


def test_no_file_beside_the_record_can_be_deleted_to_let_a_second_writer_in(tmp_path: Path) -> None:
    with EventLog.open(tmp_path) as log:
        log.append({"event": "note", "number": 1})
        for path in tmp_path.iterdir():
            if path.name != EVENTS:
                path.unlink()
        with pytest.raises(ConfigError, match="another tunegate process is writing"):
            EventLog.open(tmp_path)


def test_a_record_that_is_deleted_under_its_writer_is_noticed(tmp_path: Path) -> None:
    with EventLog.open(tmp_path) as log:
        log.append({"event": "note", "number": 1})
        (tmp_path / EVENTS).unlink()
        with pytest.raises(CannotJudge, match="the record is gone"):
            log.append({"event": "note", "number": 2})


def test_a_record_that_is_replaced_under_its_writer_is_noticed(tmp_path: Path) -> None:
    """A second process that begins anew, or whoever puts a record there that says something else."""
    with EventLog.open(tmp_path) as log:
        log.append({"event": "note", "number": 1})
        (tmp_path / EVENTS).unlink()
        with EventLog.open(tmp_path) as second:
            second.append({"event": "note", "number": 1})
        with pytest.raises(Tampered, match="another file replaced the record"):
            log.append({"event": "note", "number": 2})


def test_a_folder_that_is_a_file_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(CannotJudge, match="cannot write to the run folder"):
        EventLog.open(tmp_path / "run")


# --- round trip ----------------------------------------------------------------------------------------------------


def merged(text: str) -> str:
    """JSON cannot tell two halves of a surrogate pair that stand side by side from the character they make."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


any_text = st.text(st.characters(categories=None), max_size=30).map(merged)
prompts = any_text | st.lists(
    st.builds(
        lambda role, content: Message(role=role, content=content), st.sampled_from(["user", "assistant"]), any_text
    ),
    min_size=1,
    max_size=3,
).map(tuple)
finite = st.floats(allow_nan=False, allow_infinity=False)
verdicts = st.sampled_from([Verdict.PASS, Verdict.FAIL, Verdict.INVALID])
spans = st.builds(ErrorSpan, any_text, st.integers(0, 99), st.integers(0, 99), any_text)
findings = st.builds(
    Finding,
    any_text,
    verdicts,
    st.none() | finite | st.booleans() | any_text,
    any_text,
    any_text,
    st.none() | finite,
    st.lists(spans, max_size=2).map(tuple),
    st.none() | any_text,
)
texts = st.lists(any_text, max_size=3).map(tuple)
outcomes = st.builds(
    Outcome, any_text, verdicts, any_text, st.lists(findings, max_size=3).map(tuple), prompts, any_text, texts, texts,
    st.none() | any_text,
)  # fmt: skip


@given(outcome=outcomes)
def test_any_outcome_comes_back_as_it_was(tmp_path_factory: pytest.TempPathFactory, outcome: Outcome) -> None:
    folder = tmp_path_factory.mktemp("record")
    with EventLog.open(folder) as log:
        log.append({"event": "outcome", "outcome": outcome_to_json(outcome)})
    [event] = read_events(folder)
    assert outcome_from_json(event["outcome"]) == outcome


@pytest.mark.parametrize("text", ["👩🏽‍🚀", "שלום", "\ud83d", "\x00\x1b[2J\x7f", "a\r\nb\u2028c\x85d", "x" * 100_000])
def test_difficult_texts_come_back(tmp_path: Path, text: str) -> None:
    with EventLog.open(tmp_path) as log:
        log.append({"event": "note", "text": text})
        log.append({"event": "note", "text": "next"})
    assert [event["text"] for event in read_events(tmp_path)] == [text, "next"]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_scores_that_are_no_numbers_are_kept_as_text(tmp_path: Path, value: float) -> None:
    outcome = Outcome("1", Verdict.INVALID, "", (Finding("score", Verdict.INVALID, value),), "?", "!")
    with EventLog.open(tmp_path) as log:
        log.append({"event": "outcome", "outcome": outcome_to_json(outcome)})
    [event] = read_events(tmp_path)
    assert outcome_from_json(event["outcome"]).findings[0].value == str(value)


def test_a_loss_that_is_no_number_does_not_stop_a_run(tmp_path: Path) -> None:
    log_of_training: list[Any] = [{"step": 1, "loss": math.nan}, {"step": 2, "loss": 0.5, "more": (math.inf,)}]
    with EventLog.open(tmp_path) as log:
        log.append({"event": "note", "log": log_of_training})
    [event] = read_events(tmp_path)
    assert event["log"] == [{"step": 1, "loss": "nan"}, {"step": 2, "loss": 0.5, "more": ["inf"]}]


def test_every_line_is_json_that_other_programs_read(tmp_path: Path) -> None:
    events = write_events(tmp_path)
    with EventLog.open(tmp_path) as log:
        log.append({"event": "note", "number": 9, "text": "\ud800 😀"})
    for line in events.read_text(encoding="utf-8").splitlines():
        assert json.loads(line)["event"] == "note"


FULL_DISK = """
import resource, sys
from pathlib import Path
from tunegate.record.event_log import EVENTS, EventLog
from tunegate.exceptions import CannotJudge

folder = Path(sys.argv[1])
with EventLog.open(folder) as log:
    log.append({"event": "note", "number": 1})
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((folder / EVENTS).stat().st_size + 20, unlimited[1]))
    try:
        log.append({"event": "note", "number": 2})
    except CannotJudge as error:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
        log.append({"event": "fault", "reason": str(error)})
"""


def test_a_write_that_is_cut_short_leaves_whole_lines_to_append_to(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", FULL_DISK, str(tmp_path)], check=True)
    first, fault = read_events(tmp_path)
    assert first["number"] == 1
    assert "writing the record failed" in fault["reason"]


@pytest.mark.parametrize("kind", ["symlink", "file"])
def test_a_file_that_is_no_record_is_not_overwritten(tmp_path: Path, kind: str) -> None:
    foreign = tmp_path / ("secrets.env" if kind == "symlink" else EVENTS)
    foreign.write_text("TOKEN=abc")
    if kind == "symlink":
        (tmp_path / EVENTS).symlink_to(foreign)
    with pytest.raises(TunegateError):
        EventLog.open(tmp_path)
    assert foreign.read_text() == "TOKEN=abc"


@pytest.mark.parametrize(
    "event", [{"event": "outcome"}, {"event": "run_started"}, {"event": "gate_decided", "gate": "x"}]
)
def test_a_sealed_event_that_lacks_something_is_tampering(tmp_path: Path, event: dict[str, str]) -> None:
    with EventLog.open(tmp_path) as log:
        log.append(event)
    with pytest.raises(Tampered):
        read_run(tmp_path)


def test_reading_takes_time_that_grows_with_the_number_of_cases(tmp_path: Path) -> None:
    """Four times as many cases take four times as long; with one pass over the ids for each case, sixteen times."""
    few, many = (min(_seconds_to_read(tmp_path / str(cases), cases) for _ in range(3)) for cases in (3000, 12_000))
    assert many < 10 * few


def _seconds_to_read(folder: Path, cases: int) -> float:
    ids = [str(number) for number in range(cases)]
    if not folder.exists():
        place = {"gate": "facts", "stage": None, "attempt": None}
        plan = {"suite_sha256": "s", "model_sha256": None, "seed": 0, "drawn": len(ids), "accept": 1, "case_ids": ids}
        with EventLog.open(folder) as log:
            log.append({"event": "gate_started", **place, **plan})
            for case_id in reversed(ids):
                outcome = outcome_to_json(Outcome(case_id, Verdict.PASS, "", (), "?", "!"))
                log.append({"event": "outcome", **place, "outcome": outcome}, durable=False)
    started = time.process_time()
    gate = read_run(folder).gates["facts"]
    seconds = time.process_time() - started
    assert [outcome.case_id for outcome in gate.outcomes] == ids
    return seconds


# --- values that nothing here has written, under hashes made anew ---------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        ("gate_decided", "interval", [[]]),
        ("gate_decided", "interval", ["a", "b"]),
        ("gate_decided", "reason", 0),
        ("gate_decided", "asked", "x"),
        ("gate_started", "case_ids", True),
        ("gate_started", "case_ids", [[]]),
        ("gate_started", "terms", {"plan": 1}),
        ("outcome", "outcome", 3),
        ("answered", "answers", [{"id": "a", "response": "x", "finish_reason": "stop", "tries": -1}]),
        ("trained", "log", [None]),
        ("attempt_started", "settings", "sft"),
        ("stage_decided", "luck", -0.0),
        ("diagnosed", "evidence", 1.5),
    ],
)
def test_values_that_no_run_writes_are_tampering_and_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str, name: str, value: object
) -> None:
    fake_pipeline.carry_out(fake_pipeline.write_pipeline(tmp_path / "project"))
    events = [dict(event) for event in read_events(tmp_path / "project" / "run")]
    next(event for event in events if event["event"] == kind)[name] = value
    with EventLog.open(tmp_path / "edited") as log:
        log.append(*events)
    assert main(["report", str(tmp_path / "edited"), "--recheck"]) == 5
    [line] = capsys.readouterr().err.splitlines()[-1:]
    assert "is not valid" in line or "not on record" in line


def test_the_end_of_a_gate_changes_nothing_that_was_registered(tmp_path: Path) -> None:
    fake_pipeline.carry_out(fake_pipeline.write_pipeline(tmp_path / "project"))
    events = [dict(event) for event in read_events(tmp_path / "project" / "run")]
    for event in events:
        if event["event"] == "gate_decided":
            event |= {"case_ids": [], "terms": {}, "model_sha256": "x", "judged": {}, "answers": None, "seed": -1}
    with EventLog.open(tmp_path / "edited") as log:
        log.append(*events)
    whole, edited = read_run(tmp_path / "project" / "run"), read_run(tmp_path / "edited")
    assert edited.all_gates() == whole.all_gates()
