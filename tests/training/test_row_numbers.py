"""Rows that a training leaves out or stumbles over are named as the user's file numbers them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.support.bank import write_jsonl
from tests.support.fake_pipeline import PIPELINE, load, tools, trainer, write_pipeline
from tunegate.record.record import RunRecord
from tunegate.record.run_log import RunLog
from tunegate.training.pipeline_run import PipelineRun
from tunegate.training.trainer import TrainJob, TrainResult
from tunegate_reports import write_html

REPLAY = PIPELINE.replace("rows: [2, 4, 8]", "replay: [0.5], replay_data: general.jsonl")


def lines_with(job: TrainJob, *words: str) -> list[int]:
    lines = Path(job.data).read_text().splitlines()
    return [number for number, line in enumerate(lines, start=1) if any(word in line for word in words)]


def carry_out(path: Path, train: object, said: list[str]) -> RunRecord:
    with RunLog.open(path.parent / "run") as log:
        return PipelineRun(load(path), log, replace(tools(), train=train, say=said.append)).execute()


def leaving_out(*words: str):
    """A training that finds the rows with these words too long, and counts the lines of its own file."""
    base = trainer({"sft#1": 1.0})

    def train(job: TrainJob) -> TrainResult:
        result, dropped = base(job), lines_with(job, *words)
        more = {"rows_dropped": len(dropped), "dropped_rows": dropped, "row_limit": ["max_length", 100]}
        return replace(result, summary={**result.summary, **more})

    return train


def test_rows_left_out_are_numbered_as_in_the_users_file_and_told(tmp_path: Path) -> None:
    path = write_pipeline(tmp_path, PIPELINE.replace("rows: [2, 4, 8]", "rows: [all]"))
    said: list[str] = []
    run = carry_out(path, leaving_out("train 2?", "train 5?"), said)
    assert run.stages["sft"].attempts[1].summary["dropped_rows"] == [3, 6]
    assert "sft#1: 2 rows of train.jsonl left out (longer than max_length 100): rows 3, 6" in said
    write_html(run, tmp_path / "report.html")
    assert "2 rows dropped as too long: 3, 6" in (tmp_path / "report.html").read_text()


def test_rows_of_the_general_data_have_numbers_of_their_own(tmp_path: Path) -> None:
    path = write_pipeline(tmp_path, REPLAY)
    write_jsonl(tmp_path / "general.jsonl", [{"prompt": f"general {i}?", "completion": "yes"} for i in range(4)])
    said: list[str] = []
    run = carry_out(path, leaving_out("train 2?", "general 3?"), said)
    summary = run.stages["sft"].attempts[1].summary
    assert (summary["dropped_rows"], summary["dropped_replay_rows"]) == ([3], [4])
    assert any("1 row of train.jsonl" in line and "1 row of general.jsonl" in line for line in said)


def test_an_error_of_a_training_names_the_users_row(tmp_path: Path) -> None:
    def train(job: TrainJob) -> TrainResult:
        return TrainResult(error=f"{job.data}:{lines_with(job, 'train 4?')[0]}: the prompt is no chat")

    run = carry_out(write_pipeline(tmp_path, PIPELINE.replace("rows: [2, 4, 8]", "rows: [all]")), train, [])
    assert run.stages["sft"].attempts[1].error == f"{tmp_path / 'train.jsonl'}:5: the prompt is no chat"


def test_nothing_is_said_where_nothing_was_left_out(tmp_path: Path) -> None:
    said: list[str] = []
    carry_out(write_pipeline(tmp_path), trainer({"sft#1": 1.0}), said)
    assert not any("left out" in line for line in said)
