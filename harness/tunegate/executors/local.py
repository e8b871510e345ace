"""The executor `local`: the model is opened in this process."""

from __future__ import annotations

from tunegate.executors.executor import Opening
from tunegate.models.model import Model
from tunegate.models.open_model import open_model


class Local:
    """Opens a model in this process."""

    def open(self, opening: Opening) -> Model:
        return open_model(
            opening.spec, dtype=opening.dtype, batch_size=opening.batch_size, asking=opening.asking or None
        )
