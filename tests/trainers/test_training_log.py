"""What a training prints where nobody watches: a plain line now and then, and no noise of the libraries."""

from __future__ import annotations

import io
import logging
import os
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import pytest

from tests.support.fake_pipeline import carry_out, tools, trainer, write_pipeline
from tests.support.trainer_jobs import ARGS, MakeJob, real_training
from tests.test_progress import Clock, Terminal
from tests.trainers.test_method_rlhf import policy_job, trained
from tests.trainers.test_resume_training import interrupted
from tunegate.training.trainer import SubprocessTrainer, TrainJob, TrainResult
from tunegate_trainers import noise
from tunegate_trainers.process import run

SHOWN = {key: value for key, value in ARGS.items() if key != "disable_tqdm"}


@dataclass
class Steps:
    """A trainer's callbacks called by hand, one step after each of some seconds."""

    label: str = "orpo#1"
    total: int = 48
    begun_with: int = 0
    log: io.StringIO = field(default_factory=io.StringIO)
    clock: Clock = field(default_factory=Clock)

    def lines(self, seconds: list[float], logs: dict[str, float], ends: bool = True) -> list[str]:
        from tunegate_trainers.training_log import LoggedProgress

        progress = LoggedProgress(self.label, self.log, self.clock)
        state = SimpleNamespace(global_step=self.begun_with, max_steps=self.total, is_world_process_zero=True)
        progress.on_train_begin(None, state, None)
        for waited in seconds:
            self.clock.now += waited
            state.global_step += 1
            progress.on_log(None, state, None, logs=logs)
        if ends:
            progress.on_log(None, state, None, logs={"train_runtime": 81.0, "train_loss": 2.0})
            progress.on_train_end(None, state, None)
        return self.log.getvalue().splitlines()


# The lines


def test_the_first_step_the_last_and_one_every_half_minute() -> None:
    assert Steps().lines([9.0] + [2.0] * 47, {"loss": 1.3111}) == [
        "orpo#1: step 1 of 48, loss 1.31",
        "orpo#1: step 16 of 48, loss 1.31, about 1 min 4 s left",
        "orpo#1: step 31 of 48, loss 1.31, about 34 s left",
        "orpo#1: step 46 of 48, loss 1.31, about 4 s left",
        "orpo#1: step 48 of 48, loss 1.31, took 1 min 43 s",
    ]


def test_a_slow_step_promises_nothing() -> None:
    """Of two steps, the first of which made everything ready, one says how long the others take: too little."""
    assert Steps().lines([9.0, 40.0], {"loss": 1.0}, ends=False)[1] == "orpo#1: step 2 of 48, loss 1"


def test_the_pace_of_a_resumed_training_is_its_own() -> None:
    lines = Steps(begun_with=40).lines([1.0, 15.0, 15.0], {"loss": 1.0}, ends=False)
    assert lines == ["orpo#1: step 41 of 48, loss 1", "orpo#1: step 43 of 48, loss 1, about 1 min 15 s left"]


def test_a_policy_tells_its_reward_in_place_of_a_loss_that_is_zero() -> None:
    assert Steps("rlhf#2").lines([1.0], {"loss": -0.0, "reward": 0.53}, ends=False) == [
        "rlhf#2: step 1 of 48, reward 0.53"
    ]


def test_a_training_that_was_stopped_early_says_where() -> None:
    assert Steps().lines([1.0] * 20, {"loss": 0.5})[-1] == "orpo#1: step 20 of 48, loss 0.5, took 20 s"


def test_a_label_gives_no_command() -> None:
    assert Steps("::error::x").lines([1.0], {"loss": 0.5}, ends=False)[0].startswith("\\x3a:error::x: step 1")


def test_other_processes_than_the_main_one_say_nothing() -> None:
    from tunegate_trainers.training_log import LoggedProgress

    log = io.StringIO()
    progress, state = LoggedProgress("sft#1", log), SimpleNamespace(global_step=1, max_steps=1)
    state.is_world_process_zero = False
    progress.on_train_begin(None, state, None)
    progress.on_log(None, state, None, logs={"loss": 1.0})
    progress.on_train_end(None, state, None)
    assert log.getvalue() == ""


def test_a_job_carries_stage_and_attempt(tmp_path: Path) -> None:
    seen: list[str] = []

    def train(job: TrainJob) -> TrainResult:
        seen.append(job.label)
        return trainer()(job)

    carry_out(write_pipeline(tmp_path), replace(tools(), train=train))
    assert seen == ["sft#1", "sft#2", "align#1"]


