"""The record of a run: all that reports, resuming and promotion see. It is immutable.

A verdict can be recomputed from it alone, years later, without a model. `read_run` reads it, `fold` makes it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from tunegate.checks.outcome import Outcome, Verdict
from tunegate.exceptions import Tampered
from tunegate.models.timing import Measured
from tunegate.record.answer_log import AnswerLog
from tunegate.record.draw_facts import ExplainedCases, LedgerPlace, Look
from tunegate.record.frozen import FrozenDict
from tunegate.record.judged_log import JudgedLog
from tunegate.stats.luck import LuckyPass
from tunegate.stats.noise import Noise
from tunegate.stats.stratified import StratifiedRate
from tunegate.verdicts.diversity import DiversityFigure
from tunegate.verdicts.in_common import InCommon, in_common
from tunegate.verdicts.limits import LimitResult, judge_limits
from tunegate.verdicts.reason import Reason, awaits_labels, is_settled
from tunegate.verdicts.terms import MEASURED, REFERENCE, REFERENCES, Terms, terms_from_json, why_not_continued
from tunegate.verdicts.weighted import weighted_rate

FailureKind = Literal["out of memory", "diverged", "too few misses", "other"]
"""Why a training left no model, as far as a diagnosis can act on it."""

Json = Mapping[str, Any]


@dataclass(frozen=True)
class GateRecord:
    """One gate of one attempt (or a gate run alone: `stage` is None). `decided` is False while it is under way.

    `outcomes` are those that the verdict is based on, in draw order; `judged` holds all that were recorded.
    `answers` are the model's; some may not be judged yet.
    """

    gate: str
    stage: str | None
    attempt: int | None
    suite_sha256: str
    model_sha256: str | None
    seed: int
    drawn: int
    accept: int
    case_ids: tuple[str, ...]
    purpose: str = "gate"
    part: str = "working"
    terms: Json = field(default_factory=FrozenDict[str, Any])
    against: Mapping[str, Any] | None = None
    reused: int = 0
    questions: tuple[str, ...] = ()
    """The identities of the questions asked (`cases.question_of`), one for each case; older records have none."""
    ledger: LedgerPlace | None = None
    looks: tuple[Look, ...] = ()
    """The verdicts after which it was continued, in order; its terms are then those of all its cases."""
    bank: int = 0
    model: str = ""
    dtype: str | None = None
    checks: tuple[str, ...] = ()
    settings: Json = field(default_factory=FrozenDict[str, Any])
    outcomes: tuple[Outcome, ...] = ()
    decided: bool = False
    decided_at: str = field(default="", compare=False)
    """The recorded time; empty before. Two gates that found the same are equal, whenever they did."""
    verdict: Verdict = Verdict.INVALID
    reason: str = "not decided yet"
    reasons: tuple[Reason, ...] = ()
    passed: int = 0
    failed: int = 0
    invalid: int = 0
    asked: int = 0
    spared: int = 0
    interval: tuple[float, float] = (0.0, 1.0)
    error_categories: Mapping[str, int] = field(default_factory=FrozenDict[str, int])
    diversity: tuple[DiversityFigure, ...] = ()
    """The figures of its rule on diversity."""
    seconds: float = 0.0
    executor: Json | None = None
    """Who answered and judged, if the model was on several workers: the kind of executor, and what each worker did."""
    halved_batch: int | None = None
    """The size that batches were reduced to because GPU memory ran out."""
    judged: JudgedLog = field(default_factory=JudgedLog)
    answers: AnswerLog = field(default_factory=AnswerLog)
    answers_apart: bool = False
    """Whether answers were recorded before they were judged; in older records, outcomes hold them."""
    timed: tuple[Measured, ...] = ()
    """What its limits were compared with; the last counts, and the earlier ones were INVALID."""
    servers: tuple[Json, ...] = ()
    """What each of several servers said about itself, most recently."""

    @property
    def answered_by(self) -> dict[str, int]:
        """How many questions each of several servers answered, by its name; empty for any other model."""
        given = Counter(response.by for response in self.answers.responses.values() if response.came)
        return {one["server"]: given[one["server"]] for one in self.servers}

    @property
    def asked_or_judged_again(self) -> str:
        """Which answers were asked for or judged again; empty if each was asked for and judged once."""
        return "; ".join(filter(None, (self.answers.in_words, self.judged.in_words)))

    @property
    def can_be_continued(self) -> bool:
        """Whether cases may be added: it is run alone, could not tell, and its plan allows it."""
        if not self.decided or self.stage is not None or not self.terms:
            return False
        return not why_not_continued(self.registered, self.verdict, self.passed, self.failed)

    @property
    def figures(self) -> Measured | None:
        """What the limits of its suite are compared with; None without limits, and before it was measured."""
        return self.timed[-1] if self.timed else None

    @property
    def limit_results(self) -> tuple[LimitResult, ...]:
        """The verdict on each limit of its suite; empty without limits, and before they were measured."""
        rules = self.registered.limits if self.terms.get("limits") else None
        return judge_limits(rules, self.figures) if rules and self.figures else ()

    @property
    def looks_in_words(self) -> tuple[str, ...]:
        """`INCONCLUSIVE with 54 of 60, then 30 cases were added`, for each time that it was continued."""
        totals = [look.drawn for look in self.looks] + [self.drawn]
        return tuple(
            f"{look.verdict} with {look.passed} of {look.drawn}, then {after - look.drawn} cases were added"
            for look, after in zip(self.looks, totals[1:], strict=False)
        )

    @property
    def seen(self) -> frozenset[str]:
        """All cases that the model was asked, including those that the verdict did not wait for."""
        return frozenset(case_id for case_id in self.case_ids if case_id in self.answers.responses)

    @property
    def unasked(self) -> tuple[int, ...]:
        """The places in the draw of the cases that the model was not asked."""
        return tuple(place for place, case_id in enumerate(self.case_ids) if case_id not in self.answers.responses)

    @property
    def asked_questions(self) -> frozenset[str]:
        """The identities of the questions that the model was asked."""
        asked = self.answers.responses
        return frozenset(one for place, one in enumerate(self.questions) if self.case_ids[place] in asked)

    @property
    def measured(self) -> bool:
        """Whether its PASS only says that every case was judged: a baseline or a reference has nothing to pass."""
        return self.purpose in MEASURED and self.decided and self.verdict is Verdict.PASS

    @property
    def selected(self) -> bool:
        """Whether its interval is that of a draw that was chosen for passing, and therefore too optimistic."""
        return self.purpose in ("gate", "confirm") and self.decided and self.verdict is Verdict.PASS

    @property
    def grouped(self) -> bool:
        """Whether the verdict is based on several cases of a group: the interval is wider than that of its count."""
        groups = [outcome.group for outcome in self.outcomes if outcome.group is not None]
        return len(set(groups)) < len(groups) and self.terms.get("at") is not None

    @property
    def weighted(self) -> StratifiedRate | None:
        """The pass rate with the shares that the suite gives its tags; None without shares, or if it is not known: a
        draw that stopped early has no pass rate for a fixed number of cases."""
        if not self.decided or self.spared or not self.terms.get("weight"):
            return None
        return weighted_rate(self.registered.weight, self.outcomes)

    @cached_property
    def in_common(self) -> InCommon | None:
        """What its misses have in common; None if nothing is shown, or if the draw is not a gate's own."""
        own = self.decided and self.purpose in ("gate", "confirm")
        return in_common(self.outcomes) if own else None

    @property
    def further_figures(self) -> dict[str, Any]:
        """The figures that only some suites ask for, as JSON."""
        weighted = {"weighted": self.weighted and asdict(self.weighted)} if self.terms.get("weight") else {}
        return {**weighted, **({"diversity": [asdict(one) for one in self.diversity]} if self.diversity else {})}

    @property
    def compared_afresh(self) -> bool:
        """Whether it is compared with an earlier model on cases that both were asked for it; draws of older records ask
        every attempt the same cases."""
        return (self.against or {}).get("purpose") in REFERENCES

    @property
    def settled(self) -> bool:
        """Whether nothing is left to do: it has a verdict other than INVALID, and waits for no label."""
        return self.decided and is_settled(self.verdict, self.reasons)

    @property
    def awaits_labels(self) -> int:
        """How many answers people still have to label, if that is all that its verdict waits for; otherwise 0."""
        return awaits_labels(self.reasons) if self.decided else 0

    @property
    def key(self) -> str:
        """Its name within an attempt: `facts`, `facts (confirm)`."""
        return gate_key(self.gate, self.purpose)

    @property
    def registered(self) -> Terms:
        """The terms that were registered before the first answer; raises Tampered when they are missing or invalid."""
        try:
            terms = terms_from_json(self.terms)
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise Tampered(f"gate {self.key!r}: its terms are not on record: {error!r}") from error
        if (terms.plan.draw, terms.plan.accept, terms.purpose) != (self.drawn, self.accept, self.purpose):
            raise Tampered(
                f"gate {self.key!r}: registered as {self.accept} of {self.drawn}, but its terms say otherwise"
            )
        return terms


