"""A gate run alone, without a pipeline: its folder, its record, and going on after an interruption."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
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
    """One gate to run: a suite, a plan, a seed, whoever answers, and where the record goes (None: chosen by key).

    `anew`: where the folder is chosen by key, no earlier record is gone on with: whoever answers may have changed.
    """

    suite: Suite
    plan: GatePlan
    seed: int
    model: Model
    folder: str | None = None
    anew: bool = False

    @cached_property
    def key(self) -> str:
        """Names this very gate: suite, plan, seed, the weights or stored answers, and the number type."""
        subject = self.model.sha256 or _answers_key(self.model)
        facts = [self.suite.sha256, self.plan.numbers, self.seed, subject, self.model.dtype]
        facts += [dict(request)] if (request := request_of(self.model)) else []
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class GateRunResult:
    """A decided gate, its confirming draw if its plan called for one, and the record that holds them.

    `earlier` are the verdicts of the same gate, in the same words to the same server, that was run to its end before.
    """

    record: GateRecord
    run: RunRecord
    confirm: GateRecord | None = None
    earlier: Sequence[str] = ()

    @property
    def folder(self) -> Path:
        """Where the record lies."""
        return self.run.folder

    @property
    def earlier_in_words(self) -> str:
        """That this is no first try; empty where it is."""
        told = f"run before, with the same suite and seed: {', '.join(self.earlier)}; this is no first try"
        return told if self.earlier else ""

    @property
    def deciding(self) -> GateRecord:
        """The draw whose verdict is the gate's: the confirming one, if it came to that."""
        return self.confirm or self.record

    @property
    def luck(self) -> LuckyPass | None:
        """How likely a bad model would have passed too; None unless the gate passed."""
        return lucky_pass_alone(self.record, self.confirm)


def run_gate(request: GateRequest, progress: Progress, versions: Mapping[str, str]) -> GateRunResult:
    """Run a gate, or go on with the same gate where it was interrupted or could not judge."""
    folder, earlier = _folder(request)
    name = request.suite.name
    with RunLog.open(folder) as log:
        run = log.record
        if run.start and run.start.get("key") != request.key:
            raise ConfigError(
                f"{folder}: holds another gate (suite, plan, seed, model or dtype differ); choose another"
            )
        if not run.start and run.all_gates():
            raise Tampered(f"{folder}: the record holds a gate and not what it was begun with")
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
    """The result of a gate that was run before."""
    return _result(read_run(folder), name)


def _result(run: RunRecord, name: str) -> GateRunResult:
    confirm, earlier = run.gates.get(GatePlace(name, purpose="confirm").key), run.start.get("earlier", ())
    return GateRunResult(run.gates[name], run, confirm, tuple(earlier))


def _draw(request: GateRequest, run: RunRecord, place: GatePlace, log: RunLog, progress: Progress) -> Verdict:
    """Carry out one draw of the gate, unless `run`, the record at the start, holds it."""
    plan = request.plan.first if place.purpose == "gate" else request.plan.confirmation(attempt=1)
    assert plan is not None  # a draw that no plan calls for is not carried out
    begun = run.gates.get(place.key)
    if begun is not None and begun.settled:
        _refuse_unknown_weights(request, run.folder)
        recheck(begun)
        return begun.verdict
    suite = request.suite
    drawn = draw_fresh(place, suite, plan.draw, request.seed)
    terms = replace(suite.terms(request.plan, curtail=bool(request.plan.curtail)), plan=plan, purpose=place.purpose)
    with log.faults_on_record():
        return GateRunner(log.append, progress).run(place, suite, terms, request.model, drawn, begun=begun).verdict


def _refuse_unknown_weights(request: GateRequest, folder: Path) -> None:
    """A finished gate stands for its weights; a server has none to compare, and may answer otherwise by now."""
    if not answers_the_same(request.model):
        raise ConfigError(
            f"{folder}: holds a finished gate of {request.model.name}, whose weights have no fingerprint; "
            "choose another folder to ask it again"
        )


def _folder(request: GateRequest) -> tuple[Path, list[str]]:
    """The folder that was asked for; else the first of KEY, KEY-2, … that does not hold a finished gate.

    Of a model that may answer otherwise each time, also the verdicts of those that do: who runs a gate until it passes
    is to see it.
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
        if last is None or (is_open and not request.anew):
            return folder, [] if answers_the_same(request.model) else earlier
        earlier += [str(decided.verdict)] if decided else []
    raise AssertionError("unreachable")


def is_decided(last: RawEvent | None, plan: GatePlan) -> bool:
    """Whether a record that ends with this event holds the gate's verdict, its confirming draw included."""
    return _decided(last, plan) is not None


def _decided(last: RawEvent | None, plan: GatePlan) -> GateDecided | None:
    """The event with which a gate got its verdict, if it is the last of its record; None where a draw is owed."""
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
