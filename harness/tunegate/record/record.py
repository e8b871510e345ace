"""The record of a run: `read_run(folder)` folds its events into the one thing that reports, resuming and promotion see.

A verdict can be recomputed from it alone, years later, without a model. `event_log.py` writes the events.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tunegate.checks.outcome import Outcome, Verdict
from tunegate.exceptions import Tampered, from_outside
from tunegate.models.model import Response
from tunegate.record.answer_log import AnswerLog, answers_from_json
from tunegate.record.event_log import Event, read_events
from tunegate.record.judged_log import JudgedLog, is_unanswered
from tunegate.record.outcome_json import outcome_from_json, outcome_on_line
from tunegate.verdicts.terms import Terms, terms_from_json


@dataclass
class GateRecord:
    """One gate of one attempt (or a gate run alone: `stage` is None). `decided` is False while it is under way.

    `outcomes` are those that the verdict rests on, in draw order; `judged` are all that were recorded.
    `answers` are the model's, of which some may not be judged yet.
    """

    gate: str
    stage: str | None
    attempt: int | None
    suite_sha256: str
    model_sha256: str | None
    seed: int
    drawn: int
    accept: int
    case_ids: list[str]
    purpose: str = "gate"
    part: str = "working"
    terms: dict[str, Any] = field(default_factory=dict[str, Any])
    against: dict[str, Any] | None = None
    reused: int = 0
    bank: int = 0
    model: str = ""
    dtype: str | None = None
    checks: list[str] = field(default_factory=list[str])
    settings: dict[str, Any] = field(default_factory=dict[str, Any])
    outcomes: list[Outcome] = field(default_factory=list[Outcome])
    decided: bool = False
    verdict: Verdict = Verdict.INVALID
    reason: str = "not decided yet"
    passed: int = 0
    failed: int = 0
    invalid: int = 0
    asked: int = 0
    spared: int = 0
    interval: tuple[float, float] = (0.0, 1.0)
    error_categories: dict[str, int] = field(default_factory=dict[str, int])
    seconds: float = 0.0
    judged: JudgedLog = field(default_factory=JudgedLog)
    answers: AnswerLog = field(default_factory=AnswerLog)
    answers_apart: bool = False
    """Whether answers were written down before they were judged; in records of before, outcomes hold them."""

    @property
    def asked_or_judged_again(self) -> str:
        """Empty where each answer was asked for and judged once."""
        return "; ".join(filter(None, (self.answers.in_words, self.judged.in_words)))

    @property
    def seen(self) -> frozenset[str]:
        """All cases that the model was asked, also those that the verdict did not wait for."""
        return frozenset(case_id for case_id in self.case_ids if case_id in self.answers.responses)

    @property
    def measured(self) -> bool:
        """Whether its PASS says no more than that every case was judged: a baseline, which has nothing to pass."""
        return self.purpose == "baseline" and self.decided and self.verdict is Verdict.PASS

    @property
    def settled(self) -> bool:
        """Whether nothing is left to do: it has a verdict, other than that it could not be judged."""
        return self.decided and self.verdict is not Verdict.INVALID

    @property
    def key(self) -> str:
        """Its name within an attempt: `facts`, `facts (confirm)`."""
        return gate_key(self.gate, self.purpose)

    @property
    def registered(self) -> Terms:
        """The terms that were registered before the first answer; raises Tampered when they are none."""
        try:
            terms = terms_from_json(self.terms)
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise Tampered(f"gate {self.key!r}: its terms are not on record: {error!r}") from error
        if (terms.plan.draw, terms.plan.accept, terms.purpose) != (self.drawn, self.accept, self.purpose):
            raise Tampered(f"gate {self.key!r}: registered as {self.accept} of {self.drawn}, its terms say not")
        return terms


REGISTERED = (
    *("gate", "stage", "attempt", "suite_sha256", "model_sha256", "seed", "drawn", "accept", "case_ids", "purpose"),
    *("part", "terms", "against", "reused", "bank", "model", "dtype", "checks", "settings"),
)
"""What the beginning of a gate says, before the first answer."""
DECIDED = ("reason", "passed", "failed", "invalid", "asked", "spared", "error_categories", "seconds")
"""What its end says, beside verdict and interval."""


def gate_key(gate: str, purpose: str) -> str:
    """How a gate is called within an attempt: a confirming draw stands beside the gate that it confirms."""
    return gate if purpose == "gate" else f"{gate} ({purpose})"


@dataclass
class Diagnosis:
    """Why a failed attempt missed, from evidence, and what the next attempt changes.

    `changes` maps a setting to its old and new value; empty when the declared budget is spent. Then `action` is advice.
    Records of older versions have none for the last attempt.
    """

    cause: str
    evidence: list[str]
    action: str
    changes: dict[str, tuple[Any, Any]] = field(default_factory=dict[str, tuple[Any, Any]])


@dataclass
class AttemptRecord:
    """One training of a stage. `log` holds one mapping per logged step: step, epoch, loss, learning_rate, …

    `waived` holds, by the name of a missed draw, the waiver that let it pass.
    """

    number: int
    seed: int
    settings: dict[str, Any]
    input_sha256: str
    data_sha256: str = ""
    """Of the file of rows that the trainer was given."""
    rows: int = 0
    """How many rows that file has; 0 where none was written."""
    trained: bool = False
    model: str = ""
    model_sha256: str = ""
    error: str | None = None
    log: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    summary: dict[str, Any] = field(default_factory=dict[str, Any])
    seconds: float = 0.0
    gates: dict[str, GateRecord] = field(default_factory=dict[str, GateRecord])
    diagnosis: Diagnosis | None = None
    own_answers: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """What the input model said to training prompts, where the stage learns from that: number, response, verdict."""
    waived: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])

    @property
    def unwaived(self) -> dict[str, GateRecord]:
        """The draws whose verdicts count: all but those that a waiver excuses."""
        return {key: gate for key, gate in self.gates.items() if key not in self.waived}


@dataclass
class StageRecord:
    """One stage and its attempts, in order. `verdict` is None while it is under way. `luck` says in words, for each
    gate that passed, how likely a bad model was to get there. `role` is that of `methods.Role`."""

    name: str
    method: str
    required_gates: list[str]
    role: str = "step"
    attempts: dict[int, AttemptRecord] = field(default_factory=dict[int, AttemptRecord])
    verdict: Verdict | None = None
    reason: str = ""
    luck: dict[str, str] = field(default_factory=dict[str, str])


def first_purpose(stage: StageRecord) -> str:
    """The purpose of the first draws of a stage's gates."""
    return "baseline" if stage.role == "baseline" else "gate"


