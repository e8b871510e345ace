"""The events of a stage and its attempts: the rows, the training, the diagnosis, and the stage's verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from tunegate.checks.outcome import Verdict
from tunegate.record.event import ONLY_IF_GIVEN, Event, Json
from tunegate.record.record import FailureKind, OwnAnswer
from tunegate.stats.luck import LuckyPass
from tunegate.stats.noise import Noise


@dataclass(frozen=True, slots=True, kw_only=True)
class StageStarted(Event):
    """A stage begins."""

    KIND: ClassVar[str] = "stage_started"
    stage: str
    method: str
    gates: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StageDecided(Event):
    """The verdict of a stage. `luck` gives, for each gate, the chance that a bad model would have passed; in older
    records it is a sentence."""

    KIND: ClassVar[str] = "stage_decided"
    stage: str
    verdict: Verdict
    reason: str
    luck: Mapping[str, LuckyPass | str] = field(default_factory=dict[str, LuckyPass | str])

    def to_json(self) -> dict[str, Any]:
        """As the log holds it."""
        luck = {gate: one if isinstance(one, str) else asdict(one) for gate, one in self.luck.items()}
        return {**super(StageDecided, self).to_json(), "luck": luck}


@dataclass(frozen=True, slots=True, kw_only=True)
class OfAttempt(Event):
    """An event of an attempt of a stage."""

    stage: str
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptStarted(OfAttempt):
    """An attempt begins with these settings, from these weights."""

    KIND: ClassVar[str] = "attempt_started"
    seed: int
    settings: Json
    input_sha256: str
    reward_sha256: str | None = None
    redraw_of: int | None = field(default=None, metadata=ONLY_IF_GIVEN)
    """The attempt whose weights are asked fresh cases; nothing is trained."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsWritten(OfAttempt):
    """The rows that an attempt trains on are on disk."""

    KIND: ClassVar[str] = "rows_written"
    rows: int = 0
    data_sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnAnswersJudged(OfAttempt):
    """The input model was asked training prompts, and its answers were judged."""

    KIND: ClassVar[str] = "own_answers"
    suite_sha256: str = ""
    answers: tuple[OwnAnswer, ...]
    settings: Json | None = field(default=None, metadata=ONLY_IF_GIVEN)
    """How they were answered, if not with the suite's settings."""

    def to_json(self) -> dict[str, Any]:
        """As the log holds it."""
        return {**super(OwnAnswersJudged, self).to_json(), "answers": [asdict(answer) for answer in self.answers]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained(OfAttempt):
    """A training produced a model."""

    KIND: ClassVar[str] = "trained"
    model: str
    model_sha256: str
    log: Sequence[Json]
    summary: Json
    seconds: float
    executor: Json | None = field(default=None, metadata=ONLY_IF_GIVEN)
    """Who trained, if not the run's own process alone: the kind of executor, and its workers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingFailed(OfAttempt):
    """A training failed and produced no model."""

    KIND: ClassVar[str] = "training_failed"
    error: str
    failure: FailureKind = "other"
    log: Sequence[Json] = ()
    seconds: float = field(default=0.0, metadata=ONLY_IF_GIVEN)
    executor: Json | None = field(default=None, metadata=ONLY_IF_GIVEN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosed(OfAttempt):
    """Why an attempt missed, and what the next one changes."""

    KIND: ClassVar[str] = "diagnosed"
    cause: str
    evidence: Sequence[str]
    action: str
    changes: Mapping[str, tuple[Any, Any]]
    spent: bool = field(default=False, metadata=ONLY_IF_GIVEN)
    redraw: bool = field(default=False, metadata=ONLY_IF_GIVEN)
    noise: Noise | None = field(default=None, metadata=ONLY_IF_GIVEN)


@dataclass(frozen=True, slots=True, kw_only=True)
class CasesExplained(OfAttempt):
    """Missed cases were explained from the model's weights: the file with the explanations, and what failed.

    A by-product: no verdict follows from it.
    """

    KIND: ClassVar[str] = "cases_explained"
    file: str
    sha256: str
    cases: tuple[str, ...]
    faults: Mapping[str, str] = field(default_factory=dict[str, str])
