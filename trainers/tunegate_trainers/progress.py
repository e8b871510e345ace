"""The progress bar of a training on a terminal."""

from __future__ import annotations

import math
from typing import Any

from transformers import ProgressCallback, TrainerCallback

from tunegate.exceptions import Diverged


class QuietProgress(ProgressCallback):
    """One progress bar that shows the loss, instead of transformers' line for every logged step."""

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        if self.training_bar is not None and logs and "loss" in logs:
            self.training_bar.set_postfix(loss=f"{float(logs['loss']):.3f}")


class FiniteLoss(TrainerCallback):
    """Stops a training whose loss or gradient is no longer a number: no later step can repair it."""

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        for name in ("loss", "grad_norm"):
            value = (logs or {}).get(name)
            if value is not None and not math.isfinite(float(value)):
                raise Diverged(f"diverged at step {state.global_step}: {name} is {value}; lower args.learning_rate")