@dataclass
class RunRecord:
    """A whole run, or a gate run alone (then `stages` is empty and `gates` holds it)."""

    folder: Path
    name: str = ""
    started: str = ""
    finished: str | None = None
    start: dict[str, Any] = field(default_factory=dict[str, Any])
    stages: dict[str, StageRecord] = field(default_factory=dict[str, StageRecord])
    gates: dict[str, GateRecord] = field(default_factory=dict[str, GateRecord])
    leaks: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    dropped: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    verdict: Verdict | None = None
    reason: str = ""
    promotions: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    faults: list[str] = field(default_factory=list[str])
    digest: str = ""

    @property
    def goal(self) -> StageRecord | None:
        """The stage whose model the run is for: the last step; of a run without steps, the last scorer."""
        by_role = {stage.role: stage for stage in self.stages.values()}
        return by_role.get("step") or by_role.get("scorer")

    def all_gates(self) -> list[GateRecord]:
        """Every gate of every attempt, in order; or the gates of a gate run alone."""
        attempts = [attempt for stage in self.stages.values() for attempt in stage.attempts.values()]
        return [*self.gates.values(), *(gate for attempt in attempts for gate in attempt.gates.values())]

    def waivers(self) -> list[dict[str, Any]]:
        """The waivers that let a missed draw of a stage's last attempt pass, with where they did."""
        return [
            {**waiver, "stage": stage.name, "attempt": number, "gate": key}
            for stage in self.stages.values()
            for number, attempt in list(stage.attempts.items())[-1:]
            for key, waiver in attempt.waived.items()
        ]

    def held_against(self, gate: GateRecord) -> list[Outcome]:
        """The outcomes that a retention draw was compared with; empty for any other draw."""
        if gate.against is None:
            return []
        stage, attempt = gate.against.get("stage"), gate.against.get("attempt")
        gates = self.gates if stage is None else self.stages[stage].attempts[attempt or 0].gates
        return gates[gate_key(gate.against["gate"], gate.against["purpose"])].outcomes


