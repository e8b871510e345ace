"""The events of a gate: its registered draw, the answers, how each was judged, and the verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from tunegate.cases.bank import Part
from tunegate.checks.outcome import Verdict
from tunegate.models.timing import Measured
from tunegate.record.draw_facts import LedgerPlace
from tunegate.record.event import ONLY_IF_GIVEN, Event, Json, Unread
from tunegate.verdicts.diversity import DiversityFigure
from tunegate.verdicts.reason import Reason
from tunegate.verdicts.terms import Purpose


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
    """A model is asked that may answer differently the next time; `servers`: what each of several says about itself."""

    KIND: ClassVar[str] = "asking"
    questions: tuple[str, ...]
    servers: tuple[Json, ...] = field(default=(), metadata=ONLY_IF_GIVEN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered(OfGate):
    """The model's answers, before any of them is judged."""

    KIND: ClassVar[str] = "answered"
    answers: Sequence[Unread]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeJudged(OfGate):
    """How the checks judged an answer, as `verdict_to_json` writes it: the answer is already on record."""

    KIND: ClassVar[str] = "outcome"
    outcome: Unread


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomesJudged(OfGate):
    """The same for many answers, in one line: those of checks that can judge them again at no cost, since an
    interruption loses the whole line."""

    KIND: ClassVar[str] = "judged"
    outcomes: Sequence[Unread]


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
    servers: tuple[Json, ...] = field(default=(), metadata=ONLY_IF_GIVEN)
    executor: Json | None = field(default=None, metadata=ONLY_IF_GIVEN)
    halved_batch: int | None = field(default=None, metadata=ONLY_IF_GIVEN)

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
