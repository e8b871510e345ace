"""The leakage guard of a pipeline: leaked rows are refused, or dropped and put on record."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy
import pytest

from tests.support.bank import write_jsonl
from tests.support.fake_pipeline import PIPELINE, carry_out, load, tools, write_pipeline
from tunegate.checks.outcome import Verdict
from tunegate.cli import main
from tunegate.exceptions import ConfigError
from tunegate.pipeline.leak_guard import drop_leaks, in_words, leaks_of
from tunegate.training.trainer import TrainJob, TrainResult

DROP = PIPELINE.replace("stages:\n", "leakage: drop_from_train\nstages:\n", 1)


def leaky(folder: Path, text: str, rows: int = 8) -> Path:
    """A pipeline with two leaked SFT rows before `rows` clean ones, and one leaked pair."""
    path = write_pipeline(folder, text)
    taught = ["case 3?", "CASE 7", *(f"train {n}?" for n in range(rows))]
    write_jsonl(folder / "train.jsonl", [{"prompt": prompt, "completion": "x"} for prompt in taught])
    asked = ["case 5 ?", *(f"pair {n}?" for n in range(8))]
    write_jsonl(folder / "pairs.jsonl", [{"prompt": prompt, "chosen": "a", "rejected": "b"} for prompt in asked])
    return path


def test_every_stage_is_compared_before_the_first_is_trained(tmp_path: Path) -> None:
    def train(job: TrainJob) -> TrainResult:
        raise AssertionError("trained on leaked data")

    run = carry_out(leaky(tmp_path, PIPELINE), replace(tools(), train=train))
    assert run.verdict is Verdict.INVALID
    assert {(leak["stage"], leak["train_row"], leak["kind"]) for leak in run.leaks} == {
        ("sft", 1, "exact"),
        ("sft", 2, "exact"),
        ("align", 1, "exact"),
    }
    shown = next(leak for leak in run.leaks if leak["train_row"] == 2)
    assert (shown["train_text"], shown["case_text"]) == ("CASE 7", "case 7?")


def test_leaked_rows_are_dropped_recorded_and_never_trained_on(tmp_path: Path) -> None:
    path = leaky(tmp_path, DROP)
    run = carry_out(path)
    assert run.verdict is not Verdict.INVALID
    assert run.leaks == ()
    facts = [{key: stage[key] for key in ("stage", "of", "left", "rows", "cases")} for stage in run.dropped]
    assert facts == [
        {"stage": "sft", "of": 10, "left": 8, "rows": [1, 2], "cases": ["facts/3", "facts/7", "style/3", "style/7"]},
        {"stage": "align", "of": 9, "left": 8, "rows": [1], "cases": ["facts/5", "style/5"]},
    ]
    trained = [file.read_text() for file in run.folder.glob("*/attempt-*/data.jsonl")]
    assert trained
    assert not any("case" in text.casefold() for text in trained)
    carry_out(path)
    assert sum('"leaks_dropped"' in line for line in (run.folder / "events.jsonl").read_text().splitlines()) == 1


def test_a_rung_above_the_rows_that_leaks_leave_means_all_of_them(tmp_path: Path) -> None:
    pipeline = load(leaky(tmp_path, DROP, rows=6))
    left, dropped = drop_leaks(pipeline, leaks_of(pipeline))
    assert left.stages[0].retrain.rows == [2, 4, 6]
    assert "the last value of retrain.rows is now 6" in in_words(dropped)


def test_all_rows_are_a_rung(tmp_path: Path) -> None:
    pipeline = load(leaky(tmp_path, DROP.replace("rows: [2, 4, 8]", "rows: [2, all]"), rows=6))
    assert pipeline.stages[0].retrain.rows == [2, 8]
    left, _ = drop_leaks(pipeline, leaks_of(pipeline))
    assert left.stages[0].retrain.rows == [2, 6]


def test_two_rungs_that_mean_all_rows_are_one(tmp_path: Path) -> None:
    """A second attempt on the very same rows would be a second throw."""
    pipeline = load(leaky(tmp_path, DROP.replace("rows: [2, 4, 8]", "rows: [4, 7, 8]"), rows=6))
    left, _ = drop_leaks(pipeline, leaks_of(pipeline))
    assert left.stages[0].retrain.rows == [4, 6]


def test_a_run_goes_on_with_the_rows_that_are_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = leaky(tmp_path, DROP, rows=6)
    assert main(["check", str(path)]) == 0
    assert "retrain.rows: 8 exceeds the rows left to train on: all 6 rows" in capsys.readouterr().out
    run = carry_out(path)
    assert run.verdict is not Verdict.INVALID


def test_no_row_left_is_an_error(tmp_path: Path) -> None:
    path = write_pipeline(tmp_path, DROP.replace(", rows: [2, 4, 8]", ""))
    write_jsonl(tmp_path / "train.jsonl", [{"prompt": "case 1?", "completion": "x"}])
    pipeline = load(path)
    with pytest.raises(ConfigError, match="left none"):
        drop_leaks(pipeline, leaks_of(pipeline))


def test_check_tells_what_a_run_will_drop(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = leaky(tmp_path, DROP)
    assert main(["check", str(path)]) == 0
    assert "dropped as leaks: 2 of 10 training rows of stage sft" in capsys.readouterr().out
    assert main(["check", str(path), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["verdict"], result["leaks"], len(result["dropped"])) == ("PASS", [], 2)


def test_meaning_is_compared_where_the_file_asks_for_it(tmp_path: Path) -> None:
    def embed(texts: Sequence[str]) -> dict[str, numpy.ndarray]:
        return {text: numpy.array([1.0, 0.0] if text in ("case 0?", "train 4?") else [0.0, 1.0]) for text in texts}

    text = PIPELINE.replace("stages:\n", "leakage: {embed: 0.95}\nstages:\n", 1)
    pipeline = load(write_pipeline(tmp_path, text))
    with pytest.raises(ConfigError, match="leakage: embed"):
        leaks_of(pipeline)
    leaks = leaks_of(pipeline, embed)
    assert {(leak.kind, leak.train_row) for leak in leaks if leak.case_id == "0"} == {("embedding", 5)}
    assert leaks_of(load(write_pipeline(tmp_path / "b", PIPELINE)), embed) == []


@pytest.mark.parametrize("wrong", ["drop", "{action: refuse, embd: 0.9}", "{embed: 1.5}"])
def test_a_wrong_setting_is_named(tmp_path: Path, wrong: str) -> None:
    text = PIPELINE.replace("stages:\n", f"leakage: {wrong}\nstages:\n", 1)
    with pytest.raises(ConfigError, match="leakage"):
        load(write_pipeline(tmp_path, text))
