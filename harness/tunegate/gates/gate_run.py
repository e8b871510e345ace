"""A gate run alone, without a pipeline: its folder, its record, and going on after an interruption."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

from tunegate.checks.outcome import Verdict
from tunegate.exceptions import ConfigError, Tampered
from tunegate.gates.draw import GatePlace, draw_fresh
from tunegate.gates.runner import GateRunner
from tunegate.models.model import Model, StoredResponses, answers_the_same, request_of
from tunegate.progress import Progress
from tunegate.record.event_log import Event, RunLog, last_event
from tunegate.record.lucky_gate import LuckyPass, lucky_pass_alone
from tunegate.record.recheck import recheck
from tunegate.record.record import GateRecord, RunRecord, read_run
from tunegate.stats.plans import GatePlan
from tunegate.suites.suite import Suite

FOLDER = Path("tunegate-runs")


@dataclass(frozen=True)
class GateRequest:
    """One gate to run: a suite, a plan, a seed, whoever answers, and where the record goes (None: chosen by key)."""

    suite: Suite
    plan: GatePlan
    seed: int
    model: Model
    folder: str | None = None

    @cached_property
    def key(self) -> str:
        """Names this very gate: suite, plan, seed, the weights or stored answers, and the number type."""
        subject = self.model.sha256 or _answers_key(self.model)
        facts = [self.suite.sha256, asdict(self.plan), self.seed, subject, self.model.dtype]
        facts += [dict(request)] if (request := request_of(self.model)) else []
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class GateRunResult:
    """A decided gate, its confirming draw if its plan called for one, and the folder of the record.

    `earlier` are the verdicts of the same gate, in the same words to the same server, that was run to its end before.
    """

    record: GateRecord
    folder: Path
    confirm: GateRecord | None = None
    earlier: Sequence[str] = ()

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
    suite, name = request.suite, request.suite.name
    with RunLog.open(folder) as log:
        run = read_run(folder)
        if run.start and run.start.get("key") != request.key:
            raise ConfigError(
                f"{folder}: holds another gate (suite, plan, seed, model or dtype differ); choose another"
            )
        if not run.start:
            log.append(
                {
                    "event": "run_started",
                    "name": name,
                    "key": request.key,
                    "model": request.model.name,
                    "model_sha256": request.model.sha256,
                    **({"request": dict(fields)} if (fields := request_of(request.model)) else {}),
                    "seed": request.seed,
                    **({"earlier": earlier} if earlier else {}),
                    "suites": {
                        name: {
                            "sha256": suite.sha256,
                            "path": suite.path,
                            "cases": len(suite.cases),
                            "settings": asdict(suite.settings),
                        }
                    },
                    "versions": dict(versions),
                }
            )
        verdict = _draw(request, run, GatePlace(name), log, progress)
        if verdict is Verdict.PASS and request.plan.confirmation(attempt=1):
            _draw(request, run, GatePlace(name, purpose="confirm"), log, progress)
        run = read_run(folder)
        if run.digest != log.last_sha256:  # the file was replaced while the log wrote to the one it had opened
            raise Tampered(f"{folder}: the record on disk is not the one that was written")
    return _result(run, name)


def read_result(folder: Path, name: str) -> GateRunResult:
    """The result of a gate that was run before."""
    return _result(read_run(folder), name)


def _result(run: RunRecord, name: str) -> GateRunResult:
    confirm, earlier = run.gates.get(GatePlace(name, purpose="confirm").key), run.start.get("earlier", ())
    return GateRunResult(run.gates[name], run.folder, confirm, tuple(earlier))


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
    while True:
        number = len(earlier) + 1
        name = f"{request.suite.name}-{request.key}" + (f"-{number}" if number > 1 else "")
        folder = FOLDER / name
        last = last_event(folder)
        if last is None or not is_decided(last, request.plan) or last["verdict"] == Verdict.INVALID:
            return folder, [] if answers_the_same(request.model) else earlier
        earlier.append(str(last["verdict"]))


def is_decided(last: Event | None, plan: GatePlan) -> bool:
    """Whether a record that ends with this event holds the gate's verdict, its confirming draw included."""
    if last is None or last["event"] != "gate_decided":
        return False
    owes = last["purpose"] == "gate" and last["verdict"] == Verdict.PASS and plan.confirmation(attempt=1)
    return not owes


def _answers_key(model: Model) -> str:
    if not isinstance(model, StoredResponses):
        return model.name
    digest = hashlib.sha256()
    for case_id, response in sorted(model.responses.items()):
        digest.update(json.dumps([case_id, asdict(response)]).encode())
    return digest.hexdigest()
