"""The parts that a record is built from: a run, its stages, attempts and gates. Each can change and gives snapshots.

A snapshot is kept until the next event that changes its part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from tunegate.checks.outcome import Outcome, Verdict
from tunegate.models.model import Response
from tunegate.models.timing import Measured
from tunegate.record.answer_log import AnswerLog, answers_from_json
from tunegate.record.draw_facts import ExplainedCases, Look
from tunegate.record.frozen import FrozenDict, frozen
from tunegate.record.gate_events import GateContinued, GateDecided, GateStarted
from tunegate.record.judged_log import JudgedLog, is_unanswered
from tunegate.record.outcome_json import outcome_from_json
from tunegate.record.record import AttemptRecord, Diagnosis, GateRecord, OwnAnswer, RunRecord, StageRecord
from tunegate.record.stage_events import (
    AttemptStarted,
    RowsWritten,
    StageDecided,
    StageStarted,
    Trained,
    TrainingFailed,
)
from tunegate.verdicts.limits import any_not_measured
from tunegate.verdicts.reason import is_settled, reasons_or_sentence
from tunegate.verdicts.terms import terms_from_json, why_not_continued

T = TypeVar("T")
Json = Mapping[str, Any]


def refuse(contradicts: bool, what: str) -> None:
    """Raise ValueError for an event that contradicts the events before it."""
    if contradicts:
        raise ValueError(what)


class _Part(Generic[T]):
    """A part that can change; the part that contains it changes with it."""

    def __init__(self, within: _Part[Any] | None) -> None:
        self._within = within
        self._shown: T | None = None

    def touch(self) -> None:
        """Note a change: the last snapshot is out of date."""
        part: _Part[Any] | None = self
        while part is not None:
            part._shown = None
            part = part._within

    def snapshot(self) -> T:
        """The current state, as a value."""
        if self._shown is None:
            self._shown = self._made()
        return self._shown

    def _made(self) -> T:
        raise NotImplementedError


class RunFold(_Part[RunRecord]):
    """A whole run, or a gate alone."""

    def __init__(self, folder: Path) -> None:
        super().__init__(None)
        self.folder = folder
        self.stages: dict[str, StageFold] = {}
        self.promotions: list[Json] = []
        self.faults: list[str] = []
        self.explained: list[ExplainedCases] = []
        self.digest = ""
        self.restart("", FrozenDict())

    def restart(self, name: str, start: Json) -> None:
        """Start, or start again if nothing was trained: earlier findings do not count."""
        self.name, self.start, self.started = name, start, start.get("time", "")
        self.gates: dict[str, GateFold] = {}
        self.leaks: tuple[Json, ...] = ()
        self.dropped: tuple[Json, ...] = ()
        self.verdict: Verdict | None = None
        self.reason = ""
        self.finished: str | None = None

    def role_of(self, stage: str) -> str:
        """The role of a stage; older records do not name it."""
        return self.start.get("roles", {}).get(stage, "step")

    @property
    def all_passed(self) -> bool:
        """Whether every stage that the run registered has passed."""
        return all(name in self.stages and self.stages[name].passed for name in self.start.get("stages", ()))

    def _made(self) -> RunRecord:
        return RunRecord(
            folder=self.folder,
            name=self.name,
            started=self.started,
            finished=self.finished,
            start=self.start,
            stages=_shown(self.stages),
            gates=_shown(self.gates),
            leaks=self.leaks,
            dropped=self.dropped,
            verdict=self.verdict,
            reason=self.reason,
            promotions=tuple(self.promotions),
            faults=tuple(self.faults),
            explained=tuple(self.explained),
            digest=self.digest,
        )


class StageFold(_Part[StageRecord]):
    """One stage."""

    def __init__(self, within: RunFold, started: StageStarted, role: str) -> None:
        super().__init__(within)
        self.started = started
        self.role = role
        self.attempts: dict[int, AttemptFold] = {}
        self.decided: StageDecided | None = None

    @property
    def passed(self) -> bool:
        """Whether its verdict is PASS."""
        return self.decided is not None and self.decided.verdict is Verdict.PASS

    def redrawn_by(self, event: AttemptStarted) -> Trained | None:
        """The weights that a redraw asks again: those of the attempt before, whose diagnosis asks for just that. None
        for an attempt that trains; raises ValueError where the diagnosis says otherwise."""
        before = self.attempts.get(event.attempt - 1)
        asked = before is not None and before.diagnosis is not None and before.diagnosis.redraw
        if event.redraw_of is None:
            refuse(asked, "an attempt trains, although the diagnosis before it asks for a redraw")
            return None
        same = before is not None and event.redraw_of == before.started.attempt and before.trained is not None
        refuse(not asked or not same, "a redraw that no diagnosis asks for")
        if before is None or before.trained is None:
            return None
        for name in ("seed", "settings", "input_sha256", "reward_sha256"):
            refuse(getattr(event, name) != getattr(before.started, name), f"a redraw with another {name}")
        refuse(before.started.redraw_of is not None, "a redraw of a redraw")
        return before.trained

    def _made(self) -> StageRecord:
        return StageRecord(
            name=self.started.stage,
            method=self.started.method,
            required_gates=self.started.gates,
            role=self.role,
            attempts=_shown(self.attempts),
            verdict=self.decided.verdict if self.decided else None,
            reason=self.decided.reason if self.decided else "",
            luck=self.decided.luck if self.decided else FrozenDict(),
        )


class AttemptFold(_Part[AttemptRecord]):
    """One attempt of a stage."""

    def __init__(self, within: StageFold, started: AttemptStarted, redrawn: Trained | None = None) -> None:
        super().__init__(within)
        self.started = started
        self.redrawn = redrawn
        self.rows: RowsWritten | None = None
        self.trained: Trained | None = None
        self.failed: TrainingFailed | None = None
        self.log: tuple[Json, ...] = ()
        self.seconds = 0.0
        self.gates: dict[str, GateFold] = {}
        self.references: dict[str, GateFold] = {}
        self.diagnosis: Diagnosis | None = None
        self.own_answers: tuple[OwnAnswer, ...] = ()
        self.waived: dict[str, Json] = {}
        self.waived_at: dict[str, str] = {}

    def _made(self) -> AttemptRecord:
        rows, trained = self.rows, self.trained
        weights, ended = self.redrawn or trained, trained or self.failed
        return AttemptRecord(
            number=self.started.attempt,
            seed=self.started.seed,
            settings=self.started.settings,
            input_sha256=self.started.input_sha256,
            redraw_of=self.started.redraw_of,
            data_sha256=rows.data_sha256 if rows else "",
            rows=rows.rows if rows else 0,
            trained=weights is not None,
            model=weights.model if weights else "",
            model_sha256=weights.model_sha256 if weights else "",
            error=self.failed.error if self.failed else None,
            failure=self.failed.failure if self.failed else "other",
            log=self.log,
            summary=trained.summary if trained else FrozenDict(),
            seconds=self.seconds,
            executor=ended.executor if ended else None,
            gates=_shown(self.gates),
            references=_shown(self.references),
            diagnosis=self.diagnosis,
            own_answers=self.own_answers,
            waived=FrozenDict(self.waived),
            waived_at=FrozenDict(self.waived_at),
        )


class GateFold(_Part[GateRecord]):
    """One draw."""

    def __init__(self, within: RunFold | AttemptFold, started: GateStarted) -> None:
        super().__init__(within)
        refuse(len(started.questions) not in (0, len(started.case_ids)), "not one question for each case")
        self.started = started
        self.looks: tuple[Look, ...] = ()
        self.judged = JudgedLog()
        self.servers: tuple[Json, ...] = ()
        self.answers = AnswerLog()
        self.answers_apart = False
        self.timed: tuple[Measured, ...] = ()
        self.end: GateDecided | None = None
        self.ended_at = ""
        self.decided = False

    @property
    def settled(self) -> bool:
        """Whether nothing is left to do: it has a verdict other than INVALID, and waits for no label."""
        return self.decided and self.end is not None and is_settled(self.end.verdict, self.end.reasons or ())

    def go_on(self, event: GateContinued) -> None:
        """Add cases after a verdict that could not tell."""
        begun, end = self.started, self.end
        if end is None or not self.decided:
            raise ValueError("a gate without a verdict is continued")
        if why := why_not_continued(terms_from_json(begun.terms), end.verdict, end.passed, end.failed):
            raise ValueError(why)
        refuse(not event.case_ids or len(event.questions) != len(event.case_ids), "not one question for each case")
        ids, questions = (*begun.case_ids, *event.case_ids), (*begun.questions, *event.questions)
        refuse(len(set(ids)) < len(ids) or len(set(questions)) < len(questions), "a case is added that was asked")
        first = terms_from_json(self.looks[0].terms if self.looks else begun.terms)
        terms = first.continued(len(ids) - first.plan.draw)
        self.looks += (Look(end.verdict, begun.drawn, end.passed, end.failed, begun.terms, event.ledger),)
        self.started = replace(
            begun,
            case_ids=ids,
            questions=questions,
            drawn=terms.plan.draw,
            accept=terms.plan.accept,
            terms=frozen(terms.to_json()),
            reused=begun.reused + event.reused,
        )
        self.end, self.decided = None, False

    def measure(self, measured: Measured) -> None:
        """Add what the requests took; raises ValueError if the measurement before it was already enough."""
        rules = terms_from_json(self.started.terms).limits
        refuse(self.settled or rules is None, "requests are timed that no limit asks for")
        if rules is not None and self.timed:
            refuse(not any_not_measured(rules, self.timed[-1]), "requests are timed again after a verdict on them")
        refuse(measured.case_ids != self.started.case_ids[: len(measured.case_ids)], "other cases are timed")
        self.timed += (measured,)
        self.decided = False

    def ask(self, questions: Sequence[str], servers: tuple[Json, ...]) -> None:
        """Note that the model is asked; this counts as one try, whatever comes of it."""
        refuse(self.settled, "a case is asked after the verdict")
        self.servers = servers or self.servers
        self.answers.begin(questions)
        self.decided, self.answers_apart = False, True

    def answer(self, rows: Sequence[Json]) -> None:
        """Add the model's answers; a question that has its answer is not asked again."""
        refuse(self.settled, "a case is asked after the verdict")
        for question, response in answers_from_json(rows).items():
            self.answers.add(question, response)
        self.decided, self.answers_apart = False, True

    def judge(self, data: Json) -> None:
        """Add an outcome. A case that could not be judged may be judged again, which reopens the gate."""
        if "response" in data:  # an older record: answers were not recorded before they were judged
            outcome = outcome_from_json(data)
            refuse(self.answers_apart, "an outcome contains an answer, but this gate records its answers separately")
            self.answers.add_once_more(outcome.case_id, _answer_within(outcome))
        else:
            refuse(data["case_id"] not in self.answers.responses, "a case is judged before it is answered")
            outcome = outcome_from_json(data, self.answers.responses)
        refuse(self.settled, "a case is judged after the verdict")
        self.judged.add(outcome)
        self.decided = False

    def decide(self, event: GateDecided, time: str) -> None:
        """Set the verdict."""
        refuse(self.settled, "a gate is decided twice")
        told = (event.drawn or self.started.drawn, event.accept or self.started.accept)
        refuse(
            told != (self.started.drawn, self.started.accept), "a gate is decided on another plan than it began with"
        )
        self.servers = event.servers or self.servers
        self.end, self.ended_at, self.decided = event, time, True

    def _made(self) -> GateRecord:
        begun, end = self.started, self.end
        registered = GateRecord(
            gate=begun.gate,
            stage=begun.stage,
            attempt=begun.attempt,
            suite_sha256=begun.suite_sha256,
            model_sha256=begun.model_sha256,
            seed=begun.seed,
            drawn=begun.drawn,
            accept=begun.accept,
            case_ids=begun.case_ids,
            purpose=begun.purpose,
            part=begun.part,
            terms=begun.terms,
            against=begun.against,
            reused=begun.reused,
            questions=begun.questions,
            ledger=begun.ledger,
            looks=self.looks,
            bank=begun.bank,
            model=begun.model,
            dtype=begun.dtype,
            checks=begun.checks,
            settings=begun.settings,
            outcomes=self._outcomes(),
            judged=self.judged.frozen(),
            answers=self.answers.frozen(),
            answers_apart=self.answers_apart,
            timed=self.timed,
            servers=self.servers,
            decided_at=self.ended_at if self.decided else "",
        )
        return registered if end is None else _ended(registered, end, self.decided)

    def _outcomes(self) -> tuple[Outcome, ...]:
        """The outcomes in draw order; for a decided gate, those that its verdict is based on."""
        case_ids, judged = self.started.case_ids, self.judged.outcomes
        known = set(case_ids)
        unknown = [outcome for case_id, outcome in judged.items() if case_id not in known]
        outcomes = (*(judged[case_id] for case_id in case_ids if case_id in judged), *unknown)
        if self.end is None or not self.decided or unknown:
            return outcomes
        return outcomes[: self.end.asked]  # whole blocks are asked; answers after the verdict do not count


def _ended(gate: GateRecord, end: GateDecided, decided: bool) -> GateRecord:
    """A gate with its verdict. The rest was registered before the first answer."""
    return replace(
        gate,
        decided=decided,
        verdict=end.verdict,
        reason=end.reason,
        reasons=reasons_or_sentence(end.reasons, end.reason),
        passed=end.passed,
        failed=end.failed,
        invalid=end.invalid,
        asked=end.asked,
        spared=end.spared,
        interval=end.interval,
        error_categories=end.error_categories,
        diversity=end.diversity,
        seconds=end.seconds,
        executor=end.executor,
        halved_batch=end.halved_batch,
    )


def _answer_within(outcome: Outcome) -> Response:
    """The answer in an outcome of an older record."""
    error = outcome.reason if is_unanswered(outcome) else None
    return Response(outcome.response, outcome.finish_reason, error=error)  # pyright: ignore[reportArgumentType]


K = TypeVar("K")


def _shown(parts: Mapping[K, _Part[T]]) -> Mapping[K, T]:
    return FrozenDict({key: part.snapshot() for key, part in parts.items()})
