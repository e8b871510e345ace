"""The append-only record of a run: one JSON object a line in `events.jsonl`, flushed to disk before work goes on.

Writing:  `with RunLog.open(folder) as log: log.append(event)`. Each line ends with the SHA-256 of what stands before
          it in the line, the hash of the line before included, so a line that was changed or taken out shows, the last
          line too. A torn last line (kill -9) is cut off at the next opening.
Reading:  `read_run(folder)` folds the events into a `RunRecord`, the one thing that reports, resuming and promotion
          look at.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import math
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from tunegate.exceptions import CannotJudge, ConfigError, Tampered, TunegateError
from tunegate.outcomes import ErrorSpan, Finding, Outcome, Verdict, shallow

EVENTS = "events.jsonl"
SYNC_EVERY_S = 0.2
Event = Mapping[str, Any]


# --- what a record says, as reports and resuming see it ------------------------------------------------------------


@dataclass
class GateRecord:
    """One gate of one attempt (or a gate run alone: `stage` is None). `decided` is False while it is under way."""

    gate: str
    stage: str | None
    attempt: int | None
    suite_sha256: str
    model_sha256: str | None
    seed: int
    drawn: int
    accept: int
    case_ids: list[str]
    model: str = ""
    checks: list[str] = field(default_factory=list[str])
    max_errors: dict[str, int] = field(default_factory=dict[str, int])
    outcomes: list[Outcome] = field(default_factory=list[Outcome])
    decided: bool = False
    verdict: Verdict = Verdict.INVALID
    reason: str = "not decided yet"
    passed: int = 0
    failed: int = 0
    invalid: int = 0
    interval: tuple[float, float] = (0.0, 1.0)
    error_categories: dict[str, int] = field(default_factory=dict[str, int])
    seconds: float = 0.0


@dataclass
class Diagnosis:
    """Why a failed attempt missed, from evidence, and what the next attempt changes.

    `changes` maps a setting to its old and new value; empty when the declared budget is spent.
    """

    cause: str
    evidence: list[str]
    action: str
    changes: dict[str, tuple[Any, Any]] = field(default_factory=dict[str, tuple[Any, Any]])


@dataclass
class AttemptRecord:
    """One training of a stage. `log` holds one mapping per logged step: step, epoch, loss, learning_rate, …"""

    number: int
    seed: int
    settings: dict[str, Any]
    input_sha256: str
    trained: bool = False
    model: str = ""
    model_sha256: str = ""
    error: str | None = None
    log: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    summary: dict[str, Any] = field(default_factory=dict[str, Any])
    seconds: float = 0.0
    gates: dict[str, GateRecord] = field(default_factory=dict[str, GateRecord])
    diagnosis: Diagnosis | None = None


@dataclass
class StageRecord:
    """One stage and its attempts, in order. `verdict` is None while it is under way."""

    name: str
    method: str
    required_gates: list[str]
    attempts: dict[int, AttemptRecord] = field(default_factory=dict[int, AttemptRecord])
    verdict: Verdict | None = None
    reason: str = ""


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
    verdict: Verdict | None = None
    reason: str = ""
    promotions: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    faults: list[str] = field(default_factory=list[str])
    digest: str = ""

    def all_gates(self) -> list[GateRecord]:
        """Every gate of every attempt, in order; or the gates of a gate run alone."""
        attempts = [attempt for stage in self.stages.values() for attempt in stage.attempts.values()]
        return [*self.gates.values(), *(gate for attempt in attempts for gate in attempt.gates.values())]


# --- writing -------------------------------------------------------------------------------------------------------


class RunLog:
    """The open, locked event log of a run folder. Appending is durable: the line is on disk when `append` returns."""

    def __init__(self, folder: Path, lock_fd: int, fd: int, last_sha256: str) -> None:
        self.folder = folder
        self._lock_fd = lock_fd
        self._fd = fd
        self._last_sha256 = last_sha256
        self._synced = time.monotonic()

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open or create the log; refuses a folder that another process is writing to (ConfigError)."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock_fd = os.open(folder / ".lock", os.O_CREAT | os.O_RDWR, 0o644)
        except OSError as error:
            raise CannotJudge(f"{folder}: the run folder cannot be written: {error.strerror}") from error
        try:
            fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock_fd)
            raise ConfigError(
                f"{folder}: another tunegate process is writing to this run folder; wait for it or choose another"
            ) from error
        path = folder / EVENTS
        try:
            lines = _whole_lines(path)
            last_sha256 = _unsealed(lines[-1], f"{path}:{len(lines)}")["line_sha256"] if lines else ""
            fd = os.open(path, os.O_CREAT | os.O_WRONLY, 0o644)
            os.ftruncate(fd, sum(len(line) for line in lines))
            os.lseek(fd, 0, os.SEEK_END)
        except OSError as error:
            os.close(lock_fd)
            raise CannotJudge(f"{path}: cannot be written: {error.strerror}") from error
        except TunegateError:
            os.close(lock_fd)
            raise
        return cls(folder, lock_fd, fd, last_sha256)

    def append(self, *events: Event, durable: bool = True) -> None:
        """Write events; a `durable` one is on disk when this returns, others at most SYNC_EVERY_S later.

        What is written survives `kill -9` in either case; waiting for the disk guards against a power cut. A full disk
        raises CannotJudge; a line that was cut short by it is dropped at the next opening.
        """
        for event in events:
            line, sha256 = _sealed({**event, "time": _now(), "previous_sha256": self._last_sha256})
            self._write(line)
            self._last_sha256 = sha256
        if durable or time.monotonic() - self._synced > SYNC_EVERY_S:
            self._sync()

    def _write(self, line: bytes) -> None:
        rest = memoryview(line)
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError as error:
            raise CannotJudge(f"{self.folder / EVENTS}: writing the record failed: {error.strerror}") from error

    def _sync(self) -> None:
        try:
            os.fsync(self._fd)
        except OSError as error:
            raise CannotJudge(f"{self.folder / EVENTS}: writing the record failed: {error.strerror}") from error
        self._synced = time.monotonic()

    def close(self) -> None:
        os.close(self._fd)
        os.close(self._lock_fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


_SEAL = b', "line_sha256": "'


def _sealed(event: Event) -> tuple[bytes, str]:
    """The line of an event, and the hash that it ends with."""
    try:
        text = json.dumps(event, ensure_ascii=False, allow_nan=False, default=str)
    except ValueError:  # a loss that is not a number: rare, and JSON has no word for it
        text = json.dumps(_finite(event), ensure_ascii=False, allow_nan=False, default=str)
    body = text.encode(errors="backslashreplace")[:-1]  # a lone surrogate becomes \udXXX, as JSON writes it
    sha256 = hashlib.sha256(body).hexdigest()
    return body + _SEAL + sha256.encode() + b'"}\n', sha256


def _unsealed(line: bytes, where: str) -> dict[str, Any]:
    """The event of a line; raises Tampered when the line is not what was written."""
    body, _, seal = line.rpartition(_SEAL)
    if seal != hashlib.sha256(body).hexdigest().encode() + b'"}\n':
        raise Tampered(f"{where}: not the line that was written: the record was changed")
    return json.loads(line)


def _finite(value: Any) -> Any:
    """The same value with NaN and infinities as text, as `outcome_to_json` writes them."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
    return value