@contextmanager
def reading(place: object) -> Generator[None]:
    """What is read out of a record within: where the record does not hold what it must, Tampered is raised.

    The hashes of a record may have been made anew around values that nothing here has written.
    """
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        if from_outside(error) is not None:
            raise
        raise Tampered(f"{place}: the record does not hold what it must: {error!r:.200}") from error


def read_run(folder: Path) -> RunRecord:
    """Fold a run folder's events into a RunRecord."""
    run = RunRecord(folder)
    for number, event in enumerate(read_events(folder), start=1):
        try:
            _fold(run, event)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Tampered(
                f"{folder}: event {number} ({event['event']}) does not hold what it must: {error!r}"
            ) from error
        run.digest = event["line_sha256"]
    with reading(folder):
        for gate in run.all_gates():
            _settle(gate)
    return run


def _settle(gate: GateRecord) -> None:
    """Put the outcomes into draw order; a decided gate keeps those that its verdict rests on."""
    known, judged = set(gate.case_ids), gate.judged.outcomes
    strangers = [outcome for case_id, outcome in judged.items() if case_id not in known]
    gate.outcomes = [judged[case_id] for case_id in gate.case_ids if case_id in judged] + strangers
    if gate.decided and not strangers:
        del gate.outcomes[gate.asked :]  # a block is asked whole; what came after the verdict does not count


def _fold(run: RunRecord, event: dict[str, Any]) -> None:
    match event["event"]:
        case "run_started":
            run.name, run.started, run.start = event["name"], event["time"], event
            _refuse(bool(run.stages), "a run that has begun to train is begun anew")
            run.leaks, run.dropped, run.verdict, run.reason, run.finished = [], [], None, "", None
            run.gates = {}
        case "leaks_found":
            run.leaks = event["leaks"]
        case "leaks_dropped":
            run.dropped = event["stages"]
        case "stage_started":
            _refuse(event["stage"] in run.stages, "a stage begins twice")
            run.stages[event["stage"]] = StageRecord(
                event["stage"], event["method"], event["gates"], run.start.get("roles", {}).get(event["stage"], "step")
            )
        case "attempt_started":
            attempt = AttemptRecord(event["attempt"], event["seed"], event["settings"], event["input_sha256"])
            _refuse(attempt.number in run.stages[event["stage"]].attempts, "an attempt begins twice")
            run.stages[event["stage"]].attempts[attempt.number] = attempt
        case "trained":
            attempt = run.stages[event["stage"]].attempts[event["attempt"]]
            attempt.trained, attempt.model, attempt.model_sha256 = True, event["model"], event["model_sha256"]
            attempt.log, attempt.summary, attempt.seconds = event["log"], event["summary"], event["seconds"]
            attempt.error, attempt.diagnosis = None, None  # of a training that failed before, and was tried again
        case "training_failed":
            attempt = run.stages[event["stage"]].attempts[event["attempt"]]
            attempt.error, attempt.log = event["error"], event.get("log", [])
            attempt.seconds = event.get("seconds", 0.0)
        case "rows_written":
            attempt = run.stages[event["stage"]].attempts[event["attempt"]]
            attempt.data_sha256, attempt.rows = event["data_sha256"], event.get("rows", 0)
        case "own_answers":
            run.stages[event["stage"]].attempts[event["attempt"]].own_answers += event["answers"]
        case "gate_started":
            gate = GateRecord(**{name: event[name] for name in REGISTERED if name in event})
            _refuse(gate.key in _gates(run, event), "a draw begins twice")
            _gates(run, event)[gate.key] = gate
        case "asking":
            _ask(_gates(run, event)[_key(event)], event["questions"])
        case "answered":
            _answer(_gates(run, event)[_key(event)], answers_from_json(event["answers"]))
        case "outcome":
            _judge(_gates(run, event)[_key(event)], event["outcome"], event["line_sha256"])
        case "gate_decided":
            gate = _gates(run, event)[_key(event)]
            _refuse(gate.settled, "a gate is decided twice")
            for name in DECIDED:  # all else is what was registered before the first answer
                setattr(gate, name, event.get(name, getattr(gate, name)))
            gate.decided, gate.verdict, gate.interval = True, Verdict(event["verdict"]), tuple(event["interval"])
        case "diagnosed":
            changes = {key: (old, new) for key, (old, new) in event["changes"].items()}
            run.stages[event["stage"]].attempts[event["attempt"]].diagnosis = Diagnosis(
                event["cause"], event["evidence"], event["action"], changes
            )
        case "waived":
            run.stages[event["stage"]].attempts[event["attempt"]].waived[_key(event)] = event["waiver"]
        case "stage_decided":
            stage = run.stages[event["stage"]]
            stage.verdict, stage.reason = Verdict(event["verdict"]), event["reason"]
            stage.luck = event.get("luck", {})
        case "fault":
            run.faults.append(event["reason"])
        case "promoted":
            run.promotions.append(event)
        case "run_decided":
            missing = [name for name in run.start.get("stages", []) if not _has_passed(run, name)]
            _refuse(event["verdict"] == Verdict.PASS and bool(missing), "a run passes whose stages have not")
            run.verdict, run.reason, run.finished = Verdict(event["verdict"]), event["reason"], event["time"]
        case _:
            pass  # an event of a later version; the chain of hashes still covers it


