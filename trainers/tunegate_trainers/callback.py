"""`tunegate.TrainerCallback`: adds a gate's pass rate to the metrics of any Hugging Face Trainer.

Custom scripts, TRL, Axolotl, LLaMA-Factory and Unsloth all train with such a Trainer. An evaluation does not affect the
training: its losses are the same with and without the callback.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import transformers

from tunegate.api.suite import Suite, load_suite
from tunegate.cases.bank import draw
from tunegate.cases.case import Case
from tunegate.exceptions import ConfigError
from tunegate.suites.suite import Suite as EngineSuite
from tunegate_trainers.watch import METRIC, Look, entry_of, look_live


class TrainerCallback(transformers.TrainerCallback):
    """Asks cases of a suite during training: at regular steps, or at each evaluation of the Trainer.

    `eval_gate`, the pass rate, and `eval_gate_passed`, the count, are added to the metrics of an evaluation, where
    `metric_for_best_model="eval_gate"` and early stopping find them, and to the log. An evaluation with a case that
    could not be judged has no rate. `draw` cases of the working part are asked, always the same ones; the sealed part
    is kept for the gates. This is not a gate: only a gate with cases that did not choose the model can accept it.

    `every` is a number of steps; default: at each evaluation. With `metric_for_best_model`, leave it out.

    Example:
        >>> import tunegate
        >>> watch = tunegate.TrainerCallback("facts.yaml", every=2, draw=2)
        >>> trainer = make_trainer(callbacks=[watch])
        >>> _ = trainer.train()
        >>> [entry["step"] for entry in trainer.state.log_history if "eval_gate" in entry]
        [2, 4]
    """

    def __init__(
        self, suite: Suite | EngineSuite | str | Path, *, every: int | None = None, draw: int = 20, seed: int = 0
    ) -> None:
        self.suite = _engine(suite)
        for name, number in (("every", every), ("draw", draw)):
            if number is not None and (isinstance(number, bool) or not isinstance(number, int) or number < 1):
                raise ConfigError(f"TrainerCallback: {name}: expected a number of at least 1, got {number!r}")
        self.every = every
        self.cases = _drawn(self.suite, draw, seed)
        self.looks: list[Look] = []

    def on_step_end(
        self, args: Any, state: Any, control: Any, model: Any = None, processing_class: Any = None, **kwargs: Any
    ) -> None:
        if self.every is not None and state.global_step % self.every == 0:
            state.log_history.append(entry_of(self._look(args, state, model, processing_class), state.epoch))

    def on_evaluate(
        self,
        args: Any,
        state: Any,
        control: Any,
        metrics: dict[str, Any] | None = None,
        model: Any = None,
        processing_class: Any = None,
        **kwargs: Any,
    ) -> None:
        if self.every is not None:
            return
        entry = entry_of(self._look(args, state, model, processing_class), state.epoch)
        told = {key: value for key, value in entry.items() if key.startswith(METRIC) and value is not None}
        if metrics is not None:
            metrics.update(told)
        # The Trainer has already logged its own metrics; add ours to its entry of this step.
        last: dict[str, Any] = state.log_history[-1] if state.log_history else {}
        if last.get("step") == state.global_step and any(key.startswith("eval_") for key in last):
            last.update(told)
        else:
            state.log_history.append(entry)

    def _look(self, args: Any, state: Any, model: Any, tokenizer: Any) -> Look:
        if model is None or tokenizer is None:
            raise ConfigError("TrainerCallback: the Trainer has no tokenizer; pass processing_class=tokenizer to it")
        if getattr(args, "fsdp", None) or getattr(args, "deepspeed", None):
            raise ConfigError("TrainerCallback: not possible with FSDP or DeepSpeed: no process has the whole model")
        look = look_live(self.suite, self.cases, model, tokenizer, state.global_step)
        self.looks.append(look)
        if state.is_world_process_zero:
            sys.stderr.write(f"watching {self.suite.name} at step {look.step}: {look.in_words}\n")
        return look


def _engine(suite: Any) -> EngineSuite:
    if isinstance(suite, str | Path):
        return load_suite(suite).engine
    if isinstance(suite, Suite | EngineSuite):
        return suite.engine if isinstance(suite, Suite) else suite
    raise ConfigError(f"TrainerCallback: expected a Suite or the path of a suite file, got {type(suite).__name__}")


def _drawn(suite: EngineSuite, n: int, seed: int) -> Sequence[Case]:
    """Cases of the working part, in the order of a draw, so that a larger draw contains a smaller one."""
    working = suite.bank.distinct("working")
    if n > working:
        raise ConfigError(f"TrainerCallback: draw: suite {suite.name!r} has only {working} working cases, got {n}")
    return draw(suite.bank.working, n, seed)
