"""Checkpoints that are not what the training saved: it starts again or refuses, and runs nothing from them."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.places import ROOT
from tests.support.trainer_jobs import LORA, MakeJob, real_training
from tests.trainers.test_resume_training import SAVING, interrupted, weights
from tests.trainers.test_watch import ROWS, STEPS, scripted, suite, watching
from tunegate.suites.suite import Suite
from tunegate.training.trainer import TrainJob, checkpoints_of
from tunegate_trainers import checkpoints
from tunegate_trainers.process import main, run
from tunegate_trainers.watch import WEIGHTS

__all__ = ["suite"]
pytestmark = real_training


class Bomb:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self.mark,)


def left(job: TrainJob) -> Path:
    """The checkpoint of an interrupted job."""
    interrupted(job, 5)
    return checkpoints_of(job) / "checkpoint-4"


def of_another_job(checkpoint: Path, make_job: MakeJob) -> None:
    other = left(make_job(name="other", args=SAVING, peft={**LORA, "lora_dropout": 0.5}, seed=9))
    shutil.rmtree(checkpoint)
    other.rename(checkpoint)


def with_a_pickle(checkpoint: Path, make_job: MakeJob) -> None:
    with (checkpoint / "optimizer.pt").open("wb") as file:
        pickle.dump(Bomb(checkpoint.parents[1] / "mark"), file, protocol=2)  # that of torch


POISONS = {of_another_job: "it is of another training", with_a_pickle: "optimizer.pt changed after it was saved"}


@pytest.mark.parametrize(("poison", "told"), POISONS.items(), ids=[poison.__name__ for poison in POISONS])
def test_a_poisoned_checkpoint_is_told_and_removed_and_the_training_begins_anew(
    poison: Any, told: str, make_job: MakeJob, capsys: pytest.CaptureFixture[str]
) -> None:
    job, whole = (make_job(name=name, args=SAVING) for name in ("cut", "whole"))
    poison(left(job), make_job)
    capsys.readouterr()
    log, _ = run(job)
    said = capsys.readouterr().err
    assert f"checkpoint-4 of {checkpoints_of(job)}: {told}: not used, and removed" in said
    assert [entry["step"] for entry in log if "loss" in entry] == [1, 2, 3, 4, 5, 6]
    run(whole)
    assert weights(job) == weights(whole)
    assert not (Path(job.output).parent / "mark").exists()


def test_a_pickle_behind_a_forged_seal_is_not_run(make_job: MakeJob) -> None:
    """Who can write a seal too is stopped by torch, which loads tensors alone: the training fails, and says so."""
    job = make_job(args=SAVING)
    checkpoint = left(job)
    with_a_pickle(checkpoint, make_job)
    checkpoints.seal(checkpoint, job)
    folder = Path(job.output).parent
    (folder / "job.json").write_text(json.dumps(asdict(job)))
    assert main(folder / "job.json", folder / "result.json") == 1
    assert "Weights only load failed" in json.loads((folder / "result.json").read_text())["error"]
    assert not (folder / "mark").exists()
    assert not Path(job.output).exists()


def fake(folder: Path) -> TrainJob:
    """A sealed folder of a job."""
    (folder / "ref").mkdir(parents=True)
    for name in ("weights", "optimizer.pt", "ref/weights"):
        (folder / name).write_text(f"the {name}")
    job = TrainJob("sft", "base", "data.jsonl", "model", 1, data_sha256="0" * 64)
    checkpoints.seal(folder, job)
    return job


FAULTS = {
    "nothing": (lambda folder: None, {}, None),
    "cut short": (
        lambda folder: (folder / "weights").write_text("the weigh"),
        {},
        "weights changed after it was saved",
    ),
    "one file more": (lambda folder: (folder / "a.pt").write_text("x"), {}, "a.pt changed after it was saved"),
    "one file less": (lambda folder: (folder / "ref/weights").unlink(), {}, "ref/weights changed after it was saved"),
    "a link to the same": (
        lambda folder: (
            (folder / "weights").rename(folder.with_name("w")),
            (folder / "weights").symlink_to(folder.with_name("w")),
        ),
        {},
        "weights changed after it was saved",
    ),
    "no seal": (lambda folder: (folder / checkpoints.SEAL).unlink(), {}, "not finished"),
    "half a seal": (lambda folder: (folder / checkpoints.SEAL).write_text('{"job'), {}, "its seal cannot be read"),
    "another seal": (lambda folder: (folder / checkpoints.SEAL).write_text("[]"), {}, "its seal cannot be read"),
    "another seed": (lambda folder: None, {"seed": 2}, "it is of another training"),
    "other rows": (lambda folder: None, {"data_sha256": "1" * 64}, "it is of another training"),
    "another attempt": (lambda folder: None, {"output": "attempt-2/model"}, "it is of another training"),
}


@pytest.mark.parametrize("what", FAULTS)
def test_a_seal_is_of_these_files_and_this_job(what: str, tmp_path: Path) -> None:
    change, differs, fault = FAULTS[what]
    job = fake(tmp_path / "checkpoint-1")
    change(tmp_path / "checkpoint-1")
    told = checkpoints.fault_of(tmp_path / "checkpoint-1", replace(job, **differs))
    assert told == fault or (fault is not None and told is not None and told.startswith(fault))


def test_a_link_is_removed_and_not_what_it_points_at(tmp_path: Path) -> None:
    job = fake(tmp_path / "theirs")
    link = tmp_path / "checkpoint-1"
    link.symlink_to(tmp_path / "theirs")
    assert checkpoints.fault_of(link, job) == "a link instead of the training's folder"
    checkpoints.discard(link)
    assert not link.is_symlink()
    assert checkpoints.fault_of(tmp_path / "theirs", job) is None


def killed_while_it_watches(job: TrainJob, suite: Suite) -> None:
    """Train in a process of its own that is killed, as by `kill -9`, in the middle of its fifth look."""
    folder = Path(job.output).parent
    (folder / "job.json").write_text(json.dumps(asdict(job)))
    code = f"""
