"""The interface between a model on workers and the places where they run.

An executor starts workers; a worker opens models and answers blocks, one at a time. Neither resubmits anything: a
worker that is lost raises `WorkerLost`, and `dispatch.py` gives its block to another one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from tunegate.models.blocks import Block
from tunegate.models.loading import Dtype
from tunegate.models.model import Model, Response
from tunegate.processes import InOrder


@dataclass(frozen=True, slots=True)
class Opening:
    """Which model to open, and how: the arguments of `open_model`. `judges`: whether it judges answers, beside the
    model under test."""

    spec: str
    dtype: Dtype = "auto"
    batch_size: int | None = None
    asking: Mapping[str, Any] = field(default_factory=dict[str, Any], hash=False)
    judges: bool = False


@dataclass(frozen=True, slots=True)
class Opened:
    """What a worker says of the model that it opened, and of its software."""

    name: str
    sha256: str | None
    dtype: str | None
    block_size: int
    notes: tuple[str, ...] = ()
    chat_templates: tuple[str, ...] = ()
    can_check: bool = False
    """Whether the files can be hashed again."""
    versions: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Reply:
    """The answers to a block, as far as the model came, and the error that ended it. `peak_bytes` and `halved_batch`:
    the worker's peak memory, and the size that its batches were reduced to, so far."""

    answers: tuple[tuple[int, Response], ...]
    error: Exception | None = None
    peak_bytes: int | None = None
    halved_batch: int | None = None


class WorkerLost(Exception):
    """A worker ended, cannot be reached, or took too long; `str` is the cause. It is not asked again."""


class WorkerGone(WorkerLost):
    """A worker that had ended before it could begin the block: this says nothing about the block."""


class Worker(Protocol):
    """A process, here or on a node, that holds the model under test and the models that judge its answers. Each method
    blocks, for a bounded time, and raises WorkerLost; `open` and `sha256_now` also raise the errors of the model."""

    @property
    def place(self) -> str:
        """Where it runs, for people: `process 1`, `node 10.0.0.7`."""
        ...

    def open(self, opening: Opening) -> Opened: ...
    def answer(self, opening: Opening, block: Block) -> Reply:
        """Answer a block with the model that `open` opened for this `opening`."""
        ...

    def sha256_now(self, opening: Opening) -> str: ...
    def close(self) -> None:
        """End it at once; never raises, and may be called while another thread waits for an answer."""
        ...


class Executor(Protocol):
    """Where models answer, and training rows are compared with cases: `local`, `processes` or `ray`."""

    def open(self, opening: Opening) -> Model:
        """Open a model; raises the errors of `open_model`, and CannotJudge if there is no worker."""
        ...

    @property
    def in_order(self) -> InOrder:
        """Does blocks of pure work, which need no model; raises CannotJudge if there is no cluster."""
        ...


class StartsWorkers(Protocol):
    """An executor with workers."""

    @property
    def kind(self) -> str: ...
    def start(self) -> Sequence[Worker]: ...