def gate_key(gate: str, purpose: str) -> str:
    """The name of a draw within an attempt: a confirming draw is named after the gate that it confirms."""
    return gate if purpose == "gate" else f"{gate} ({purpose})"


@dataclass(frozen=True)
class Diagnosis:
    """Why an attempt failed, from evidence, and what the next attempt changes.

    `changes` maps a setting to its old and new value. It is empty when nothing is left to change; then `action` is
    advice. `spent` says that the declared budget has no value left to try. `noise` says how likely a good model misses
    as badly; None for a training without a model. Older records have no `noise`, and no diagnosis of the last attempt.
    """

    cause: str
    evidence: Sequence[str]
    action: str
    changes: Mapping[str, tuple[Any, Any]] = field(default_factory=FrozenDict[str, tuple[Any, Any]])
    spent: bool = False
    redraw: bool = False
    """Whether the next attempt asks the same weights fresh cases, instead of a change of settings."""
    noise: Noise | None = None


@dataclass(frozen=True, slots=True)
class OwnAnswer:
    """The input model's answer to the prompt of a training row (by its number), and how the checks judged it."""

    number: int
    response: str
    verdict: Verdict


@dataclass(frozen=True)
class AttemptRecord:
    """One training of a stage, or a redraw. `log` holds one mapping per logged step: step, epoch, loss, …

    A redraw trains nothing: it has the weights of the attempt `redraw_of`, and no log, rows or summary.
    `waived` maps the name of a failed draw to the waiver that excused it.
    """

    number: int
    seed: int
    settings: Json
    input_sha256: str
    redraw_of: int | None = None
    data_sha256: str = ""
    """SHA-256 of the file of rows that the trainer was given."""
    rows: int = 0
    """How many rows that file has; 0 if there is no file."""
    trained: bool = False
    """Whether it has a model."""
    model: str = ""
    model_sha256: str = ""
    error: str | None = None
    """Why the training left no model."""
    failure: FailureKind = "other"
    """The kind of that error."""
    log: tuple[Json, ...] = ()
    summary: Json = field(default_factory=FrozenDict[str, Any])
    seconds: float = 0.0
    executor: Json | None = None
    """Who trained, if not the run's own process alone: the kind of executor, and its workers, the lost ones first."""
    gates: Mapping[str, GateRecord] = field(default_factory=FrozenDict[str, GateRecord])
    references: Mapping[str, GateRecord] = field(default_factory=FrozenDict[str, GateRecord])
    """What earlier models answered to the cases of this attempt's paired draws: no draw of this attempt's model."""
    diagnosis: Diagnosis | None = None
    own_answers: tuple[OwnAnswer, ...] = ()
    """The input model's answers to training prompts, if the stage learns from them."""
    waived: Mapping[str, Json] = field(default_factory=FrozenDict[str, Json])
    waived_at: Mapping[str, str] = field(default_factory=FrozenDict[str, str], compare=False)
    """The recorded time of each of these waivers."""

    @property
    def draws(self) -> tuple[GateRecord, ...]:
        """Its draws and their references, each before the draw that is compared with it."""
        left = dict(self.references)
        found: list[GateRecord] = []
        for gate in self.gates.values():
            key = gate_key(gate.gate, REFERENCE.get(gate.purpose, ""))
            found += [left.pop(key)] if key in left else []
            found.append(gate)
        return (*found, *left.values())

    @property
    def asked_questions(self) -> frozenset[str]:
        """The identities of the questions that its model was asked."""
        return frozenset[str]().union(*(gate.asked_questions for gate in self.gates.values()))

    @property
    def unwaived(self) -> dict[str, GateRecord]:
        """The draws whose verdicts count: all but those that a waiver excuses."""
        return {key: gate for key, gate in self.gates.items() if key not in self.waived}


