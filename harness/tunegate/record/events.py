"""The kinds of event of a record, as values: one class for each kind that a run records.

`to_json` gives the line that the log writes, `event_from_json` is its inverse. An event of a kind that this version
does not know is `Unknown`: the chain of hashes covers it, and it is otherwise ignored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar

from tunegate.cases.bank import Part
from tunegate.checks.outcome import Verdict
from tunegate.exceptions import Tampered
from tunegate.models.timing import Measured
from tunegate.record.draw_facts import LedgerPlace
from tunegate.record.record import FailureKind, OwnAnswer
from tunegate.record.typed_json import Misfit, read_as
from tunegate.stats.luck import LuckyPass
from tunegate.stats.noise import Noise
from tunegate.verdicts.diversity import DiversityFigure
from tunegate.verdicts.reason import Reason
from tunegate.verdicts.terms import Purpose

Json = Mapping[str, Any]

ONLY_IF_GIVEN = {"only if given": True}
"""Marks a field that is not written when it has its default value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An event of a run."""

    KIND: ClassVar[str] = ""

    def to_json(self) -> dict[str, Any]:
        """The event as a JSON object, its kind first."""
        values = {
            one.name: asdict(value) if isinstance(value, LedgerPlace | Noise | Measured) else value
            for one in fields(self)
            if (value := getattr(self, one.name)) != one.default or not one.metadata
        }
        return {"event": self.KIND, **values}


@dataclass(frozen=True, slots=True)
class Unknown(Event):
    """An event of a later version."""


# --- a run ---------------------------------------------------------------------------------------------------------


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


# --- a stage and its attempts --------------------------------------------------------------------------------------


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


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingFailed(OfAttempt):
    """A training failed and produced no model."""

    KIND: ClassVar[str] = "training_failed"
    error: str
    failure: FailureKind = "other"
    log: Sequence[Json] = ()
    seconds: float = field(default=0.0, metadata=ONLY_IF_GIVEN)


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


# --- gates ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class OfGate(Event):
    """An event of a draw; `stage` is None for a gate run alone and for questions to the base model."""

    gate: str
    stage: str | None = None
    attempt: int | None = None
    purpose: Purpose = "gate"


@dataclass(frozen=True, slots=True, kw_only=True)
class GateStarted(OfGate):
    """The registered cases and terms of a draw, before the first answer."""

    KIND: ClassVar[str] = "gate_started"
    part: Part = "working"
    suite_sha256: str
    model: str = ""
    model_sha256: str | None
    dtype: str | None = None
    seed: int
    terms: Json = field(default_factory=dict[str, Any])
    against: Mapping[str, str | int | None] | None = None
    drawn: int
    accept: int
    case_ids: tuple[str, ...]
    reused: int = 0
    questions: tuple[str, ...] = field(default=(), metadata=ONLY_IF_GIVEN)
    ledger: LedgerPlace | None = field(default=None, metadata=ONLY_IF_GIVEN)
    bank: int = 0
    checks: tuple[str, ...] = ()
    settings: Json = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class GateContinued(OfGate):
    """More cases are asked after a verdict that could not tell, by a plan that may be continued; the verdict stays on
    record (`GateRecord.looks`)."""

    KIND: ClassVar[str] = "gate_continued"
    case_ids: tuple[str, ...]
    questions: tuple[str, ...]
    reused: int = field(default=0, metadata=ONLY_IF_GIVEN)
    ledger: LedgerPlace | None = field(default=None, metadata=ONLY_IF_GIVEN)


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitsMeasured(OfGate):
    """What the requests took that a suite's limits are compared with, before the first question of the draw."""

    KIND: ClassVar[str] = "limits_measured"
    measured: Measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking(OfGate):
    """The model is being asked; for a server this is recorded first, since it may answer differently the next time."""

    KIND: ClassVar[str] = "asking"
    questions: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered(OfGate):
    """The model's answers, before any of them is judged."""

    KIND: ClassVar[str] = "answered"
    answers: Sequence[Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeJudged(OfGate):
    """How the checks judged an answer, as `verdict_to_json` writes it: the answer is already on record."""

    KIND: ClassVar[str] = "outcome"
    outcome: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class GateDecided(OfGate):
    """The verdict of a draw, with its counts."""

    KIND: ClassVar[str] = "gate_decided"
    verdict: Verdict
    reason: str
    reasons: tuple[Reason, ...] | None = field(default=None, metadata=ONLY_IF_GIVEN)
    drawn: int | None = None
    accept: int | None = None
    asked: int = 0
    passed: int = 0
    failed: int = 0
    invalid: int = 0
    spared: int = 0
    interval: tuple[float, float]
    error_categories: Mapping[str, int] = field(default_factory=dict[str, int])
    diversity: tuple[DiversityFigure, ...] = field(default=(), metadata=ONLY_IF_GIVEN)
    seconds: float = 0.0
    executor: Json | None = field(default=None, metadata=ONLY_IF_GIVEN)

    def to_json(self) -> dict[str, Any]:
        """As the log holds it."""
        reasons = {} if self.reasons is None else {"reasons": [asdict(reason) for reason in self.reasons]}
        figures = {"diversity": [asdict(one) for one in self.diversity]} if self.diversity else {}
        return {**super(GateDecided, self).to_json(), **reasons, **figures}


@dataclass(frozen=True, slots=True, kw_only=True)
class Waived(OfGate):
    """A waiver excuses a failed draw."""

    KIND: ClassVar[str] = "waived"
    waiver: Json


KINDS: tuple[type[Event], ...] = (
    *(RunStarted, LeaksFound, LeaksDropped, RunDecided, Promoted, FaultMet),
    *(StageStarted, StageDecided, AttemptStarted, RowsWritten, OwnAnswersJudged, Trained, TrainingFailed, Diagnosed),
    *(CasesExplained, GateStarted, GateContinued, LimitsMeasured, Asking, Answered, OutcomeJudged, GateDecided, Waived),
)
_BY_NAME: Mapping[str, type[Event]] = {kind.KIND: kind for kind in KINDS}


def event_from_json(data: Json, where: str) -> Event:
    """The event of a line; raises Tampered with place, kind and field when a value has the wrong type."""
    if (kind := _BY_NAME.get(data["event"])) is None:
        return Unknown()
    try:
        for one in fields(kind):
            if one.metadata and one.name in data and data[one.name] is None:
                raise Misfit(one.name, "a value or no such key", None)
        return read_as(kind, data)
    except Misfit as misfit:
        raise Tampered(f"{where}: event {kind.KIND} is not valid: {misfit}") from misfit
