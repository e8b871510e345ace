"""`train.unfreeze_every`: the callback that unfreezes one more layer every so many steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transformers import TrainerCallback


class GradualUnfreezing(TrainerCallback):
    """Trains the last of `layers` at first and one more every `every` steps.

    All of them must be trainable when the trainer makes its optimizer, which takes up none that come later. What is
    frozen here has no gradient, and an optimizer leaves weights without gradient as they are. The schedule follows from
    the step alone, so a training that is resumed goes on with the layers that it had.
    """

    def __init__(self, layers: Sequence[Any], every: int) -> None:
        self.layers = list(layers)
        self.every = every

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._set(state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._set(state.global_step)

    def _set(self, steps_done: int) -> None:
        trained = 1 + steps_done // self.every
        for depth, layer in enumerate(reversed(self.layers)):
            layer.requires_grad_(depth < trained)
