"""`train.unfreeze_every`: a callback that unfreezes one more layer at regular steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transformers import TrainerCallback


class GradualUnfreezing(TrainerCallback):
    """Trains the last of `layers` first, and one more layer after every `every` steps.

    All of them must be trainable when the trainer creates its optimizer, which does not add later ones. Frozen layers
    have no gradient, and an optimizer does not change weights without gradient. The schedule depends only on the step,
    so a resumed training continues with the same layers.
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