# The noise


class Heard(logging.Handler):
    """What a logger lets through."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.logger = logging.getLogger(name)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())

    def __enter__(self) -> Self:
        self.logger.addHandler(self)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.logger.removeHandler(self)


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("There were missing keys in the checkpoint model loaded: ['lm_head.weight'].", False),
        ("There were missing keys in the checkpoint model loaded: ['lm_head.weight', 'model.norm.weight'].", True),
        ("There were unexpected keys in the checkpoint model loaded: ['lm_head.weight'].", True),
        ("Something else.", True),
    ],
)
def test_only_weights_that_stand_elsewhere_may_be_missing(message: str, shown: bool) -> None:
    tied = SimpleNamespace(all_tied_weights_keys={"lm_head.weight": "model.embed_tokens.weight"})
    with Heard("transformers.trainer") as heard:
        with noise.tied_weights_may_be_missing(tied):
            heard.logger.warning(message)
        assert heard.messages == [message] * shown
        heard.messages.clear()
        with noise.tied_weights_may_be_missing(object()):
            heard.logger.warning(message)
        heard.logger.warning(message)
        assert heard.messages == [message, message]


def test_checkpoints_in_the_order_of_their_numbers_are_no_news(monkeypatch: pytest.MonkeyPatch) -> None:
    environment: dict[str, str] = {}
    monkeypatch.setattr(os, "environ", environment)
    noise.hush(on_terminal=True)
    assert "HF_HUB_DISABLE_PROGRESS_BARS" in environment
    assert not set(noise.SELDOM) & set(environment)
    noise.hush(on_terminal=False)
    assert set(noise.SELDOM) <= set(environment)
    with Heard("transformers.trainer_utils") as heard:
        heard.logger.warning("mtime may not be reliable on this filesystem, falling back to numerical ordering")
        heard.logger.warning("A checkpoint could not be removed.")
    assert heard.messages == ["A checkpoint could not be removed."]


class TestTraining:
    pytestmark = real_training

    def test_a_resumed_training_says_nothing_of_tied_weights(
        self, make_job: MakeJob, capsys: pytest.CaptureFixture[str]
    ) -> None:
        job = make_job(peft=None, args=SHOWN | {"max_steps": 4, "save_steps": 2}, label="sft#1")
        interrupted(job, 3)
        capsys.readouterr()
        with Heard("transformers.trainer") as heard:
            run(job)
        assert not heard.messages
        lines = capsys.readouterr().err.splitlines()
        assert [line.partition(", ")[0] for line in lines if line.startswith("sft#1")] == [
            "sft#1: step 3 of 4",
            "sft#1: step 4 of 4",
        ]

    def test_ppo_tells_its_reward(self, make_job: MakeJob, capsys: pytest.CaptureFixture[str]) -> None:
        trained(policy_job(make_job, "ppo", 2, label="rlhf#1", args={"disable_tqdm": False}))
        lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("rlhf#1")]
        assert [line.partition("reward")[0] for line in lines] == ["rlhf#1: step 1 of 2, ", "rlhf#1: step 2 of 2, "]

    @pytest.mark.parametrize(
        "launcher", [None, pytest.param({"num_processes": 2, "config_file": None}, marks=pytest.mark.slow)]
    )
    def test_a_log_holds_plain_lines_only(
        self, make_job: MakeJob, launcher: Any, capfd: pytest.CaptureFixture[str]
    ) -> None:
        job = make_job(peft=None, args=SHOWN | {"save_steps": 1}, label="sft#1", launcher=launcher)
        capfd.readouterr()
        assert SubprocessTrainer()(job).error is None
        lines = capfd.readouterr().err.splitlines()
        assert [line.partition(", ")[0] for line in lines] == ["sft#1: step 1 of 3", "sft#1: step 3 of 3"]
        assert not [file.read_text() for file in Path(job.output).parent.glob("rank-*.log") if file.read_text()]

    def test_a_terminal_shows_a_bar(self, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
        job = make_job(args=SHOWN, label="sft#1")
        terminal = Terminal()
        monkeypatch.setattr(sys, "stderr", terminal)
        run(job)
        assert "3/3" in terminal.getvalue()
        assert "loss=" in terminal.getvalue()
        assert "sft#1" not in terminal.getvalue()
