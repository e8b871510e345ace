"""`train.watch`, during the training: asks a gate's watched cases at regular steps and keeps the best weights.

The pass rate is in the log as `eval_gate`, chooses the weights to keep, and stops a training without improvement. It
does not affect the training itself: random states and modes are restored, so its losses are the same with and without
watching.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from tunegate.checks.outcome import Verdict
from tunegate.exceptions import SettingError, TunegateError
from tunegate.gates.ask import judge_cases
from tunegate.models.loaded_model import loaded_model, undisturbed
from tunegate.suites.suite import Suite
from tunegate.training.trainer import TrainJob, checkpoints_of
from tunegate_trainers import checkpoints
from tunegate_trainers.task import Task

WEIGHTS = "weights.safetensors"
METRIC = "eval_gate"
"""The pass rate of an evaluation, in the log of the training, with its step."""


@dataclass(frozen=True, slots=True)
class Look:
    """One evaluation: `passed` of `asked` at a step; `fault` says why it is not counted."""

    step: int
    passed: int
    asked: int
    fault: str = ""

    @property
    def rate(self) -> float:
        return self.passed / self.asked

    @property
    def in_words(self) -> str:
        return self.fault or f"{self.passed} of {self.asked}"


class GateWatch(TrainerCallback):
    """Asks cases of a suite at regular steps, or parts of an epoch, and at the end, by `TrainJob.watch`.

    The evaluations are read from the trainer's own log, so that a killed training resumes with them.
    """

    def __init__(self, task: Task, trainer: Any, tokenizer: Any) -> None:
        if trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled:
            raise SettingError(
                "watch", "not possible with FSDP or DeepSpeed, where no process has the whole model; leave one out"
            )
        spec = task.job.watch or {}
        self.suite = task.suite(spec["gate"])
        self.every_steps, self.every_epochs = spec.get("every_steps"), spec.get("every_epochs")
        self.stop_after = spec.get("stop_after")
        self.tokenizer = tokenizer
        asked = {case.id: case for case in self.suite.cases}
        self.cases = [asked[case_id] for case_id in spec["case_ids"]]
        self.best = _BestWeights(task.job, trainer.model) if spec.get("keep_best") else None
        self.stopped = False

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        if state.global_step % self._steps_between(state) == 0:
            self._look(state, model)
            self.stopped = self._nothing_better(looks_of(state.log_history))
            control.should_training_stop = control.should_training_stop or self.stopped

    def on_train_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        if state.global_step not in {look.step for look in looks_of(state.log_history)}:
            self._look(state, model)

    def _steps_between(self, state: Any) -> int:
        if self.every_steps is not None:
            return self.every_steps
        return max(1, round(self.every_epochs * state.max_steps / state.num_train_epochs))

    def _look(self, state: Any, model: Any) -> None:
        before = best_of(looks_of(state.log_history))
        look = look_live(self.suite, self.cases, model, self.tokenizer, state.global_step)
        state.log_history.append(entry_of(look, state.epoch))
        if state.is_world_process_zero:
            sys.stderr.write(f"watching {self.suite.name} at step {look.step}: {look.in_words}\n")
            if self.best is not None and not look.fault and (before is None or look.rate >= before.rate):
                self.best.keep(look.step)

    def _nothing_better(self, looks: Sequence[Look]) -> bool:
        """Whether the last `stop_after` counted evaluations are not better than the best before them."""
        rates = [look.rate for look in looks if not look.fault]
        if self.stop_after is None or not any(rates):
            return False
        return len(rates) - rates.index(max(rates)) > self.stop_after

    def finish(self, trainer: Any) -> dict[str, Any]:
        """Restore the weights of the best evaluation, if they should be kept; returns the facts for the summary."""
        trainer.accelerator.wait_for_everyone()  # the first process writes those weights
        state = trainer.state
        looks = looks_of(state.log_history)
        best = best_of(looks)
        facts: dict[str, Any] = {
            "gate": self.suite.name,
            "asked": len(self.cases),
            "looks": sum(not look.fault for look in looks),
            "not_counted": {str(look.step): look.fault for look in looks if look.fault},
            "best_step": best.step if best else None,
            "best_passed": best.passed if best else None,
            "stopped_at": state.global_step if self.stopped else None,
            "kept_step": state.global_step,
        }
        if self.best is not None and best is not None and best.step < state.global_step:
            facts["kept_step"] = best.step if self.best.put_back(best.step) else state.global_step
        return facts


# --- one look -------------------------------------------------------------------------------------------------------


def look_live(suite: Suite, cases: Sequence[Any], model: Any, tokenizer: Any, step: int) -> Look:
    """Evaluate the model in training, without affecting it."""
    asked = loaded_model(model, tokenizer, "in training")
    with undisturbed(model):
        return look_at(suite, cases, asked, step)


def look_at(suite: Suite, cases: Sequence[Any], model: Any, step: int) -> Look:
    """Ask and judge; a case that could not be judged is not a miss, so the evaluation does not count."""
    try:
        outcomes = judge_cases(suite, model, cases)
    except TunegateError as error:
        return Look(step, 0, len(cases), f"not counted: {error}")
    passed = sum(outcome.verdict is Verdict.PASS for outcome in outcomes)
    unjudged = [outcome.reason for outcome in outcomes if outcome.verdict not in (Verdict.PASS, Verdict.FAIL)]
    fault = f"not counted: {len(unjudged)} of {len(cases)} cases not judged: {unjudged[0]}" if unjudged else ""
    return Look(step, passed, len(cases), fault)


# --- looks in the log -----------------------------------------------------------------------------------------------


def entry_of(look: Look, epoch: Any) -> dict[str, Any]:
    """An evaluation as an entry of the trainer's log, which survives a kill in its checkpoint."""
    rate = {METRIC: None, "eval_gate_fault": look.fault} if look.fault else {METRIC: look.rate}
    return {"step": look.step, "epoch": epoch, **rate, "eval_gate_passed": look.passed, "eval_gate_asked": look.asked}


