"""What the report of an unfinished run says is under way."""

from __future__ import annotations

from pathlib import Path

import pytest

from tunegate.cli import main
from tunegate.record.event_log import EventLog, RawEvent, is_being_written
from tunegate.record.read_run import read_run
from tunegate.record.under_way import under_way
from tunegate_reports.answer import answer

START: RawEvent = {"event": "run_started", "name": "demo", "stages": ["sft"], "pipeline_sha256": "", "model": "base"}
STAGE: RawEvent = {"event": "stage_started", "stage": "sft", "method": "sft", "gates": ["facts"]}
AT = {"stage": "sft", "attempt": 2}
ATTEMPT: RawEvent = {**AT, "event": "attempt_started", "seed": 1, "settings": {}, "input_sha256": ""}
ROWS: RawEvent = {**AT, "event": "rows_written", "rows": 1080, "data_sha256": ""}
TRAINED: RawEvent = {
    **AT,
    "event": "trained",
    "model": "m",
    "model_sha256": "",
    "log": [],
    "summary": {},
    "seconds": 1.0,
}
FAILED: RawEvent = {**AT, "event": "training_failed", "error": "out of memory"}
GATE: RawEvent = {
    **AT,
    "event": "gate_started",
    "gate": "facts",
    "suite_sha256": "",
    "model_sha256": None,
    "seed": 1,
    "drawn": 2,
    "accept": 2,
    "case_ids": ["a", "b"],
}


def write(folder: Path, *events: RawEvent) -> None:
    with EventLog.open(folder) as log:
        log.append(*events)


@pytest.mark.parametrize(
    ("events", "words"),
    [
        ([START], "nothing has been trained or asked so far"),
        ([START, STAGE], "stage sft has begun, but no training has started"),
        ([START, STAGE, ATTEMPT], "sft, attempt 2 is being trained"),
        ([START, STAGE, ATTEMPT, ROWS], "sft, attempt 2 is being trained on 1,080 rows"),
        ([START, STAGE, ATTEMPT, FAILED], "sft, attempt 2: the training failed: out of memory"),
        ([START, STAGE, ATTEMPT, ROWS, TRAINED], "sft, attempt 2 is trained, but no gate has begun"),
        ([START, STAGE, ATTEMPT, TRAINED, GATE], "sft, attempt 2, facts is under way, 0 of 2 cases judged"),
    ],
)
def test_what_is_under_way(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], events: list[RawEvent], words: str
) -> None:
    write(tmp_path, *events)
    run = read_run(tmp_path)
    assert under_way(run) == words
    assert answer(run).sentence == f"demo is not finished: {words}."
    assert main(["report", str(tmp_path)]) == 0
    assert f"not finished: {words}; no process is working on it\n" in capsys.readouterr().out


def test_whether_a_process_is_at_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, START, STAGE, ATTEMPT)
    with EventLog.open(tmp_path) as log:
        assert is_being_written(tmp_path)
        assert main(["report", str(tmp_path)]) == 0
        assert "is being trained; a process is working on it" in capsys.readouterr().out
        log.append({"event": "fault", "reason": "interrupted"})
    assert not is_being_written(tmp_path)
    assert main(["report", str(tmp_path)]) == 0
    assert "is being trained; no process is working on it: interrupted" in capsys.readouterr().out
