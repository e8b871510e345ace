"""Trainings run in a process of their own: what they say is read, and how they die is told."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tunegate.training.trainer import ScriptedTrainer, SubprocessTrainer, TrainJob


def job(folder: Path) -> TrainJob:
    return TrainJob("sft", "base", "data.jsonl", str(folder / "model"), 7, {"learning_rate": 1e-3}, {"r": 8})


def trainer(code: str) -> SubprocessTrainer:
    return SubprocessTrainer((sys.executable, "-c", f"import json, os, sys\n{code}"))


def test_a_job_goes_out_and_a_result_comes_back(tmp_path: Path) -> None:
    code = (
        "job = json.load(open(sys.argv[1]))\n"
        "result = {'log': [{'step': 1, 'loss': job['seed']}], 'summary': {'rows': 3}, 'error': None}\n"
        "result['failure'] = 'other'\n"
        "json.dump(result, open(sys.argv[2], 'w'))\n"
        "print('noise')"
    )
    result = trainer(code)(job(tmp_path))
    assert (result.log, result.summary, result.error) == ([{"step": 1, "loss": 7}], {"rows": 3}, None)
    assert result.seconds > 0
    sent = json.loads((tmp_path / "job.json").read_text())
    assert (sent["method"], sent["args"], sent["peft"], sent["save"]) == (
        "sft",
        {"learning_rate": 1e-3},
        {"r": 8},
        "merged",
    )


def test_what_a_training_prints_does_not_reach_standard_output(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    trainer("print('noise')")(job(tmp_path))
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "noise\n")


@pytest.mark.parametrize(
    ("code", "died"),
    [
        ("sys.exit(3)", "exit code 3"),
        ("os.kill(os.getpid(), 9)", "signal 9"),
        ("pass", "exit code 0"),
        ("open(sys.argv[2], 'w').write('{half')", "exit code 0"),
        ("raise MemoryError", "exit code 1"),
    ],
)
def test_a_training_that_leaves_no_result_says_how_it_died(tmp_path: Path, code: str, died: str) -> None:
    result = trainer(code)(job(tmp_path))
    assert result.error == f"the training process ended with {died} without a result"


def test_an_old_result_is_not_taken_for_a_new_one(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text('{"log": [], "summary": {}, "error": null, "failure": "other"}')
    assert trainer("sys.exit(1)")(job(tmp_path)).error is not None


def test_the_fake_writes_what_its_script_says(tmp_path: Path) -> None:
    assert ScriptedTrainer(lambda given: f"seed {given.seed}")(job(tmp_path)).error is None
    assert (tmp_path / "model" / "weights.txt").read_text() == "seed 7"

    def failing(given: TrainJob) -> str:
        raise RuntimeError("out of memory")

    assert ScriptedTrainer(failing)(job(tmp_path / "2")).error == "out of memory"
    assert not (tmp_path / "2").exists()
