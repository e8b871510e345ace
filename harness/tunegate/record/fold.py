"""From events to the record: one small function for each kind of event; the record is built when it is asked for.

An event that contradicts the events before it raises ValueError, which becomes Tampered with the line at fault.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import singledispatchmethod
from pathlib import Path
from typing import Any

from tunegate.checks.outcome import Outcome, Verdict
from tunegate.exceptions import Tampered
from tunegate.record import gate_events, run_events, stage_events
from tunegate.record.draw_facts import ExplainedCases
from tunegate.record.event import Event
from tunegate.record.event_log import EVENTS, read_events
from tunegate.record.events import event_from_json
from tunegate.record.fold_parts import AttemptFold, GateFold, RunFold, StageFold, refuse
from tunegate.record.frozen import frozen
from tunegate.record.record import Diagnosis, RunRecord, gate_key
from tunegate.record.registered_terms import RegisteredTerms
from tunegate.record.typed_json import read_as
from tunegate.verdicts.terms import REFERENCES, Purpose, terms_from_json


def folded(folder: Path) -> Fold:
    """The events of a run folder, folded; raises Tampered for a record that was changed."""
    fold = Fold(folder)
    for event in read_events(folder):
        fold.take(event)
    return fold


class Fold:
    """The state after the events so far. `record` is a value: a later event makes a new one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lines = 0
        self._run = RunFold(folder)

    @property
    def record(self) -> RunRecord:
        """The record after the last event."""
        return self._run.snapshot()

    def take(self, line: Mapping[str, Any]) -> None:
        """Apply the event of one line; raises Tampered when it is not valid."""
        self._lines += 1
        where = f"{self._folder / EVENTS}:{self._lines}"
        event = event_from_json(line, where)
        try:
            self._take(event, line)
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            kind = line["event"]
            raise Tampered(f"{where}: event {kind} is not valid: {_description(error)}") from error
        self._run.digest = line["line_sha256"]
        self._run.touch()

    @singledispatchmethod
    def _take(self, event: Event, line: Mapping[str, Any]) -> None:
        """An event of a later version: the chain of hashes covers it, and it is otherwise ignored."""

    # --- the run ---

    @_take.register
    def _(self, event: run_events.RunStarted, line: Mapping[str, Any]) -> None:
        refuse(bool(self._run.stages), "a run that has already trained a stage is started again")
        self._run.restart(event.name, frozen(line))

    @_take.register
    def _(self, event: run_events.LeaksFound, line: Mapping[str, Any]) -> None:
        self._run.leaks = event.leaks

    @_take.register
    def _(self, event: run_events.LeaksDropped, line: Mapping[str, Any]) -> None:
        self._run.dropped = event.stages

    @_take.register
    def _(self, event: run_events.RunDecided, line: Mapping[str, Any]) -> None:
        refuse(
            event.verdict is Verdict.PASS and not self._run.all_passed,
            "the run passes, but not all of its stages passed",
        )
        self._run.verdict, self._run.reason, self._run.finished = event.verdict, event.reason, line["time"]

    @_take.register
    def _(self, event: run_events.Promoted, line: Mapping[str, Any]) -> None:
        self._run.promotions.append(frozen(line))

    @_take.register
    def _(self, event: run_events.FaultMet, line: Mapping[str, Any]) -> None:
        self._run.faults.append(event.reason)

    # --- stages and attempts ---

    @_take.register
    def _(self, event: stage_events.StageStarted, line: Mapping[str, Any]) -> None:
        refuse(event.stage in self._run.stages, "a stage begins twice")
        self._run.stages[event.stage] = StageFold(self._run, event, self._run.role_of(event.stage))

    @_take.register
    def _(self, event: stage_events.StageDecided, line: Mapping[str, Any]) -> None:
        stage = self._run.stages[event.stage]
        stage.decided = event
        stage.touch()

    @_take.register
    def _(self, event: stage_events.AttemptStarted, line: Mapping[str, Any]) -> None:
        stage = self._run.stages[event.stage]
        refuse(event.attempt in stage.attempts, "an attempt begins twice")
        stage.attempts[event.attempt] = AttemptFold(stage, event, stage.redrawn_by(event))
        stage.touch()

    @_take.register
    def _(self, event: stage_events.RowsWritten, line: Mapping[str, Any]) -> None:
        self._in_training(event).rows = event

    @_take.register
    def _(self, event: stage_events.OwnAnswersJudged, line: Mapping[str, Any]) -> None:
        self._in_training(event).own_answers += event.answers

    @_take.register
    def _(self, event: stage_events.Trained, line: Mapping[str, Any]) -> None:
        attempt = self._in_training(event)
        attempt.trained, attempt.log, attempt.seconds = event, tuple(event.log), event.seconds
        attempt.failed, attempt.diagnosis = None, None  # an earlier training that failed was tried again

    @_take.register
    def _(self, event: stage_events.TrainingFailed, line: Mapping[str, Any]) -> None:
        attempt = self._in_training(event)
        attempt.failed, attempt.log, attempt.seconds = event, tuple(event.log), event.seconds

    @_take.register
    def _(self, event: stage_events.Diagnosed, line: Mapping[str, Any]) -> None:
        refuse(event.redraw and bool(event.changes), "a redraw changes no setting")
        self._changed(event).diagnosis = Diagnosis(
            event.cause, event.evidence, event.action, event.changes, event.spent, event.redraw, event.noise
        )

    @_take.register
    def _(self, event: stage_events.CasesExplained, line: Mapping[str, Any]) -> None:
        refuse(event.attempt not in self._run.stages[event.stage].attempts, "cases of no attempt are explained")
        self._run.explained.append(
            ExplainedCases(event.stage, event.attempt, event.file, event.sha256, event.cases, event.faults)
        )

    @_take.register
    def _(self, event: gate_events.Waived, line: Mapping[str, Any]) -> None:
        attempt = self._run.stages[event.stage or ""].attempts[event.attempt or 0]
        key = gate_key(event.gate, event.purpose)
        attempt.waived[key], attempt.waived_at[key] = event.waiver, line["time"]
        attempt.touch()

    def _changed(self, event: stage_events.OfAttempt) -> AttemptFold:
        attempt = self._run.stages[event.stage].attempts[event.attempt]
        attempt.touch()
        return attempt

    def _in_training(self, event: stage_events.OfAttempt) -> AttemptFold:
        attempt = self._changed(event)
        after = self._run.stages[event.stage].attempts.get(event.attempt + 1)
        refuse(attempt.started.redraw_of is not None, "a redraw trains nothing")
        refuse(after is not None and after.started.redraw_of is not None, "weights are trained after their redraw")
        return attempt

    # --- gates ---

    @_take.register
    def _(self, event: gate_events.GateStarted, line: Mapping[str, Any]) -> None:
        if event.terms:
            read_as(RegisteredTerms, event.terms)
            if (
                "slices" in event.terms
            ):  # older records hold fewer terms: they are shown, but `registered` refuses a verdict
                terms_from_json(event.terms)
        place = self._place(event)
        key, gates = gate_key(event.gate, event.purpose), _draws_of(place, event.purpose)
        refuse(key in gates, "a draw begins twice")
        gates[key] = GateFold(place, event)
        place.touch()

    @_take.register
    def _(self, event: gate_events.GateContinued, line: Mapping[str, Any]) -> None:
        refuse(event.stage is not None, "only a gate that is run alone can be continued")
        self._gate(event).go_on(event)

    @_take.register
    def _(self, event: gate_events.LimitsMeasured, line: Mapping[str, Any]) -> None:
        self._gate(event).measure(event.measured)

    @_take.register
    def _(self, event: gate_events.Asking, line: Mapping[str, Any]) -> None:
        self._gate(event).ask(event.questions, event.servers)

    @_take.register
    def _(self, event: gate_events.Answered, line: Mapping[str, Any]) -> None:
        self._gate(event).answer(event.answers)

    @_take.register
    def _(self, event: gate_events.OutcomeJudged, line: Mapping[str, Any]) -> None:
        self._gate(event).judge(event.outcome)

    @_take.register
    def _(self, event: gate_events.OutcomesJudged, line: Mapping[str, Any]) -> None:
        gate = self._gate(event)
        for outcome in event.outcomes:
            gate.judge(outcome)

    @_take.register
    def _(self, event: gate_events.GateDecided, line: Mapping[str, Any]) -> None:
        self._gate(event).decide(event, line["time"])

    def judged(self, of: gate_events.OfGate) -> Mapping[str, Outcome]:
        """The outcomes of a draw so far, by the id of their case."""
        return self._draw(of).judged.outcomes

    def _gate(self, event: gate_events.OfGate) -> GateFold:
        """The draw that an event changes."""
        gate = self._draw(event)
        gate.touch()
        return gate

    def _draw(self, of: gate_events.OfGate) -> GateFold:
        return _draws_of(self._place(of), of.purpose)[gate_key(of.gate, of.purpose)]

    def _place(self, event: gate_events.OfGate) -> RunFold | AttemptFold:
        if event.stage is None:
            return self._run
        return self._run.stages[event.stage].attempts[event.attempt or 0]


def _draws_of(place: RunFold | AttemptFold, purpose: Purpose) -> dict[str, GateFold]:
    """Where a draw belongs: an attempt keeps what earlier models answered apart from the draws of its own model."""
    return place.references if isinstance(place, AttemptFold) and purpose in REFERENCES else place.gates


def _description(error: Exception) -> str:
    return f"{error!r:.200}" if isinstance(error, LookupError) else str(error)
