"""A gate run alone, without a pipeline: its folder, its record, and resuming after an interruption."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import count
from pathlib import Path

from tunegate.checks.outcome import Verdict
from tunegate.exceptions import ConfigError, Tampered
from tunegate.gates.draw import GatePlace, draw_fresh
from tunegate.gates.runner import GateRunner
from tunegate.models.model import Model, StoredResponses, answers_the_same, request_of
from tunegate.progress import Progress
from tunegate.record.event_log import RawEvent, last_event
from tunegate.record.events import GateDecided, RunStarted, event_from_json
from tunegate.record.lucky_gate import LuckyPass, lucky_pass_alone
from tunegate.record.read_run import read_run
from tunegate.record.recheck import recheck
from tunegate.record.record import GateRecord, RunRecord
from tunegate.record.run_log import RunLog
from tunegate.stats.plans import GatePlan
from tunegate.suites.suite import Suite

FOLDER = Path("tunegate-runs")


@dataclass(frozen=True)
class GateRequest:
    """One gate to run: a suite, a plan, a seed, the model, and the folder of the record (None: chosen by key).

    `always_new`: if the folder is chosen by key, never resume an earlier record, since the model may have changed.
    """

    suite: Suite
    plan: GatePlan
    seed: int
    model: Model
    folder: str | None = None
    always_new: bool = False

    @cached_property
    def key(self) -> str:
        """Identifies this gate: suite, plan, seed, the weights or stored answers, and the number type."""
        subject = self.model.sha256 or _answers_key(self.model)
        facts = [self.suite.sha256, self.plan.numbers, self.seed, subject, self.model.dtype]
        facts += [dict(request)] if (request := request_of(self.model)) else []
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class GateRunResult:
    """A decided gate, its confirming draw if its plan required one, and the record that holds them.

    `earlier` are the verdicts of earlier complete runs of the same gate with the same requests to the same server.
    """

    record: GateRecord
    run: RunRecord
    confirm: GateRecord | None = None
    earlier: Sequence[str] = ()

    @property
    def folder(self) -> Path:
        """The folder of the record."""
        return self.run.folder

    @property
    def earlier_in_words(self) -> str:
        """Says that this gate was run before; empty for the first run."""
        sentence = f"this is not the first try: earlier runs with this suite and seed gave {', '.join(self.earlier)}"
        return sentence if self.earlier else ""

    @property
    def deciding(self) -> GateRecord:
        """The draw whose verdict is the gate's: the confirming draw, if there is one."""
        return self.confirm or self.record

    @property
    def luck(self) -> LuckyPass | None:
        """The chance that a bad model would have passed too; None unless the gate passed."""
        return lucky_pass_alone(self.record, self.confirm)


def run_gate(request: GateRequest, progress: Progress, versions: Mapping[str, str]) -> GateRunResult:
    """Run a gate, or resume the same gate if it was interrupted or INVALID."""
    folder, earlier = _folder(request)
    name = request.suite.name
    with RunLog.open(folder) as log:
        run = log.record
        if run.start and run.start.get("key") != request.key:
            raise ConfigError(
                f"{folder}: the folder holds another gate (its suite, plan, seed, model or dtype differs); choose "
                "another folder"
            )
        if not run.start and run.all_gates():
            raise Tampered(f"{folder}: the record holds a gate without the event that started it")
        if not run.start:
            log.append(_started(request, earlier, versions))
        verdict = _draw(request, run, GatePlace(name), log, progress)
        if verdict is Verdict.PASS and request.plan.confirmation(attempt=1):
            _draw(request, run, GatePlace(name, purpose="confirm"), log, progress)
        return _result(log.record, name)


def _started(request: GateRequest, earlier: Sequence[str], versions: Mapping[str, str]) -> RunStarted:
    suite = request.suite
    facts = {
        "sha256": suite.sha256,
        "path": suite.path,
        "cases": len(suite.cases),
        "settings": asdict(suite.settings),
    }
    return RunStarted(
        name=suite.name,
        key=request.key,
        model=request.model.name,
        model_sha256=request.model.sha256,
        request=dict(fields) if (fields := request_of(request.model)) else None,
        seed=request.seed,
        earlier=tuple(earlier),
        suites={suite.name: facts},
        versions=dict(versions),
    )


def read_result(folder: Path, name: str) -> GateRunResult:
    """The result of a gate from its record."""
    return _result(read_run(folder), name)


def _result(run: RunRecord, name: str) -> GateRunResult:
    confirm, earlier = run.gates.get(GatePlace(name, purpose="confirm").key), run.start.get("earlier", ())
    return GateRunResult(run.gates[name], run, confirm, tuple(earlier))


def _draw(request: GateRequest, run: RunRecord, place: GatePlace, log: RunLog, progress: Progress) -> Verdict:
    """Run one draw of the gate, unless `run`, the record at the start, holds it."""
    plan = request.plan.first if place.purpose == "gate" else request.plan.confirmation(attempt=1)
    assert plan is not None  # a draw that no plan requires is not run
    begun = run.gates.get(place.key)
    if begun is not None and begun.settled:
        _refuse_unknown_weights(request, run.folder)
        recheck(begun)
        return begun.verdict
    suite = request.suite
    drawn = draw_fresh(place, suite, plan.draw, request.seed)
    terms = suite.terms(request.plan, curtail=bool(request.plan.curtail))
    terms = terms if place.purpose == "gate" else terms.confirming(plan)
    with log.faults_on_record():
        return GateRunner(log.append, progress).run(place, suite, terms, request.model, drawn, begun=begun).verdict


def _refuse_unknown_weights(request: GateRequest, folder: Path) -> None:
    """A finished gate is valid for its weights; a server has no weights to compare and may answer differently now."""
    if not answers_the_same(request.model):
        raise ConfigError(
            f"{folder}: the folder holds a finished gate of {request.model.name}, which has no fingerprint of its "
            "weights; choose another folder to ask it again"
        )


def _folder(request: GateRequest) -> tuple[Path, list[str]]:
    """The requested folder, or the first of KEY, KEY-2, … without a finished gate; and the verdicts of earlier gates.

    The verdicts are given for a model that may answer differently each time: running a gate until it passes must be
    visible.
    """
    if request.folder is not None:
        return Path(request.folder), []
    earlier: list[str] = []
    for number in count(1):
        name = f"{request.suite.name}-{request.key}" + (f"-{number}" if number > 1 else "")
        folder = FOLDER / name
        last = last_event(folder)
        decided = _decided(last, request.plan)
        is_open = decided is None or decided.verdict is Verdict.INVALID
        if last is None or (is_open and not request.always_new):
            return folder, [] if answers_the_same(request.model) else earlier
        earlier += [str(decided.verdict)] if decided else []
    raise AssertionError("unreachable")


def is_decided(last: RawEvent | None, plan: GatePlan) -> bool:
    """Whether a record with this last event holds the gate's verdict, including its confirming draw."""
    return _decided(last, plan) is not None


def _decided(last: RawEvent | None, plan: GatePlan) -> GateDecided | None:
    """The event with the gate's verdict, if it is the last of its record; None if a draw is still needed."""
    event = None if last is None else event_from_json(last, "its last line")
    if not isinstance(event, GateDecided):
        return None
    owes = event.purpose == "gate" and event.verdict is Verdict.PASS and plan.confirmation(attempt=1)
    return None if owes else event


def _answers_key(model: Model) -> str:
    if not isinstance(model, StoredResponses):
        return model.name
    digest = hashlib.sha256()
    for case_id, response in sorted(model.responses.items()):
        digest.update(json.dumps([case_id, asdict(response)]).encode())
    return digest.hexdigest()