def _refuse(contradicts: bool, what: str) -> None:
    """Raise ValueError for an event that no run writes after those before it."""
    if contradicts:
        raise ValueError(what)


def _has_passed(run: RunRecord, stage: str) -> bool:
    return stage in run.stages and run.stages[stage].verdict is Verdict.PASS


def _ask(gate: GateRecord, questions: list[str]) -> None:
    """Take in that the model is asked; whatever becomes of it counts as once."""
    _refuse(gate.settled, "a case is asked after the verdict")
    gate.answers.begin(questions)
    gate.decided, gate.answers_apart = False, True


def _answer(gate: GateRecord, responses: Mapping[str, Response]) -> None:
    """Take in what the model said; a question that has its answer is asked no more."""
    _refuse(gate.settled, "a case is asked after the verdict")
    for question, response in responses.items():
        gate.answers.add(question, response)
    gate.decided, gate.answers_apart = False, True


def _judge(gate: GateRecord, data: Mapping[str, Any], sha256: str) -> None:
    """Take in an outcome. What could not be judged may be judged again, and then the gate is open again."""
    if "response" in data:  # a record of before, when answers were not written down before they were judged
        outcome = outcome_from_json(data)
        _refuse(gate.answers_apart, "an answer stands in an outcome of a gate that writes its answers down before")
        gate.answers.add_once_more(outcome.case_id, _answer_within(outcome))
    else:
        _refuse(data["case_id"] not in gate.answers.responses, "a case is judged before it is answered")
        outcome = outcome_on_line(sha256, data, gate.answers.responses)
    _refuse(gate.settled, "a case is judged after the verdict")
    gate.judged.add(outcome)
    gate.decided = False


def _answer_within(outcome: Outcome) -> Response:
    """The answer that an outcome of an older record holds."""
    error = outcome.reason if is_unanswered(outcome) else None
    return Response(outcome.response, outcome.finish_reason, error=error)  # pyright: ignore[reportArgumentType]


def _key(event: Event) -> str:
    return gate_key(event["gate"], event.get("purpose", "gate"))


def _gates(run: RunRecord, event: Event) -> dict[str, GateRecord]:
    if event.get("stage") is None:
        return run.gates
    return run.stages[event["stage"]].attempts[event["attempt"]].gates