@dataclass(frozen=True)
class StageRecord:
    """One stage and its attempts, in order. `verdict` is None while it is under way. `luck` gives, for each gate that
    passed, the chance that a bad model would have passed; in older records it is a sentence. `role` is a
    `methods.Role`."""

    name: str
    method: str
    required_gates: tuple[str, ...]
    role: str = "step"
    attempts: Mapping[int, AttemptRecord] = field(default_factory=FrozenDict[int, AttemptRecord])
    verdict: Verdict | None = None
    reason: str = ""
    luck: Mapping[str, LuckyPass | str] = field(default_factory=FrozenDict[str, LuckyPass | str])


def first_purpose(stage: StageRecord) -> str:
    """The purpose of the first draws of a stage's gates."""
    return "baseline" if stage.role == "baseline" else "gate"


@dataclass(frozen=True)
class RunRecord:
    """A whole run, or a gate run alone (then `stages` is empty and `gates` holds the gate)."""

    folder: Path
    name: str = ""
    started: str = ""
    finished: str | None = None
    start: Json = field(default_factory=FrozenDict[str, Any])
    stages: Mapping[str, StageRecord] = field(default_factory=FrozenDict[str, StageRecord])
    gates: Mapping[str, GateRecord] = field(default_factory=FrozenDict[str, GateRecord])
    leaks: tuple[Json, ...] = ()
    dropped: tuple[Json, ...] = ()
    verdict: Verdict | None = None
    reason: str = ""
    promotions: tuple[Json, ...] = ()
    faults: tuple[str, ...] = ()
    explained: tuple[ExplainedCases, ...] = ()
    digest: str = ""

    @property
    def goal(self) -> StageRecord | None:
        """The stage whose model is the result of the run: the last step, or without steps the last scorer."""
        by_role = {stage.role: stage for stage in self.stages.values()}
        return by_role.get("step") or by_role.get("scorer")

    def attempts_until(self, stage: str, attempt: int) -> Iterator[tuple[StageRecord, AttemptRecord]]:
        """The attempts before this one: of the stages before its stage, and the earlier ones of its own."""
        for name, one in self.stages.items():
            for number, other in one.attempts.items():
                if name != stage or number < attempt:
                    yield one, other
            if name == stage:
                return

    def all_gates(self) -> list[GateRecord]:
        """Every gate of every attempt and its references, in order; or the gates of a gate run alone."""
        attempts = [attempt for stage in self.stages.values() for attempt in stage.attempts.values()]
        return [*self.gates.values(), *(gate for attempt in attempts for gate in attempt.draws)]

    def waivers(self) -> list[dict[str, Any]]:
        """The waivers that excused failed draws of the stages' last attempts, with stage and gate."""
        return [
            {**waiver, "stage": stage.name, "attempt": number, "gate": key}
            for stage in self.stages.values()
            for number, attempt in list(stage.attempts.items())[-1:]
            for key, waiver in attempt.waived.items()
        ]

    def held_against(self, gate: GateRecord) -> Sequence[Outcome]:
        """The outcomes that a retention draw was compared with; empty for any other draw."""
        if gate.against is None:
            return ()
        stage, number, purpose = (gate.against.get(name) for name in ("stage", "attempt", "purpose"))
        attempt = None if stage is None else self.stages[stage].attempts[number or 0]
        gates = self.gates if attempt is None else attempt.references if purpose in REFERENCES else attempt.gates
        return gates[gate_key(gate.against["gate"], gate.against["purpose"])].outcomes
