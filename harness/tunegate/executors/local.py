"""The executor `local`: the model is opened in this process; rows are compared by a process per core."""

from __future__ import annotations

from tunegate.executors.executor import Opening
from tunegate.models.model import Model
from tunegate.models.open_model import open_model
from tunegate.processes import InOrder, in_order


class Local:
    """Opens a model in this process."""

    def open(self, opening: Opening) -> Model:
        return open_model(
            opening.spec, dtype=opening.dtype, batch_size=opening.batch_size, asking=opening.asking or None
        )

    @property
    def in_order(self) -> InOrder:
        return in_order
