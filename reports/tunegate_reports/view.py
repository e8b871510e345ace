"""The view model: a RunRecord as what a page shows, in plain dataclasses. No HTML here, and nothing is decided here."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tunegate.outcomes import Finding, Outcome, Verdict
from tunegate.record import AttemptRecord, GateRecord, RunRecord, StageRecord
from tunegate_reports.answer import Answer, answer, gate_label
from tunegate_reports.histogram import Histogram, histogram, number

DEFAULT = "default"
NEVER_RUN = "registered, but the run ended before it was judged"
RANK = {Verdict.FAIL: 0, Verdict.INVALID: 1, Verdict.PASS: 2}


@dataclass(frozen=True, slots=True)
class CaseView:
    """One case of one gate. `number` is its place in View.cases, `gate` the place of its gate in View.gates."""

    number: int
    gate: int
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Category:
    """An error category: the number of cases that show it, and the cap that the gate sets, if any."""

    name: str
    count: int
    cap: int | None


@dataclass(frozen=True, slots=True)
class CheckView:
    """How one check of a gate judged its cases; `histogram` where it gives scores, `labels` where it gives words."""

    name: str
    passed: int
    missed: int
    invalid: int
    histogram: Histogram | None
    labels: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class GateView:
    """One gate. `cases` holds numbers of View.cases, passes first, then misses, then cases without a verdict."""

    number: int
    label: str
    record: GateRecord
    cases: tuple[int, ...]
    categories: tuple[Category, ...]
    checks: tuple[CheckView, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """A setting that differs from the attempt before."""

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


@dataclass(frozen=True, slots=True)
class StageView:
    """One stage; `losses` holds (attempt, points of (step, loss)) for every attempt that logged a loss."""

    record: StageRecord
    attempts: tuple[AttemptView, ...]
    losses: tuple[tuple[int, tuple[tuple[float, float], ...]], ...]


@dataclass(frozen=True, slots=True)
class View:
    """All that a report shows of a run."""

    run: RunRecord
    answer: Answer
    stages: tuple[StageView, ...]
    gates: tuple[GateView, ...]
    cases: tuple[CaseView, ...]

    @property
    def deciding_gates(self) -> tuple[GateView, ...]:
        """The gates that the run's verdict rests on: of each stage's last gated attempt, or of a gate run alone."""
        gated = [[attempt.gates for attempt in stage.attempts if attempt.gates] for stage in self.stages]
        alone = tuple(gate for gate in self.gates if gate.record.stage is None)
        return tuple(gate for attempts in gated if attempts for gate in attempts[-1]) + alone

    @property
    def seconds(self) -> float:
        """Time spent training and gating, in seconds."""
        return sum(gate.record.seconds for gate in self.gates) + sum(
            attempt.record.seconds for stage in self.stages for attempt in stage.attempts
        )


def view(run: RunRecord) -> View:
    """Turn a record into what a report shows."""
    cases: list[CaseView] = []
    gates = tuple(_gate(gate, number, cases) for number, gate in enumerate(run.all_gates()))
    stages = tuple(_stage(stage, gates) for stage in run.stages.values())
    return View(run, answer(run), stages, gates, tuple(cases))


# --- gates ---------------------------------------------------------------------------------------------------------


def _gate(gate: GateRecord, place: int, cases: list[CaseView]) -> GateView:
    own = [CaseView(len(cases) + index, place, outcome) for index, outcome in enumerate(_all_outcomes(gate))]
    cases.extend(own)
    ordered = sorted(own, key=lambda case: (case.outcome.verdict is not Verdict.PASS, RANK[case.outcome.verdict]))
    return GateView(
        number=place,
        label=gate_label(gate),
        record=gate,
        cases=tuple(case.number for case in ordered),
        categories=_categories(gate),
        checks=tuple(_checks(gate)),
    )


def _all_outcomes(gate: GateRecord) -> Iterator[Outcome]:
    """The outcomes of a gate, and an INVALID one for every registered case that has none, unless it was spared."""
    yield from gate.outcomes
    if gate.decided and gate.spared:
        return
    judged = {outcome.case_id for outcome in gate.outcomes}
    for case_id in gate.case_ids:
        if case_id not in judged:
            yield Outcome(case_id, Verdict.INVALID, NEVER_RUN, (), "", "")


def _categories(gate: GateRecord) -> tuple[Category, ...]:
    caps = gate.terms.get("max_errors", {})
    names = {**gate.error_categories, **{name: gate.error_categories.get(name, 0) for name in caps}}
    ranked = sorted(names.items(), key=lambda item: (-item[1], item[0]))
    return tuple(Category(name, count, caps.get(name)) for name, count in ranked)


def _checks(gate: GateRecord) -> Iterator[CheckView]:
    by_check: dict[str, list[Finding]] = {}
    for outcome in gate.outcomes:
        for finding in outcome.findings:
            by_check.setdefault(finding.check, []).append(finding)
    for name, findings in by_check.items():
        verdicts = [finding.verdict for finding in findings]
        labels: dict[str, int] = {}
        for finding in findings:
            if isinstance(finding.value, str):
                labels[finding.value] = labels.get(finding.value, 0) + 1
        passed, missed, invalid = (verdicts.count(one) for one in (Verdict.PASS, Verdict.FAIL, Verdict.INVALID))
        yield CheckView(name, passed, missed, invalid, histogram(findings), labels)


# --- stages and attempts -------------------------------------------------------------------------------------------


def _stage(stage: StageRecord, gates: tuple[GateView, ...]) -> StageView:
    attempts: list[AttemptView] = []
    previous: AttemptRecord | None = None
    for attempt in stage.attempts.values():
        own = tuple(gate for gate in gates if any(gate.record is record for record in attempt.gates.values()))
        changes = _changes(previous, attempt)
        verdict = attempt_verdict(attempt, stage.required_gates)
        attempts.append(AttemptView(attempt.number, attempt, verdict, changes, _facts(attempt), own))
        previous = attempt
    losses = tuple((attempt.number, points) for attempt in stage.attempts.values() if (points := _losses(attempt)))
    return StageView(stage, tuple(attempts), losses)


def attempt_verdict(attempt: AttemptRecord, required_gates: list[str]) -> Verdict | None:
    """PASS when every required gate passed; a training that broke down is INVALID, not the model's failure."""
    if attempt.error is not None:
        return Verdict.INVALID
    decided = {gate.gate: gate.verdict for gate in attempt.gates.values() if gate.decided}
    for verdict in (Verdict.FAIL, Verdict.INVALID, Verdict.INCONCLUSIVE):
        if verdict in decided.values():
            return verdict
    return Verdict.PASS if decided and all(name in decided for name in required_gates) else None


