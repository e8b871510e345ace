"""What a report shows about a whole run, as dataclasses: computed from the record, without HTML."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tunegate.checks.outcome import Verdict
from tunegate.data.faults import ranges
from tunegate.exceptions import Tampered
from tunegate.gates.people import NOBODY, PeopleRate
from tunegate.models.sentences import Embed
from tunegate.progress import duration
from tunegate.promotion.evidence import required_draws
from tunegate.record.record import AttemptRecord, RunRecord, StageRecord
from tunegate_reports.answer import Answer, answer, state_of
from tunegate_reports.gate_view import CaseView, GateView, gate_view
from tunegate_reports.histogram import number

DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Change:
    """A setting that differs from the previous attempt."""

    setting: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class AttemptView:
    """One attempt. `verdict` is None while it is under way; `facts` are its numbers in words."""

    number: int
    record: AttemptRecord
    verdict: Verdict | None
    changes: tuple[Change, ...]
    facts: tuple[str, ...]
    gates: tuple[GateView, ...]

    @property
    def state(self) -> str:
        """Its verdict as pages show it."""
        measured = bool(self.gates) and all(gate.record.measured for gate in self.gates)
        return state_of(self.verdict, measured=measured)


@dataclass(frozen=True, slots=True)
class StageView:
    """One stage; `losses` has (attempt, points of (step, loss)) for every attempt that logged its loss; `looks` has the
    pass rates of a watched gate in the same form."""

    record: StageRecord
    attempts: tuple[AttemptView, ...]
    losses: tuple[tuple[int, tuple[tuple[float, float], ...]], ...]
    looks: tuple[tuple[int, tuple[tuple[float, float], ...]], ...] = ()

    @property
    def state(self) -> str:
        """Its verdict as pages show it."""
        return state_of(self.record.verdict, measured=self.record.role == "baseline")


@dataclass(frozen=True, slots=True)
class View:
    """Everything that a report shows about a run."""

    run: RunRecord
    answer: Answer
    stages: tuple[StageView, ...]
    gates: tuple[GateView, ...]
    cases: tuple[CaseView, ...]
    embed: Embed | None = None
    """Given, the page also shows the training rows that are near a missed case by meaning."""

    @property
    def deciding_gates(self) -> tuple[GateView, ...]:
        """The draws that decide the run: those of each stage's last gated attempt, or those of a gate run alone. A
        baseline decides nothing."""
        gated = [[attempt.gates for attempt in stage.attempts if attempt.gates] for stage in self.stages]
        last = (gate for attempts in gated if attempts for gate in attempts[-1])
        return tuple(gate for gate in last if not gate.record.measured) + self.alone

    @property
    def alone(self) -> tuple[GateView, ...]:
        """The gates of a gate run alone."""
        return tuple(gate for gate in self.gates if gate.record.stage is None and gate.record.purpose != "baseline")

    @property
    def baselines(self) -> tuple[GateView, ...]:
        """The draws that measured the base model before any training."""
        return tuple(gate for gate in self.gates if gate.record.purpose == "baseline" and gate.record.stage is None)

    @property
    def seconds(self) -> float:
        """Time spent training and gating, in seconds."""
        return sum(gate.record.seconds for gate in self.gates) + sum(
            attempt.record.seconds for stage in self.stages for attempt in stage.attempts
        )


def view(run: RunRecord, people: Mapping[int, PeopleRate] = NOBODY) -> View:
    """Turn a record into what a report shows; raises CannotJudge or Tampered if it cannot be shown correctly."""
    cases: list[CaseView] = []
    gates = tuple(gate_view(run, gate, place, cases, people.get(place)) for place, gate in enumerate(run.all_gates()))
    stages = tuple(_stage(run, stage, gates) for stage in run.stages.values())
    return View(run, answer(run), stages, gates, tuple(cases))


# --- stages and attempts -------------------------------------------------------------------------------------------


def _stage(run: RunRecord, stage: StageRecord, gates: tuple[GateView, ...]) -> StageView:
    attempts: list[AttemptView] = []
    previous: AttemptRecord | None = None
    for attempt in stage.attempts.values():
        own = tuple(gate for gate in gates if any(gate.record is record for record in attempt.draws))
        changes = _changes(previous, attempt)
        verdict = attempt_verdict(attempt, _owed(run, stage, attempt))
        attempts.append(AttemptView(attempt.number, attempt, verdict, changes, _facts(attempt), own))
        previous = attempt
    losses, looks = (
        tuple((attempt.number, points) for attempt in stage.attempts.values() if (points := _logged(attempt, name)))
        for name in ("loss", "eval_gate")
    )
    return StageView(stage, tuple(attempts), losses, looks)


def _owed(run: RunRecord, stage: StageRecord, attempt: AttemptRecord) -> Collection[str]:
    """The draws that an attempt must pass; its gates, if the record registered no terms."""
    try:
        return required_draws(run, stage, attempt).keys()
    except Tampered:
        return stage.required_gates


def attempt_verdict(attempt: AttemptRecord, owed: Collection[str]) -> Verdict | None:
    """PASS when every required draw passed or is waived. A training that crashed is INVALID: the model did not fail."""
    if attempt.error is not None:
        return Verdict.INVALID
    verdicts = {gate.verdict for gate in attempt.unwaived.values() if gate.decided}
    for verdict in (Verdict.FAIL, Verdict.INVALID, Verdict.INCONCLUSIVE):
        if verdict in verdicts:
            return verdict
    decided = {key for key, gate in attempt.gates.items() if gate.decided}
    return Verdict.PASS if decided and decided.issuperset(owed) else None


def _changes(previous: AttemptRecord | None, attempt: AttemptRecord) -> tuple[Change, ...]:
    """The settings that this attempt changed; if none, the changes that the previous diagnosis announced."""
    if previous is None:
        return ()
    old, new = _settings(previous), _settings(attempt)
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    if not names and previous.diagnosis is not None:
        return announced(previous.diagnosis.changes)
    return tuple(Change(name, old.get(name, DEFAULT), new.get(name, DEFAULT)) for name in names)


def _settings(attempt: AttemptRecord) -> dict[str, str]:
    """The settings of an attempt that are set, in words."""
    return flat({name: value for name, value in attempt.settings.items() if value is not None})


def announced(changes: Mapping[str, tuple[Any, Any]]) -> tuple[Change, ...]:
    """The changes that a diagnosis names, in words."""
    return tuple(Change(name, plain(old), plain(new)) for name, (old, new) in changes.items())


def _facts(attempt: AttemptRecord) -> tuple[str, ...]:
    if attempt.redraw_of is not None:
        return (f"nothing trained: the weights of attempt {attempt.redraw_of}, asked fresh cases",)
    rows, dropped = attempt.summary.get("rows"), attempt.summary.get("rows_dropped")
    use = "not trained, examples from" if attempt.summary.get("steps") == 0 else "trained on"
    return (
        *((f"{use} {rows:,} rows",) if isinstance(rows, int) else ()),
        *((f"{dropped:,} rows dropped{_numbered(attempt)}",) if isinstance(dropped, int) and dropped else ()),
        *_prepared(attempt),
        *_watched(attempt),
        *((f"{duration(attempt.seconds)} of training",) if attempt.seconds else ()),
        f"seed {attempt.seed}",
    )


def _numbered(attempt: AttemptRecord) -> str:
    """Which rows of the user's file were too long."""
    numbers: Any = attempt.summary.get("dropped_rows")
    return f" as too long: {ranges(numbers)}" if numbers else ""


