"""Recorded answers of models, by suite: from a run, from one of its stages, or from gates run alone.

FOLDER                 the folder of a gate, or of a run: its final model
RUN@sft, RUN@sft#1     the model of a stage: its last attempt, or the attempt with this number
RUN@base               the base model of a run, if it was asked the retention suites
anything else          a model; its gates are searched for in the records of `tunegate gate`
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from tunegate.checks.outcome import Outcome
from tunegate.exceptions import ConfigError, nearest
from tunegate.record.event_log import EVENTS
from tunegate.record.read_run import read_run
from tunegate.record.recheck import recheck_all
from tunegate.record.record import AttemptRecord, GateRecord, RunRecord, StageRecord

Identify = Callable[[str], str | None]
"""Maps a model as the user writes it to the SHA-256 of its weights."""


@dataclass(frozen=True, slots=True)
class SuiteAnswers:
    """All outcomes of one model on one suite, by case id. `cut_short`: a draw stopped when its verdict was certain, so
    the pass rate is not for a fixed number of cases."""

    gate: str
    suite_sha256: str
    outcomes: dict[str, Outcome]
    cut_short: bool = False


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison: its label, its model, and the answers by the suite's hash."""

    label: str
    model_sha256: str | None
    suites: dict[str, SuiteAnswers]


def read_side(spec: str, records: Path, identify: Identify) -> Side:
    """The answers that `spec` names; raises ConfigError when none are on record."""
    folder, stage = _parts(spec)
    if folder is None:
        return _of_model(spec, records, identify)
    return _side(spec, _gates_in(folder, stage, spec))


def gates_at(spec: str) -> list[GateRecord]:
    """The decided gates of a gate's folder or of a stage of a run; raises ConfigError if there are none."""
    folder, stage = _parts(spec)
    if folder is None:
        raise ConfigError(f"{spec}: this is not the folder of a run or a gate: it holds no {EVENTS}")
    decided = [gate for gate in _gates_in(folder, stage, spec, references=True) if gate.decided]
    if not decided:
        raise ConfigError(f"{spec}: this record has no decided gate; finish the gate first")
    return decided


def _gates_in(folder: Path, stage: str | None, spec: str, *, references: bool = False) -> list[GateRecord]:
    """The gates of a record; with `references`, also what earlier models were asked for a stage."""
    run = _read(folder)
    if stage is None and not run.stages:
        return list(run.gates.values())
    if stage == "base":
        return _of_base(run)
    attempt = attempt_named(run, stage, spec)
    return list(attempt.draws if references else attempt.gates.values())


def _of_base(run: RunRecord) -> list[GateRecord]:
    """What the base model was asked: beside a stage's model, or, in an older record, before any training."""
    base = run.start.get("model_sha256")
    attempts = [attempt for stage in run.stages.values() for attempt in stage.attempts.values()]
    references = [one for attempt in attempts for one in attempt.references.values() if one.model_sha256 == base]
    return [*run.gates.values(), *references]


def names_a_record(spec: str) -> bool:
    """Whether `spec` names a record, rather than a model whose gates are searched for."""
    return _parts(spec)[0] is not None


def read_record(spec: str) -> tuple[RunRecord, str | None]:
    """The checked record that `spec` names, and the stage in it; raises ConfigError where there is none."""
    folder, stage = _parts(spec)
    if folder is None:
        raise ConfigError(f"{spec}: no record of a run or a gate; name its folder, or RUN@STAGE, RUN@STAGE#ATTEMPT")
    return _read(folder), stage


def _parts(spec: str) -> tuple[Path | None, str | None]:
    """`runs/x@sft` as (runs/x, sft); the folder is None if it holds no record."""
    if (Path(spec) / EVENTS).is_file():
        return Path(spec), None
    place, at, stage = spec.rpartition("@")
    return (Path(place), stage) if at and (Path(place) / EVENTS).is_file() else (None, None)


def _read(folder: Path) -> RunRecord:
    run = read_run(folder)
    recheck_all(run)
    return run


def attempt_named(run: RunRecord, wanted: str | None, spec: str) -> AttemptRecord:
    """The attempt that `stage#number` names; without a stage, the last attempt that trained a model of the chain."""
    steps = [stage for stage in run.stages.values() if stage.role == "step" and stage.attempts]
    if wanted is None:
        if not steps:
            raise ConfigError(f"{spec}: no stage of this run has started yet; {spec}@base names the base model")
        return _last(steps[-1])
    name, _, number = wanted.partition("#")
    stage = run.stages.get(name)
    if stage is None or not stage.attempts:
        raise ConfigError(
            f"{spec}: this run has no stage {name!r} that has started{nearest(name, ['base', *run.stages])}"
        )
    if not number:
        return _last(stage)
    if not number.isdecimal() or int(number) not in stage.attempts:
        raise ConfigError(
            f"{spec}: there is no such attempt; stage {name!r} has the attempts {', '.join(map(str, stage.attempts))}"
        )
    return stage.attempts[int(number)]


def _last(stage: StageRecord) -> AttemptRecord:
    return stage.attempts[max(stage.attempts)]


def _of_model(spec: str, records: Path, identify: Identify) -> Side:
    """All answers from the model's own gates; a later record of a suite comes before earlier records."""
    sha256 = identify(spec)
    if sha256 is None:
        raise ConfigError(f"{spec}: a server's weights have no fingerprint; name the folder of its gate")
    folders = sorted(path.parent for path in records.glob(f"*/{EVENTS}")) if records.is_dir() else []
    runs = [run for run in map(read_run, folders) if run.start.get("model_sha256") == sha256 and not run.stages]
    for run in runs:
        recheck_all(run)
    latest_first = sorted(runs, key=lambda run: run.started, reverse=True)
    gates = [gate for run in latest_first for gate in run.gates.values() if gate.decided]
    if not gates:
        raise ConfigError(
            f"{spec}: this is not the folder of a run or a gate, and the records in {records} have no gate of this "
            f"model; run one: tunegate gate {spec} --suite FILE"
        )
    return _side(spec, gates)


def _side(label: str, gates: Iterable[GateRecord]) -> Side:
    decided = [gate for gate in gates if gate.decided]
    if not decided:
        raise ConfigError(
            f"{label}: this record has no decided gate, so nothing can be compared; finish the gate first"
        )
    suites: dict[str, SuiteAnswers] = {}
    for gate in decided:
        known = suites.get(gate.suite_sha256) or SuiteAnswers(gate.gate, gate.suite_sha256, {})
        outcomes = {outcome.case_id: outcome for outcome in gate.outcomes} | known.outcomes
        suites[gate.suite_sha256] = replace(known, outcomes=outcomes, cut_short=known.cut_short or gate.spared > 0)
    return Side(label, decided[0].model_sha256, suites)
