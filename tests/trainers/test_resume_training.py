"""A training that was killed goes on from its last checkpoint, to the very same weights."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.fake_pipeline import carry_out, tools, trainer, write_pipeline
from tests.support.trainer_jobs import ARGS, LORA, MakeJob, real_training, task_of
from tunegate.data.training_data import Example
from tunegate.training.attempt_folder import prepare
from tunegate.training.trainer import TrainJob, TrainResult, checkpoints_of
from tunegate_trainers import checkpoints, common, training_rows
from tunegate_trainers.process import run
from tunegate_trainers.settings import method_module

SAVING = ARGS | {"max_steps": 6, "save_steps": 2}
UNFREEZING = {"last_n_layers": 2, "unfreeze_every": 3}


def weights(job: TrainJob) -> str:
    names = ("model.safetensors", "adapter_model.safetensors")
    file = next(path for name in names if (path := Path(job.output, name)).exists())
    return hashlib.sha256(file.read_bytes()).hexdigest()


def interrupted(job: TrainJob, step: int) -> None:
    """Train like the job, and stop short after a step as somebody's Ctrl-C does."""
    from transformers import TrainerCallback

    class Interrupt(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == step:
                raise KeyboardInterrupt

    def build(task: Any, loaded: training_rows.Loaded) -> common.Built:
        built, rows = method_module(job.method).build(task, loaded)
        built.add_callback(Interrupt())
        return built, rows

    with pytest.raises(KeyboardInterrupt):
        common.run(task_of(job), build)


def losses(log: list[dict[str, Any]]) -> list[float]:
    return [entry["loss"] for entry in log if "loss" in entry]


class TestTrainer:
    pytestmark = real_training

    @pytest.mark.parametrize(
        ("method", "peft", "train", "order"),
        [
            ("sft", LORA | {"lora_dropout": 0.1}, None, "group_by_length"),
            ("sft", None, UNFREEZING, "group_by_length"),
            ("sft", LORA, None, "batch_rebalance"),
            ("dpo", LORA, None, "random"),
        ],
        ids=["lora", "unfreezing", "rebalanced", "dpo"],
    )
    def test_it_goes_on_to_the_same_weights(
        self, make_job: MakeJob, method: str, peft: Any, train: Any, order: str
    ) -> None:
        args = SAVING | {"train_sampling_strategy": order}
        more = {"peft": peft, "train": train, "args": args, "save": "adapter" if peft else "merged"}
        whole, cut = (make_job(method, name=name, **more) for name in ("whole", "cut"))
        log, summary = run(whole)
        interrupted(cut, 5)
        assert [path.name for path in checkpoints_of(cut).glob("checkpoint-*")] == [
            "checkpoint-4"
        ]  # no more than is needed
        resumed_log, resumed_summary = run(cut)
        assert weights(cut) == weights(whole)
        assert losses(resumed_log) == losses(log)
        assert resumed_summary == summary
        assert not checkpoints_of(cut).exists()
        assert not checkpoints_of(whole).exists()

    def test_a_checkpoint_is_left_after_two_minutes_too(
        self, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Here a step takes 50 seconds: after the third, 150 have gone by, and two steps later it is stopped."""
        rare = ARGS | {"max_steps": 6, "save_steps": 1000}
        whole, cut = (make_job(peft=LORA | {"lora_dropout": 0.1}, name=name, args=rare) for name in ("whole", "cut"))
        run(whole)
        seconds = iter(range(0, 100_000, 50))
        real = checkpoints.saving_by_time
        monkeypatch.setattr(checkpoints, "saving_by_time", lambda: real(clock=lambda: next(seconds)))
        interrupted(cut, 5)
        assert [path.name for path in checkpoints_of(cut).glob("checkpoint-*")] == ["checkpoint-3"]
        run(cut)
        assert weights(cut) == weights(whole)

    def test_a_continued_adapter_of_dpo_goes_on_too(self, make_job: MakeJob) -> None:
        first = make_job(name="first", save="adapter")
        run(first)
        whole, cut = (
            make_job("dpo", name=name, model=first.output, save="adapter", args=SAVING) for name in ("whole", "cut")
        )
        run(whole)
        interrupted(cut, 5)
        run(cut)
        assert weights(cut) == weights(whole)

    def test_what_was_done_is_not_done_again(self, make_job: MakeJob) -> None:
        job = make_job(args=SAVING)
        interrupted(job, 5)
        state = checkpoints_of(job) / "checkpoint-4" / "trainer_state.json"
        written = json.loads(state.read_text())
        written["log_history"][0]["loss"] = 123.0
        state.write_text(json.dumps(written))
        checkpoints.seal(state.parent, job)
        log, _ = run(job)
        assert losses(log)[0] == 123.0  # from the checkpoint, not from a first step
        assert [entry["step"] for entry in log if "loss" in entry] == [1, 2, 3, 4, 5, 6]

    def test_other_threads_after_an_interruption_are_on_record(self, make_job: MakeJob) -> None:
        """They round sums differently, so the weights may be others than those of one place."""
        import torch

        job, before = make_job(args=SAVING), torch.get_num_threads()
        try:
            torch.set_num_threads(2)
            interrupted(job, 3)
            torch.set_num_threads(1)
            interrupted(job, 5)
            _, summary = run(job)
            assert summary["threads"] == [2, 1]
            _, summary = run(make_job(name="alone", args=SAVING))
            assert summary["threads"] == 1
        finally:
            torch.set_num_threads(before)

    def test_a_half_written_checkpoint_is_passed_over(self, make_job: MakeJob) -> None:
        whole, cut = (make_job(name=name, args=SAVING) for name in ("whole", "cut"))
        run(whole)
        interrupted(cut, 5)
        half = checkpoints_of(cut) / "checkpoint-5"
        shutil.copytree(checkpoints_of(cut) / "checkpoint-4", half)
        (half / checkpoints.SEAL).unlink()
        (half / "trainer_state.json").write_text('{"log_history": [')
        run(cut)
        assert weights(cut) == weights(whole)

    def test_a_failed_training_leaves_nothing_to_go_on_from(self, make_job: MakeJob) -> None:
        job = make_job(args=SAVING | {"learning_rate": 1e30})
        with pytest.raises(Exception, match="diverged"):
            run(job)
        assert not checkpoints_of(job).exists()

    def test_one_checkpoint_is_kept_every_so_many_steps(self, make_job: MakeJob) -> None:
        given = common.arguments(make_job())
        assert (given["save_steps"], given["save_total_limit"]) == (checkpoints.SAVE_STEPS, 1)
        assert common.arguments(make_job(args=SAVING))["save_steps"] == 2

    @pytest.mark.slow
    def test_after_a_real_kill_too(self, make_job: MakeJob) -> None:
        args = SAVING | {"max_steps": 150, "save_steps": 10}
        whole, cut = (make_job(name=name, args=args) for name in ("whole", "cut"))
        run(whole)
        file = Path(cut.output).parent / "job.json"
        file.write_text(json.dumps(asdict(cut)))
        result = file.with_name("result.json")
        command = [sys.executable, "-m", "tunegate.training.training_process", str(file), str(result)]
        one_thread = {"env": os.environ | {"OMP_NUM_THREADS": "1"}, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen(command, **one_thread)
        while not list(checkpoints_of(cut).glob("checkpoint-*/trainer_state.json")):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not Path(cut.output).exists()
        subprocess.run(command, **one_thread, check=True)
        assert weights(cut) == weights(whole)


class TestAttemptFolder:
    EXAMPLES = (Example(1, "a", {"completion": "b"}),)
    INPUTS: Mapping[str, Any] = {"model": "0" * 64}

    def left_behind(self, folder: Path) -> TrainJob:
        """What a killed training leaves: a checkpoint, and half a model."""
        job = TrainJob("sft", "base", str(folder / "data.jsonl"), str(folder / "model"), 1, {"max_steps": 3})
        assert not prepare(folder, job, self.EXAMPLES, self.INPUTS)
        for path in (checkpoints_of(job) / "checkpoint-2" / "weights", Path(f"{job.output}.partial") / "weights"):
            path.parent.mkdir(parents=True)
            path.write_text("half done")
        return job

    def test_the_same_training_finds_its_checkpoint_and_nothing_else(self, tmp_path: Path) -> None:
        job = self.left_behind(tmp_path)
        assert prepare(tmp_path, job, self.EXAMPLES, self.INPUTS)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["data.jsonl", "model.checkpoints", "training.json"]
        assert (checkpoints_of(job) / "checkpoint-2" / "weights").read_text() == "half done"
        assert prepare(tmp_path, job, self.EXAMPLES, self.INPUTS)

    @pytest.mark.parametrize(
        ("change", "examples", "inputs"),
        [
            ({"seed": 2}, EXAMPLES, INPUTS),
            ({"args": {"max_steps": 4}}, EXAMPLES, INPUTS),
            ({"peft": {"r": 2}}, EXAMPLES, INPUTS),
            ({}, (Example(1, "a", {"completion": "c"}),), INPUTS),
            ({}, EXAMPLES, {"model": "1" * 64}),
            ({}, EXAMPLES, {**INPUTS, "versions": {"trl": "2"}}),
        ],
        ids=["seed", "args", "peft", "data", "weights", "versions"],
    )
    def test_of_another_training_nothing_is_kept(
        self, tmp_path: Path, change: dict[str, Any], examples: tuple[Example, ...], inputs: dict[str, Any]
    ) -> None:
        job = replace(self.left_behind(tmp_path), **change)
        assert not prepare(tmp_path, job, examples, inputs)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["data.jsonl", "training.json"]

    def test_a_damaged_identity_is_no_identity(self, tmp_path: Path) -> None:
        job = self.left_behind(tmp_path)
        (tmp_path / "training.json").write_bytes(b"\xff")
        assert not prepare(tmp_path, job, self.EXAMPLES, self.INPUTS)


class TestRun:
    @pytest.mark.parametrize("same", [True, False])
    def test_a_run_that_is_taken_up_hands_the_checkpoint_of_the_same_training_on(
        self, same: bool, tmp_path: Path
    ) -> None:
        path = write_pipeline(tmp_path)
        said: list[str] = []
        found: list[bool] = []
        train = trainer()

        def killed_at_first(job: TrainJob) -> TrainResult:
            found.append(checkpoints_of(job).exists())
            if len(found) == 1:
                (checkpoints_of(job) / "checkpoint-2").mkdir(parents=True)
                raise KeyboardInterrupt
            return train(job)

        given = replace(tools(), train=killed_at_first, say=said.append)
        with pytest.raises(KeyboardInterrupt):
            carry_out(path, given)
        for identity in () if same else tmp_path.rglob("training.json"):
            identity.write_text("that of an older version")
        carry_out(path, given)
        assert found[:3] == [False, same, False]
        assert any("resuming the training from its checkpoint" in line for line in said) == same
        assert any("is of another training" in line for line in said) != same