import json, os, signal, sys, torch
from dataclasses import replace
from pathlib import Path
torch.set_num_threads(1)
from tests.trainers.test_watch import scripted
from tunegate.suites.suite_file import load_suite
from tunegate.training.trainer import TrainJob
from tunegate_suites import build_check
from tunegate_trainers.process import run
suite = scripted({{2: 1.0}}, load_suite(Path({suite.path!r}), build_check))
class Killed:
    looks = 0
    def __getattr__(self, name):
        return getattr(suite.checks[0], name)
    def judge(self, samples):
        self.looks += 1
        if self.looks == 5:
            os.kill(os.getpid(), signal.SIGKILL)
        return suite.checks[0].judge(samples)
run(TrainJob(**json.load(open({str(folder / "job.json")!r}))), lambda ref: replace(suite, checks=(Killed(),)))
"""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    environment["PYTHONPATH"] = str(ROOT)
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr[-500:]


@pytest.mark.slow
def test_a_training_killed_while_it_watches_goes_on_to_the_same_weights(make_job: MakeJob, suite: Suite) -> None:
    args = STEPS | {"max_steps": 6, "save_steps": 2, "lr_scheduler_type": "constant"}
    whole, job = (watching(make_job(name=name, rows=ROWS, args=args), suite, every_steps=1) for name in ("a", "b"))
    killed_while_it_watches(job, suite)
    assert (checkpoints_of(job) / "checkpoint-4" / checkpoints.SEAL).exists()
    assert not Path(job.output).exists()
    log, summary = run(job, lambda ref: scripted({}, suite))
    expected_log, expected = run(whole, lambda ref: scripted({2: 1.0}, suite))
    assert weights(job) == weights(whole)
    assert summary["watch"] == expected["watch"]
    assert [entry["loss"] for entry in log if "loss" in entry] == [e["loss"] for e in expected_log if "loss" in e]


def test_kept_weights_that_were_changed_are_not_put_back(make_job: MakeJob, suite: Suite) -> None:
    args = STEPS | {"max_steps": 4, "lr_scheduler_type": "constant"}
    plain = make_job(name="plain", rows=ROWS, args=args)
    run(plain)
    job = watching(make_job(name="watched", rows=ROWS, args=args), suite, every_steps=1)
    marked = scripted({1: 1.0}, suite)

    class Swapping:
        looks = 0

        def __getattr__(self, name: str) -> Any:
            return getattr(marked.checks[0], name)

        def judge(self, samples: Any) -> Any:
            self.looks += 1
            if self.looks == 4:
                kept = checkpoints_of(job) / "best-1" / WEIGHTS
                kept.write_bytes(kept.read_bytes()[:-4] + b"\0\0\0\0")
            return marked.checks[0].judge(samples)

    _, summary = run(job, lambda ref: replace(marked, checks=(Swapping(),)))
    assert (summary["watch"]["best_step"], summary["watch"]["kept_step"]) == (1, 4)
    assert weights(job) == weights(plain)
