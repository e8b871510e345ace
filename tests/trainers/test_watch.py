"""Watching a gate in training: nothing is disturbed, the best look is kept, what cannot be judged does not count."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.bank import write_jsonl
from tests.support.trainer_jobs import ARGS, MakeJob, real_training
from tunegate.checks.outcome import Verdict
from tunegate.suites.suite import Suite
from tunegate.suites.suite_file import load_suite
from tunegate.training.trainer import TrainJob
from tunegate_suites import build_check
from tunegate_trainers import common, sft
from tunegate_trainers.process import run
from tunegate_trainers.task import Task

pytestmark = real_training

QUESTION = "Which gene causes it?"
ROWS = [{"prompt": QUESTION, "completion": "BRCA1"}] * 6
STEPS = {**ARGS, "max_steps": 10, "per_device_train_batch_size": 2, "logging_steps": 1}
DROPOUT = {"r": 4, "lora_dropout": 0.3}
"""Dropout makes every loss depend on the random state and on the training mode."""


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    rows = [{"id": f"c{n}", "prompt": QUESTION, "reference": "BRCA1", "n": n} for n in range(1)]
    write_jsonl(tmp_path / "cases.jsonl", [*rows, {"id": "other", "prompt": "Which city?", "reference": "Paris"}])
    text = "cases: cases.jsonl\nchecks: [exact]\nplan: {draw: 2, accept: 1}\nsealed: 0\ngenerate: {max_new_tokens: 6}\n"
    (tmp_path / "suite.yaml").write_text(text)
    return load_suite(tmp_path / "suite.yaml", build_check)


def watching(job: TrainJob, suite: Suite, **more: Any) -> TrainJob:
    ids = [case.id for case in suite.cases]
    watch = {"gate": "facts", "every_steps": 2, "draw": 2, "stop_after": None, "keep_best": True, "case_ids": ids}
    return replace(job, watch=watch | more, suites={"facts": {"name": "facts"}})


def losses(log: list[dict[str, Any]]) -> list[Any]:
    return [(entry["step"], entry["loss"], entry["grad_norm"]) for entry in log if "loss" in entry]


def looks(log: list[dict[str, Any]]) -> list[tuple[int, float | None]]:
    return [(entry["step"], entry["eval_gate"]) for entry in log if "eval_gate" in entry]


@pytest.mark.parametrize("peft", [DROPOUT, None])
def test_the_losses_are_the_same_with_and_without(make_job: MakeJob, suite: Suite, peft: Any) -> None:
    args = STEPS | {"max_steps": 5, "learning_rate": 1e-3}
    blind, _ = run(make_job(name="blind", rows=ROWS, args=args, peft=peft))
    job = watching(make_job(name="watched", rows=ROWS, args=args, peft=peft), suite, every_steps=1)
    seen, _ = run(job, lambda ref: suite)
    assert losses(seen) == losses(blind)
    assert [step for step, _ in looks(seen)] == [1, 2, 3, 4, 5]


def test_a_check_that_rolls_dice_rolls_its_own(make_job: MakeJob, suite: Suite) -> None:
    """Whatever a metric does to the random states of the process, training goes on with those that it had."""

    def noisy(suite: Suite) -> Suite:
        import numpy as np
        import torch

        class Dice:
            def __getattr__(self, name: str) -> Any:
                return getattr(suite.checks[0], name)

            def judge(self, samples: Any) -> Any:
                torch.manual_seed(99)
                np.random.seed(99)
                random.seed(99)
                return suite.checks[0].judge(samples)

        return replace(suite, checks=(Dice(),))

    args = STEPS | {"max_steps": 4}
    blind, _ = run(make_job(name="blind", rows=ROWS, args=args, peft=DROPOUT))
    job = watching(make_job(name="watched", rows=ROWS, args=args, peft=DROPOUT), suite)
    seen, _ = run(job, lambda ref: noisy(suite))
    assert losses(seen) == losses(blind)


def test_the_model_of_the_best_look_is_kept(make_job: MakeJob, suite: Suite) -> None:
    """It learns the answer, then a rate that is far too high makes it forget everything."""
    args = STEPS | {"max_steps": 8, "learning_rate": 2e-2, "lr_scheduler_type": "constant"}
    job = watching(make_job(rows=ROWS, args=args, peft=None), suite, every_steps=1)
    told = scripted({4: 1.0}, suite)
    log, summary = run(job, lambda ref: told)
    assert [rate for _, rate in looks(log)] == [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    watched = summary["watch"]
    assert (watched["best_step"], watched["kept_step"], watched["best_passed"]) == (4, 4, 2)
    short, _ = run(make_job(name="short", rows=ROWS, args=args | {"max_steps": 4}, peft=None))
    assert losses(short) == losses(log)[:4]
    assert weights(Path(job.output)) == weights(Path(job.output).with_name("short"))


def test_without_keep_best_the_last_model_is_saved(make_job: MakeJob, suite: Suite) -> None:
    job = watching(make_job(rows=ROWS, args=STEPS | {"max_steps": 4}), suite, every_steps=1, keep_best=False)
    _, summary = run(job, lambda ref: scripted({2: 1.0}, suite))
    assert (summary["watch"]["best_step"], summary["watch"]["kept_step"]) == (2, 4)
    run(make_job(name="blind", rows=ROWS, args=STEPS | {"max_steps": 4}))
    assert weights(Path(job.output)) == weights(Path(job.output).with_name("blind"))


def test_it_stops_when_nothing_gets_better(make_job: MakeJob, suite: Suite) -> None:
    job = watching(make_job(rows=ROWS, args=STEPS), suite, every_steps=1, stop_after=2)
    log, summary = run(job, lambda ref: scripted({2: 0.5, 3: 0.5, 5: 1.0}, suite))
    assert looks(log) == [(1, 0.0), (2, 0.5), (3, 0.5), (4, 0.0)]
    watched = summary["watch"]  # of two looks that are as good the later is kept, but it is no reason to go on
    assert (watched["stopped_at"], watched["kept_step"], summary["steps"]) == (4, 3, 4)


def test_a_look_that_cannot_be_judged_does_not_count(
    make_job: MakeJob, suite: Suite, capsys: pytest.CaptureFixture[str]
) -> None:
    job = watching(make_job(rows=ROWS, args=STEPS | {"max_steps": 4}), suite, every_steps=1, stop_after=1)
    log, summary = run(job, lambda ref: scripted({2: None, 3: None, 4: 1.0}, suite))
    assert looks(log) == [(1, 0.0), (2, None), (3, None), (4, 1.0)]
    assert summary["watch"]["not_counted"]["2"] == "not counted: 2 of 2 cases not judged: exact: the judge is asleep"
    assert (summary["watch"]["looks"], summary["watch"]["stopped_at"]) == (2, None)
    assert "watching suite at step 2: not counted: 2 of 2 cases not judged" in capsys.readouterr().err


def test_the_last_step_is_looked_at_too(make_job: MakeJob, suite: Suite) -> None:
    job = watching(make_job(rows=ROWS, args=STEPS | {"max_steps": 5}), suite, every_steps=3)
    log, _ = run(job, lambda ref: suite)
    assert [step for step, _ in looks(log)] == [3, 5]


def test_a_reward_model_is_watched_by_its_choices(make_job: MakeJob, tmp_path: Path) -> None:
    rows = [{"id": str(n), "prompt": f"Which gene causes {n}?", "reference": "BRCA1"} for n in range(4)]
    write_jsonl(tmp_path / "pairs.jsonl", [row | {"choices": ["BRCA1", "BRCA2"]} for row in rows])
    (tmp_path / "pairs.yaml").write_text(
        "cases: pairs.jsonl\nchecks: [choice]\nplan: {draw: 4, accept: 3}\nsealed: 0\n"
    )
    pairs = load_suite(tmp_path / "pairs.yaml", build_check)
    log, _ = run(watching(make_job("reward", args=STEPS | {"max_steps": 8}), pairs, every_steps=8), lambda ref: pairs)
    assert looks(log) == [(8, 1.0)]


def scripted(rates: dict[int, float | None], suite: Suite, killed_at: int = 0) -> Suite:
    """The suite with a check that passes this share of the cases at its n-th look; None: it cannot judge."""
    from tunegate.checks.outcome import Finding

    class Told:
        looks = 0

        def __getattr__(self, name: str) -> Any:
            return getattr(suite.checks[0], name)

        def judge(self, samples: Any) -> Any:
            self.looks += 1
            if self.looks == killed_at:
                raise KeyboardInterrupt
            rate = rates.get(self.looks, 0.0)
            if rate is None:
                return [Finding("exact", Verdict.INVALID, reason="the judge is asleep") for _ in samples]
            passed = round(rate * len(samples))
            return [Finding("exact", Verdict.PASS if n < passed else Verdict.FAIL) for n in range(len(samples))]

        @property
        def batch_size(self) -> int:
            return 100

    return replace(suite, checks=(Told(),))


def weights(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return {name: tensor.tolist() for name, tensor in load_file(folder / "model.safetensors").items()}


def test_a_gradual_unfreezing_is_kept_and_put_back_whole(make_job: MakeJob, suite: Suite) -> None:
    """Layers that are frozen at the best look are trained after it; they too go back to what they were."""
    unfreezing = {"last_n_layers": 2, "unfreeze_every": 3}
    args = STEPS | {"max_steps": 2, "lr_scheduler_type": "constant"}
    job = make_job(name="long", rows=ROWS, args=args | {"max_steps": 6}, peft=None, train=unfreezing)
    run(watching(job, suite, every_steps=2), lambda ref: scripted({1: 1.0}, suite))
    run(make_job(name="short", rows=ROWS, args=args, peft=None, train=unfreezing))
    assert weights(Path(job.output)) == weights(Path(job.output).with_name("short"))


def test_a_killed_training_goes_on_with_the_looks_that_it_had(make_job: MakeJob, suite: Suite) -> None:
    args = STEPS | {"max_steps": 6, "save_steps": 2, "lr_scheduler_type": "constant"}
    whole = watching(make_job(name="whole", rows=ROWS, args=args), suite, every_steps=1)
    log, summary = run(whole, lambda ref: scripted({2: 1.0}, suite))
    job = watching(make_job(name="killed", rows=ROWS, args=args), suite, every_steps=1)
    with pytest.raises(KeyboardInterrupt):  # at the fifth look, after the checkpoint of step 4
        common.run(Task(job, sft.Options(), lambda ref: scripted({2: 1.0}, suite, killed_at=5)), sft.build)
    again, resumed = run(job, lambda ref: scripted({}, suite))
    assert looks(again) == looks(log)
    assert losses(again) == losses(log)
    assert resumed["watch"] == summary["watch"]
    assert weights(Path(job.output)) == weights(Path(whole.output))


def test_it_may_look_by_epochs(make_job: MakeJob, suite: Suite) -> None:
    args = {name: value for name, value in STEPS.items() if name != "max_steps"} | {"num_train_epochs": 2}
    job = watching(make_job(rows=ROWS, args=args), suite, every_steps=None, every_epochs=0.67)  # of 3 steps
    log, _ = run(job, lambda ref: suite)
    assert [step for step, _ in looks(log)] == [2, 4, 6]


def test_a_model_that_has_learnt_nothing_yet_is_not_stopped(make_job: MakeJob, suite: Suite) -> None:
    job = watching(make_job(rows=ROWS, args=STEPS | {"max_steps": 4}), suite, every_steps=1, stop_after=1)
    _, summary = run(job, lambda ref: scripted({}, suite))
    watched = summary["watch"]
    assert (watched["looks"], watched["best_step"], watched["stopped_at"], watched["kept_step"]) == (4, None, None, 4)