def looks_of(log: Sequence[Mapping[str, Any]]) -> list[Look]:
    """The evaluations in a training's log, in order."""
    return [
        Look(entry["step"], entry["eval_gate_passed"], entry["eval_gate_asked"], entry.get("eval_gate_fault", ""))
        for entry in log
        if METRIC in entry
    ]


def best_of(looks: Sequence[Look]) -> Look | None:
    """The last of the best counted evaluations: it has seen most rows, and the first of equals may be best by chance.

    An evaluation without any pass is not a best: it does not distinguish a model that has learned nothing yet.
    """
    return max(
        (look for look in looks if not look.fault and look.passed),
        key=lambda look: (look.rate, look.step),
        default=None,
    )


class _BestWeights:
    """The trainable weights of the best evaluation, in a sealed folder: for an adapter, a few megabytes."""

    def __init__(self, job: TrainJob, model: Any) -> None:
        self.job = job
        self.model = model
        # Names are taken now: gradual unfreezing freezes layers again before the first step, and trains them later.
        self.names = [name for name, weights in model.named_parameters() if weights.requires_grad]

    def keep(self, step: int) -> None:
        from safetensors.torch import save_file

        folder = self._folder(step)
        checkpoints.discard(folder)
        folder.mkdir(parents=True)
        weights = {name: one.detach().cpu().contiguous() for name, one in self._weights().items()}
        save_file(weights, folder / WEIGHTS)
        checkpoints.seal(folder, self.job)
        for older in set(folder.parent.glob(self._folder("*").name)) - {folder}:  # only now, in case of a kill
            checkpoints.discard(older)

    def put_back(self, step: int) -> bool:
        """Restore the weights of that step; returns whether they were there, unchanged."""
        import torch
        from safetensors import safe_open

        if checkpoints.fault_of(self._folder(step), self.job) is not None:
            return False
        with safe_open(self._folder(step) / WEIGHTS, framework="pt") as kept, torch.no_grad():
            for name, weights in self._weights().items():
                weights.copy_(kept.get_tensor(name))
        return True

    def _folder(self, step: int | str) -> Path:
        return checkpoints_of(self.job) / f"best-{step}"

    def _weights(self) -> dict[str, Any]:
        named = dict(self.model.named_parameters())
        return {name: named[name] for name in self.names}
