"""What a run needs from outside: the trainer, models from disk, and the clock."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Protocol

from tunegate.attribution.explain import explain
from tunegate.attribution.explanation import Explanation, Method
from tunegate.attribution.stored_case import StoredCase
from tunegate.data.token_lengths import CountTokens
from tunegate.exceptions import CannotJudge
from tunegate.gates.book import NOT_ASKED_FOR, NoLedger
from tunegate.ledger.ledger import Ledger
from tunegate.models.model import Model
from tunegate.models.sentences import Embed
from tunegate.models.timing import close_model
from tunegate.processes import InOrder, in_order
from tunegate.progress import Progress, no_progress
from tunegate.training.side_by_side import SideBySide
from tunegate.training.trainer import Trainer


class Explain(Protocol):
    """Explains one recorded answer by a model that is already loaded."""

    def __call__(
        self, model: Model, stored: StoredCase, methods: Sequence[Method], seed: int, progress: Progress, /
    ) -> Explanation: ...


@dataclass(frozen=True)
class Tools:
    """What a run needs from outside: models by path, their fingerprints, and training. Tests inject fakes."""

    open_model: Callable[[str], Model]
    """Opens a model to be asked, on the executor."""
    model_folder: Callable[[str], Path]
    model_sha256: Callable[[str], str | None]
    train: Trainer
    side_by_side: SideBySide | None = None
    """Trains several attempts at once, those whose settings do not depend on an outcome."""
    prepare_training: Callable[[], None] = lambda: None
    """Begins what the first training needs, while the run does something else."""
    versions: Callable[[], Mapping[str, str]] = dict
    progress: Progress = no_progress
    say: Callable[[str], None] = lambda line: None
    today: Callable[[], date] = date.today
    embed: Embed | None = None
    """Finds leaks by meaning, if a pipeline sets `embed`."""
    in_order: InOrder = in_order
    """Has the executor look for leaks in blocks of training rows."""
    pipeline_sha256: Callable[[], str] | None = None
    """The hash of the pipeline's present files; without it, they are checked only when a run starts."""
    tokens: Callable[[str], CountTokens] | None = None
    """A counter of tokens by a model's tokenizer, for the data cards; without it lengths are estimated."""

    ledger: Ledger | NoLedger = NOT_ASKED_FOR
    """Where the draws of all runs are written."""

    open_here: Callable[[str], Model] | None = None
    """Opens a model in this process, to be looked into; None: `open_model` does so."""

    explain: Explain = explain
    """Explains the missed cases of a run, if its pipeline asks for that."""

    def fingerprint(self, model: str) -> str:
        """The fingerprint of a model on disk; raises CannotJudge for a server, which has none."""
        sha256 = self.model_sha256(model)
        if sha256 is None:
            raise CannotJudge(f"model {model!r}: a pipeline cannot train a model on a server; name a model on disk")
        return sha256


@dataclass(frozen=True)
class ModelOnDisk:
    """The input or output model of a stage."""

    path: str
    sha256: str


class ModelUnderTest:
    """The model of an attempt: opened when it is first asked, and again after it was closed."""

    def __init__(self, open_model: Callable[[], Model]) -> None:
        self._open = open_model
        self._model: Model | None = None
        self.was_opened = False

    def __call__(self) -> Model:
        if self._model is None:
            self._model, self.was_opened = self._open(), True
        return self._model

    def close(self) -> None:
        """Free its memory for another model."""
        if self._model is not None:
            close_model(self._model)
            self._model = None
            gc.collect()  # a model may be part of a circle of references
