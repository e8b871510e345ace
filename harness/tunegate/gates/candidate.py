"""A candidate compared with a baseline, outside a run: both answer the same cases, and the paired rule decides."""

from __future__ import annotations

import gc
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tunegate.exceptions import ConfigError
from tunegate.gates.book import NOT_ASKED_FOR, Book, Draft, NoLedger
from tunegate.gates.draw import Draw, GatePlace, Reference, draw_fresh, open_cases, place_of, same_cases
from tunegate.gates.gate_run import FOLDER, started
from tunegate.gates.runner import GateRunner
from tunegate.gates.stored_answers import check_answered
from tunegate.hashes import canonical_json, sha256_hex
from tunegate.ledger.ledger import Ledger
from tunegate.models.model import Model
from tunegate.progress import Progress
from tunegate.record.recheck import recheck_all
from tunegate.record.record import GateRecord, RunRecord
from tunegate.record.run_log import RunLog
from tunegate.stats.retention import DIFFER, KeptRule, Tier, largest_allowed
from tunegate.stats.sampling import same_share
from tunegate.suites.suite import Suite
from tunegate.verdicts.terms import Purpose, Terms


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two models: how to open it, and what identifies it: the hash of its weights or of its stored answers.
    `identity` is None for a server, which may answer differently the next time. `stored` are its answers, if it has no
    model."""

    name: str
    identity: str | None
    open: Callable[[], Model]
    stored: Model | None = None


@dataclass(frozen=True)
class ComparisonRequest:
    """A candidate and its baseline on `draw` cases of a suite. `max_drop` in percentage points. `folder` is that of the
    record; None: chosen by what is compared. `ledger` is where the draw is written, and what it must not repeat."""

    suite: Suite
    draw: int
    seed: int
    baseline: Side
    candidate: Side
    max_drop: float = 5.0
    tier: Tier = "supporting"
    folder: str | None = None
    ledger: Ledger | NoLedger = NOT_ASKED_FOR

    def terms(self, purpose: Purpose) -> Terms:
        """The terms of one of the two draws; the accept number decides nothing."""
        differ = min(1.0, max(DIFFER, self.max_drop / 50.0))
        kept = KeptRule(largest_allowed(self.draw, self.max_drop), differ, attempts=1, tier=self.tier)
        plan = same_share(self.suite.plan.first, self.draw)
        return Terms(plan, purpose, max_drop=self.max_drop, kept=kept, **self.suite.answering)

    @cached_property
    def key(self) -> str:
        """Identifies the comparison: suite, terms, seed and both models."""
        sides = [[side.identity or side.name] for side in (self.baseline, self.candidate)]
        facts = [self.suite.sha256, self.terms("retention").to_json(), self.seed, *sides]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class ComparisonResult:
    """The two decided draws, and the record that holds them."""

    baseline: GateRecord
    candidate: GateRecord
    run: RunRecord


def compare_with_baseline(
    request: ComparisonRequest, progress: Progress, versions: Mapping[str, str]
) -> ComparisonResult:
    """Ask the baseline, then the candidate, and decide; one model is loaded at a time. An interrupted comparison is
    resumed. Raises ConfigError for a folder with another one, or with the finished one of a server."""
    suite = request.suite
    reference, place = GatePlace(suite.name, purpose="reference"), GatePlace(suite.name, purpose="retention")
    folder = Path(request.folder) if request.folder else FOLDER / f"{suite.name}-against-{request.key}"
    with RunLog.open(folder) as log:
        _check_folder(log.record, request, place)
        if not log.record.gates:  # before the record begins: mended answers may use the same folder
            _Drawing(request, reference, log.record).choose()
        if not log.record.start:
            tested = request.candidate
            log.append(started(suite, request.key, tested.name, tested.identity, request.seed, versions))
        with log.faults_on_record():
            runner = GateRunner(log, progress)
            if not _settled(log.record, reference):
                drawn = _Drawing(request, reference, log.record).register()
                _ask(runner, log.record, request, reference, request.baseline, drawn)
            before = log.record.gates[reference.key]
            if not _settled(log.record, place):
                drawn = same_cases(suite, before)
                held = Reference(place_of(before), before.outcomes)
                _ask(runner, log.record, request, place, request.candidate, drawn, held)
        recheck_all(log.record)
        return ComparisonResult(log.record.gates[reference.key], log.record.gates[place.key], log.record)


@dataclass(frozen=True)
class _Drawing:
    """Draws cases that no gate asked before: a candidate may have been trained until it is not worse on those."""

    request: ComparisonRequest
    place: GatePlace
    run: RunRecord

    def choose(self) -> Draw:
        """The draw, written nowhere. Raises ConfigError for stored answers that lack a case that may be drawn."""
        return self._book.chosen(self._draft, self._book.history(), self._fresh)

    def register(self) -> Draw:
        return self._book.register(self._draft, self._fresh)

    @property
    def _book(self) -> Book:
        return Book(self.run.start.get("id") or self.request.key, self.request.ledger)

    @property
    def _draft(self) -> Draft:
        request, sides = self.request, (self.request.baseline.identity, self.request.candidate.identity)
        both = None if None in sides else sha256_hex(canonical_json(sides))
        name = f"{request.candidate.name} against {request.baseline.name}"
        return Draft(self.place, request.suite, request.terms("reference").plan, request.seed, name, both)

    def _fresh(self, used: frozenset[str]) -> Draw:
        request, suite = self.request, self.request.suite
        reuse = suite.rule.reuse or (suite.retention is not None and suite.retention.reuse)
        for side in (request.baseline, request.candidate):
            check_answered(side.stored, suite, open_cases(self.place, suite, used, reuse))
        return draw_fresh(self.place, suite, request.draw, request.seed, used, reuse)


def _check_folder(run: RunRecord, request: ComparisonRequest, place: GatePlace) -> None:
    if run.start and run.start.get("key") != request.key:
        raise ConfigError(
            f"{run.folder}: the folder holds another gate (its suite, draw, seed, models or terms differ); choose "
            "another folder"
        )
    servers = [side.name for side in (request.baseline, request.candidate) if side.identity is None]
    if servers and _settled(run, place):
        raise ConfigError(
            f"{run.folder}: the folder holds a finished comparison of {servers[0]}, which has no fingerprint of its "
            "weights; choose another folder with --run to ask it again"
        )


def _settled(run: RunRecord, place: GatePlace) -> bool:
    return place.key in run.gates and run.gates[place.key].settled


def _ask(
    runner: GateRunner,
    run: RunRecord,
    request: ComparisonRequest,
    place: GatePlace,
    side: Side,
    drawn: Draw,
    before: Reference | None = None,
) -> None:
    """Run one draw to its end; the model is freed when this returns."""
    model, begun = side.open(), run.gates.get(place.key)
    if begun is not None and begun.model_sha256 != model.sha256:
        raise ConfigError(f"{side.name}: the weights changed since the comparison began; choose another folder")
    runner.run(place, request.suite, request.terms(place.purpose), model, drawn, begun=begun, before=before)
    del model
    gc.collect()  # a model may be part of a circle of references