def _whole_lines(path: Path) -> list[bytes]:
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise CannotJudge(f"{path}: cannot be read: {error.strerror}") from error
    return lines if not lines or lines[-1].endswith(b"\n") else lines[:-1]


# --- reading -------------------------------------------------------------------------------------------------------


def read_events(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the events of a run folder; raises Tampered when the chain of hashes is broken."""
    path = folder / EVENTS
    if not path.exists():
        raise ConfigError(f"{folder}: not a run folder: it has no {EVENTS}")
    previous = ""
    for number, line in enumerate(_whole_lines(path), start=1):
        event = _unsealed(line, f"{path}:{number}")
        if event["previous_sha256"] != previous:
            raise Tampered(f"{path}:{number}: does not follow from the line before it: the record was changed")
        previous = event["line_sha256"]
        yield event


def last_event(folder: Path) -> dict[str, Any] | None:
    """The last whole event of a folder, found without reading the others; None where there is none."""
    path = folder / EVENTS
    if not path.exists():
        return None
    with path.open("rb") as file:
        size, block = file.seek(0, os.SEEK_END), 2**16
        while True:
            file.seek(max(0, size - block))
            lines = file.read().rpartition(b"\n")[0].splitlines()
            if len(lines) > 1 or block >= size:
                return _unsealed(lines[-1] + b"\n", str(path)) if lines else None
            block *= 2


def read_run(folder: Path) -> RunRecord:
    """Fold a run folder's events into a RunRecord."""
    run = RunRecord(folder)
    for event in read_events(folder):
        _fold(run, event)
        run.digest = event["line_sha256"]
    for gate in run.all_gates():
        gate.outcomes = list({outcome.case_id: outcome for outcome in gate.outcomes}.values())  # judged again: the last
    return run


def _fold(run: RunRecord, event: dict[str, Any]) -> None:
    match event["event"]:
        case "run_started":
            run.name, run.started, run.start = event["name"], event["time"], event
            run.leaks, run.verdict, run.reason, run.finished = [], None, "", None  # begun anew: nothing was trained yet
        case "leaks_found":
            run.leaks = event["leaks"]
        case "stage_started":
            run.stages[event["stage"]] = StageRecord(event["stage"], event["method"], event["gates"])
        case "attempt_started":
            attempt = AttemptRecord(event["attempt"], event["seed"], event["settings"], event["input_sha256"])
            run.stages[event["stage"]].attempts[attempt.number] = attempt
        case "trained":
            attempt = run.stages[event["stage"]].attempts[event["attempt"]]
            attempt.trained, attempt.model, attempt.model_sha256 = True, event["model"], event["model_sha256"]
            attempt.log, attempt.summary, attempt.seconds = event["log"], event["summary"], event["seconds"]
            attempt.error, attempt.diagnosis = None, None  # of a training that failed before, and was tried again
        case "training_failed":
            attempt = run.stages[event["stage"]].attempts[event["attempt"]]
            attempt.error, attempt.log = event["error"], event.get("log", [])
        case "gate_started":
            _gates(run, event)[event["gate"]] = GateRecord(**_only(event, GateRecord))
        case "outcome":
            _gates(run, event)[event["gate"]].outcomes.append(outcome_from_json(event["outcome"]))
        case "gate_decided":
            gate = _gates(run, event)[event["gate"]]
            for key, value in _only(event, GateRecord).items():
                if key not in {"drawn", "accept"}:  # the plan is what was registered before the first answer
                    setattr(gate, key, value)
            gate.decided, gate.verdict, gate.interval = True, Verdict(event["verdict"]), tuple(event["interval"])
        case "diagnosed":
            changes = {key: (old, new) for key, (old, new) in event["changes"].items()}
            run.stages[event["stage"]].attempts[event["attempt"]].diagnosis = Diagnosis(
                event["cause"], event["evidence"], event["action"], changes
            )
        case "stage_decided":
            stage = run.stages[event["stage"]]
            stage.verdict, stage.reason = Verdict(event["verdict"]), event["reason"]
        case "fault":
            run.faults.append(event["reason"])
        case "promoted":
            run.promotions.append(event)
        case "run_decided":
            run.verdict, run.reason, run.finished = Verdict(event["verdict"]), event["reason"], event["time"]
        case _:
            pass  # an event of a later version; the chain of hashes still covers it


def _gates(run: RunRecord, event: Event) -> dict[str, GateRecord]:
    if event.get("stage") is None:
        return run.gates
    return run.stages[event["stage"]].attempts[event["attempt"]].gates


def _only(event: dict[str, Any], record: type[GateRecord]) -> dict[str, Any]:
    return {key: value for key, value in event.items() if key in record.__dataclass_fields__}


def outcome_to_json(outcome: Outcome) -> dict[str, Any]:
    """An outcome as plain JSON values; `outcome_from_json` is its inverse, but for a NaN, which JSON does not have."""
    return {**shallow(outcome), "findings": [_finding_to_json(finding) for finding in outcome.findings]}


def _finding_to_json(finding: Finding) -> dict[str, Any]:
    data: dict[str, Any] = {**shallow(finding), "errors": [shallow(error) for error in finding.errors]}
    for name in ("value", "cutoff"):
        if isinstance(data[name], float) and not math.isfinite(data[name]):
            data[name] = str(data[name])
    return data


def outcome_from_json(data: Mapping[str, Any]) -> Outcome:
    values = dict(data)
    prompt = values["prompt"]
    values["verdict"] = Verdict(values["verdict"])
    values["prompt"] = prompt if isinstance(prompt, str) else tuple(prompt)
    values["references"], values["tags"] = tuple(values["references"]), tuple(values["tags"])
    values["findings"] = tuple(_finding(finding) for finding in values["findings"])
    return Outcome(**values)


def _finding(data: Mapping[str, Any]) -> Finding:
    values = dict(data)
    values["verdict"] = Verdict(values["verdict"])
    values["errors"] = tuple(ErrorSpan(**error) for error in values["errors"])
    return Finding(**values)