def _prepared(attempt: AttemptRecord) -> Iterator[str]:
    """What was done to the rows, for instance repaired or mixed with general data."""
    data = attempt.summary.get("data")
    yield from (str(note) for note in data.get("notes", ())) if isinstance(data, Mapping) else ()


def _watched(attempt: AttemptRecord) -> Iterator[str]:
    """How the watched gate did during training, and which step's weights were kept."""
    seen = attempt.summary.get("watch")
    if not isinstance(seen, Mapping) or seen.get("best_step") is None:
        return
    yield f"watched gate {seen['gate']}: best {seen['best_passed']} of {seen['asked']} at step {seen['best_step']}"
    if seen["kept_step"] != attempt.summary.get("steps"):
        yield f"weights of step {seen['kept_step']} kept"
    if seen.get("stopped_at") is not None:
        yield f"stopped at step {seen['stopped_at']}, because the gate did not improve"
    if seen.get("not_counted"):
        looks = len(seen["not_counted"])
        yield f"{looks} look{'' if looks == 1 else 's'} at the gate not counted"


def _logged(attempt: AttemptRecord, name: str) -> tuple[tuple[float, float], ...]:
    points: list[tuple[float, float]] = []
    for index, entry in enumerate(attempt.log, start=1):
        step, value = number(entry.get("step", index)), number(entry.get(name))
        if step is not None and value is not None:
            points.append((step, value))
    return tuple(points)


# --- values in words -----------------------------------------------------------------------------------------------


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings as dotted names and values in words: `{"peft": {"r": 8}}` gives `{"peft.r": "8"}`."""
    rows: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            rows.update(flat(value, f"{prefix}{key}."))  # pyright: ignore[reportUnknownArgumentType]
        else:
            rows[f"{prefix}{key}"] = plain(value)
    return rows


def plain(value: object) -> str:
    """A value as a person would write it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