def _changes(previous: AttemptRecord | None, attempt: AttemptRecord) -> tuple[Change, ...]:
    """What this attempt does differently, read off the settings; else what the diagnosis before it announced."""
    if previous is None:
        return ()
    old, new = _settings(previous), _settings(attempt)
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    if not names and previous.diagnosis is not None:
        return announced(previous.diagnosis.changes)
    return tuple(Change(name, old.get(name, DEFAULT), new.get(name, DEFAULT)) for name in names)


def _settings(attempt: AttemptRecord) -> dict[str, str]:
    """An attempt's settings in words, those that are set."""
    return flat({name: value for name, value in attempt.settings.items() if value is not None})


def announced(changes: Mapping[str, tuple[Any, Any]]) -> tuple[Change, ...]:
    """The changes that a diagnosis names, in words."""
    return tuple(Change(name, plain(old), plain(new)) for name, (old, new) in changes.items())


def _facts(attempt: AttemptRecord) -> tuple[str, ...]:
    rows, dropped = attempt.summary.get("rows"), attempt.summary.get("rows_dropped")
    return (
        *((f"trained on {rows:,} rows",) if isinstance(rows, int) else ()),
        *((f"{dropped:,} rows dropped",) if isinstance(dropped, int) and dropped else ()),
        *((f"{duration(attempt.seconds)} of training",) if attempt.seconds else ()),
        f"seed {attempt.seed}",
    )


def _losses(attempt: AttemptRecord) -> tuple[tuple[float, float], ...]:
    points: list[tuple[float, float]] = []
    for index, entry in enumerate(attempt.log, start=1):
        step, loss = number(entry.get("step", index)), number(entry.get("loss"))
        if step is not None and loss is not None:
            points.append((step, loss))
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
    """A value as a reader writes it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def duration(seconds: float) -> str:
    """Seconds in words: `41.5 s`, `2 min 11 s`, `3 h 5 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
