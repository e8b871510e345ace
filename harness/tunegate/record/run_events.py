"""The events of a run as a whole: its beginning, the leaks found, its verdict, its promotion, and what stopped it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from tunegate.checks.outcome import Verdict
from tunegate.record.event import ONLY_IF_GIVEN, Event, Json


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted(Event):
    """A run begins, or a gate that is run alone: then `key` names it, and there are no stages. `budget` is how many
    attempts each stage can make, `shared_draws` the gates of a stage that ask the same cases, in groups."""

    KIND: ClassVar[str] = "run_started"
    name: str
    id: str | None = field(default=None, metadata=ONLY_IF_GIVEN)
    attempts_before: Mapping[str, int] | None = field(default=None, metadata=ONLY_IF_GIVEN)
    key: str | None = field(default=None, metadata=ONLY_IF_GIVEN)
    policy: Json | None = field(default=None, metadata=ONLY_IF_GIVEN)
    """For a gate run alone: which attempts its plan confirms, and the risk that it spends over them."""
    pipeline: str | None = field(default=None, metadata=ONLY_IF_GIVEN)
    pipeline_sha256: str | None = field(default=None, metadata=ONLY_IF_GIVEN)
    model: str = ""
    model_sha256: str | None = None
    request: Json | None = field(default=None, metadata=ONLY_IF_GIVEN)
    imported: Mapping[str, str] | None = field(default=None, metadata=ONLY_IF_GIVEN)
    answers: Mapping[str, str] | None = field(default=None, metadata=ONLY_IF_GIVEN)
    """For answers from the file of another tool: what the file says about the tool, the model and the settings."""
    promotes_imported: bool | None = field(default=None, metadata=ONLY_IF_GIVEN)
    """Whether the pipeline lets the scores of another tool promote a model."""
    seed: int | None = None
    earlier: Sequence[str] = field(default=(), metadata=ONLY_IF_GIVEN)
    stages: tuple[str, ...] | None = field(default=None, metadata=ONLY_IF_GIVEN)
    roles: Mapping[str, str] | None = field(default=None, metadata=ONLY_IF_GIVEN)
    suites: Json | None = field(default=None, metadata=ONLY_IF_GIVEN)
    gates: Mapping[str, Mapping[str, Json]] | None = field(default=None, metadata=ONLY_IF_GIVEN)
    retention: Mapping[str, Mapping[str, Json]] | None = field(default=None, metadata=ONLY_IF_GIVEN)
    worth: Mapping[str, Mapping[str, Json]] | None = field(default=None, metadata=ONLY_IF_GIVEN)
    budget: Mapping[str, int] | None = field(default=None, metadata=ONLY_IF_GIVEN)
    shared_draws: Mapping[str, Sequence[Sequence[str]]] | None = field(default=None, metadata=ONLY_IF_GIVEN)
    redraws: Mapping[str, Mapping[str, float]] | None = field(default=None, metadata=ONLY_IF_GIVEN)
    """The stages that may ask the same weights again after a miss by noise, with the pass rate that is good by gate."""
    data: Json | None = field(default=None, metadata=ONLY_IF_GIVEN)
    watched: Mapping[str, Json] | None = field(default=None, metadata=ONLY_IF_GIVEN)
    versions: Mapping[str, str] | None = field(default=None, metadata=ONLY_IF_GIVEN)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaksFound(Event):
    """Training rows contain tests; nothing is trained."""

    KIND: ClassVar[str] = "leaks_found"
    leaks: tuple[Json, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaksDropped(Event):
    """Training rows that contain tests are left out."""

    KIND: ClassVar[str] = "leaks_dropped"
    stages: tuple[Json, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDecided(Event):
    """The verdict of a run."""

    KIND: ClassVar[str] = "run_decided"
    verdict: Verdict
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Promoted(Event):
    """The model of a run was put into a registry under an alias."""

    KIND: ClassVar[str] = "promoted"
    alias: str
    registry: str
    model_sha256: str
    folder: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultMet(Event):
    """An error that stopped the work before its end."""

    KIND: ClassVar[str] = "fault"
    reason: str
