"""The side of a worker: holds open models and does what it is asked. The same for a process and for a Ray actor."""

from __future__ import annotations

import importlib
import pickle
from collections.abc import Callable
from typing import Any

from tunegate.exceptions import CannotJudge, ConfigError, Inconclusive, Tampered, TunegateError, message_of
from tunegate.executors.executor import Opened, Opening, Reply
from tunegate.models.blocks import Block
from tunegate.models.model import Model, Response, notes_of, templates_of
from tunegate.models.open_model import is_backend, open_model
from tunegate.models.peak_memory import peak_bytes
from tunegate.models.timing import halved_batch
from tunegate.versions import installed_versions


class HeldModels:
    """The models of one worker. `number` is that of a process, from 0: the processes of a machine share its GPUs. A Ray
    actor has none: it sees only the GPUs that Ray gave to its copy of the model, and may use all of them."""

    def __init__(self, number: int | None = None) -> None:
        self._number = number
        self._models: dict[Opening, Model] = {}

    def open(self, opening: Opening) -> Opened:
        """Open the model; raises the errors of `open_model`."""
        device = None if is_backend(opening.spec) else self._device()
        model = open_model(opening.spec, device=device, dtype=opening.dtype, batch_size=opening.batch_size)
        self._models[opening] = model
        versions = {name: version for name, version in installed_versions().items() if name != "platform"}
        return Opened(
            model.name,
            model.sha256,
            model.dtype,
            model.block_size,
            notes_of(model),
            templates_of(model),
            getattr(model, "sha256_now", None) is not None,
            versions,
        )

    def _device(self) -> str | None:
        """The GPU of this process; None leaves the choice to `open_model`."""
        if self._number is None:
            return None
        try:
            torch: Any = importlib.import_module("torch")
        except ImportError:
            return None
        if not torch.cuda.is_available():
            return None
        return f"cuda:{self._number % torch.cuda.device_count()}"

    def answer(self, opening: Opening, block: Block) -> Reply:
        """Answer a block; an error of the model is part of the reply, after the answers that came before it."""
        model = self._models[opening]
        answers: list[tuple[int, Response]] = []
        error: Exception | None = None
        try:
            answers.extend(block.asked_of(model))
        except Exception as fault:
            error = portable(fault)
        return Reply(tuple(answers), error, peak_bytes(), halved_batch(model))

    def sha256_now(self, opening: Opening) -> str:
        """Hash the model's files again."""
        model = self._models[opening]
        now: Callable[[], str] = getattr(model, "sha256_now")  # noqa: B009  (optional, so not in the protocol)
        return now()


def portable(error: Exception) -> Exception:
    """An error that another process can read: the same one if it can be sent, otherwise one with the same message."""
    if isinstance(error, TunegateError):
        kinds: tuple[type[TunegateError], ...] = (ConfigError, Tampered, Inconclusive, CannotJudge)
        return next(kind for kind in kinds if isinstance(error, kind) or kind is CannotJudge)(message_of(error))
    try:
        if type(error).__module__ == "builtins" and repr(pickle.loads(pickle.dumps(error))) == repr(error):
            return error
    except Exception:  # an error may hold anything
        pass
    return RuntimeError(f"{type(error).__name__}: {message_of(error)}")
