"""A run: carries out a pipeline, stage by stage, and promotes the model that passed every gate.

Every step first checks whether the record contains its result, so starting and resuming a run are the same code: a
killed run loses at most the current step, and ends with the same verdicts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from tunegate.checks.outcome import Verdict
from tunegate.data.training_data import TrainingData
from tunegate.exceptions import ConfigError, Tampered
from tunegate.gates.ask_again import asker
from tunegate.gates.book import Book, Draft, NoLedger
from tunegate.gates.draw import GatePlace
from tunegate.leaks.leakage import Leak, describe, facts
from tunegate.ledger.ledger import Ledger
from tunegate.pipeline.leak_guard import drop_leaks, dropped_and_refused, in_words, leaks_of
from tunegate.pipeline.pipeline import Pipeline, Stage
from tunegate.pipeline.record_check import check_record
from tunegate.pipeline.registration import registered
from tunegate.pipeline.told import luck_of, passed_in_words
from tunegate.promotion.aliases import state_of
from tunegate.promotion.evidence import Fingerprint, check_gates
from tunegate.promotion.keys import PrivateKey
from tunegate.promotion.registry import Ask, Promotion, check_promoted, promote, verify
from tunegate.record.awaiting import awaiting
from tunegate.record.record import RunRecord
from tunegate.record.run_events import LeaksDropped, LeaksFound, Promoted, RunDecided, RunStarted
from tunegate.record.run_log import RunLog
from tunegate.record.stage_events import StageDecided
from tunegate.training.stage_card import stage_card
from tunegate.training.stage_run import StageRun
from tunegate.training.tools import ModelOnDisk, Tools


class PipelineRun:
    """Carries out one pipeline in one run folder."""

    def __init__(self, pipeline: Pipeline, log: RunLog, tools: Tools) -> None:
        self.pipeline: Pipeline = pipeline
        self.folder = log.folder
        self.log = log
        self.tools = tools

    def execute(self) -> RunRecord:
        """Carry out the remaining steps and return the record. An INVALID run continues when it is started again; so
        does a failed run with waivers.

        The returned promotions are those on record that are still valid.
        """
        begun = self._record()
        if begun.start and "pipeline_sha256" not in begun.start:
            raise ConfigError(f"{self.folder}: has the record of a gate, not of a run; choose another folder")
        with self.log.faults_on_record():
            run = self._open(begun)
            if self._is_open(run):
                self.tools.prepare_training()
                verdict, reason = self._stages()
                if (verdict, reason) != (run.verdict, run.reason):
                    self.log.append(RunDecided(verdict=verdict, reason=reason))
            if self._record().verdict is Verdict.PASS:
                check_gates(self._record())  # do not trust the recorded verdicts here either
            if self.pipeline.promote_to and self._record().verdict is Verdict.PASS:
                self._promote(self.pipeline.promote_to)
            run = self._record()
            return replace(run, promotions=tuple(self._standing(run)))

    def _is_open(self, run: RunRecord) -> bool:
        """Whether there is something left to do: no verdict, labels that may be there now, or a miss to waive."""
        match run.verdict:
            case Verdict.PASS:
                return False
            case Verdict.FAIL:
                return bool(self.pipeline.waivers)
            case Verdict.INCONCLUSIVE:
                return bool(awaiting(run))
            case Verdict.INVALID | None:
                return True

    def _record(self) -> RunRecord:
        return self.log.record

    # --- opening ---

    def _open(self, run: RunRecord) -> RunRecord:
        pipeline = self.pipeline
        changed = run.start.get("pipeline_sha256") != pipeline.sha256
        if not run.start or (changed and not run.stages):  # nothing was trained yet: the user removed a leak
            base_sha256 = self.tools.fingerprint(pipeline.model)
            check_promoted(pipeline.model, base_sha256)
            book = Book(run.start.get("id") or uuid4().hex, self.tools.ledger, base_sha256)
            before = attempts_before(pipeline, book)
            self.pipeline = replace(pipeline, attempts_before=before)
            self.log.append(self._started(book.run, base_sha256))
            return self._record()
        if changed:
            raise self._files_changed()
        if run.start["model_sha256"] != self.tools.fingerprint(pipeline.model):
            raise Tampered(
                f"{self.folder}: the base model {pipeline.model} changed since this run began; "
                "restore it, or use a new --run"
            )
        before: Mapping[str, int] | None = run.start.get("attempts_before")
        self.pipeline = replace(pipeline, attempts_before=before or {})
        return run

    @property
    def _book(self) -> Book:
        """The ledger as this run writes it; older records have no id."""
        start = self._record().start
        return Book(start.get("id") or start["line_sha256"], self.tools.ledger, start["model_sha256"])

    def _started(self, run_id: str, base_sha256: str) -> RunStarted:
        """Everything that is registered before the first training."""
        pipeline = self.pipeline
        return RunStarted(
            id=run_id,
            pipeline=str(pipeline.path.resolve()),
            model_sha256=base_sha256,
            data={stage.name: self._data_facts(stage) for stage in pipeline.stages},
            versions=dict(self.tools.versions()),
            **registered(pipeline),
        )

    def _check_files(self) -> None:
        """Compare the files with those read at the start, which decided: people will read the present files."""
        now = self.tools.pipeline_sha256
        if now is not None and now() != self.pipeline.sha256:
            raise self._files_changed()

    def _files_changed(self) -> Tampered:
        return Tampered(
            f"{self.folder}: the pipeline, a suite or its data changed since this run began; "
            "undo the change to resume, or start a new run with --run FOLDER"
        )

    def _data_facts(self, stage: Stage) -> dict[str, Any]:
        card = stage_card(self.pipeline, stage, self.tools).to_json()
        replay = {} if stage.replay is None else {"replay": _facts_of(stage.replay)}
        return {**_facts_of(stage.data), **replay, "card": card}

    # --- stages ---

    def _stages(self) -> tuple[Verdict, str]:
        leaked = self._leaks()
        if leaked:
            return Verdict.INVALID, leaked
        model = ModelOnDisk(str(self.tools.model_folder(self.pipeline.model)), self._record().start["model_sha256"])
        for stage in self.pipeline.stages:
            stage_run = StageRun(self.pipeline, stage, model, self.log, self._book, self.tools)
            verdict, reason, ended = stage_run.execute()
            model = ended if stage.role == "step" else model
            recorded = self._record().stages[stage.name]
            if (recorded.verdict, recorded.reason) != (verdict, reason):
                luck = luck_of(stage, self.pipeline, self._record()) if verdict is Verdict.PASS else {}
                self.log.append(StageDecided(stage=stage.name, verdict=verdict, reason=reason, luck=luck))
            if verdict is not Verdict.PASS:
                return verdict, f"stage {stage.name}: {reason}"
        self._check_files()
        return Verdict.PASS, passed_in_words(self._record())

    def _leaks(self) -> str:
        base = self.tools.model_folder(self.pipeline.model)
        leaks = leaks_of(self.pipeline, self.tools.embed, self.tools.progress, base, self.tools.in_order)
        if not leaks:
            return ""
        dropped, refused = dropped_and_refused(self.pipeline, leaks)
        if dropped:
            self._drop(dropped)
        if not refused:
            return ""
        found = tuple(facts(refused))
        if found != self._record().leaks:
            self.log.append(LeaksFound(leaks=found))
        return describe(refused)

    def _drop(self, leaks: Sequence[Leak]) -> None:
        self.pipeline, left_out = drop_leaks(self.pipeline, leaks)
        dropped = tuple(left_out)
        if dropped != self._record().dropped:
            self.log.append(LeaksDropped(stages=dropped))
            self.tools.say(in_words(left_out))

    # --- promotion ---

    def _promote(self, alias: str) -> None:
        """Promote, unless the promotion is already valid, or the alias was moved to another model since."""
        run, registry = self._record(), self.pipeline.registry
        assert registry is not None  # a pipeline with `promote` has a registry
        done = [event["model_sha256"] for event in run.promotions if event["alias"] == alias]
        match state_of(alias, done[-1], registry) if done else "gone":
            case "there":
                verify(str(registry / "models" / done[-1]), registry, self._fingerprint)
            case "replaced":
                self.tools.say(
                    f"not promoted: {alias} in {registry} now points to another model; "
                    f"to point it to this model: tunegate promote {self.folder} --to {alias}"
                )
            case "gone":
                self._check_files()
                ask = asker(
                    self.pipeline.suites, lambda folder, _: self.tools.open_model(str(folder)), self.tools.progress
                )
                ledger = None if isinstance(self.tools.ledger, NoLedger) else self.tools.ledger
                promotion = promote_and_record(
                    run, self.pipeline, self.log, alias, registry, self._fingerprint, ask, ledger=ledger
                )
                if promotion.asked is not None:
                    self.tools.say(promotion.asked.in_words)
                again = " again, because it was gone from the registry" if done else ""
                self.tools.say(f"promoted to {alias}{again}: {promotion.folder}")

    def _standing(self, run: RunRecord) -> list[Mapping[str, Any]]:
        """The promotions on record that are still in their registry, the last one of each alias."""

        def registry(event: Mapping[str, Any]) -> Path:
            own = event["alias"] == self.pipeline.promote_to and self.pipeline.registry
            return own or Path(event["registry"])  # the project folder may have moved

        last = {(registry(event), event["alias"]): event for event in run.promotions}
        return [
            event for (place, alias), event in last.items() if state_of(alias, event["model_sha256"], place) == "there"
        ]

    def _fingerprint(self, model: Path) -> str:
        return self.tools.fingerprint(str(model))


def promote_and_record(
    run: RunRecord,
    pipeline: Pipeline,
    log: RunLog,
    alias: str,
    registry: Path,
    fingerprint: Fingerprint,
    ask: Ask,
    *,
    signer: PrivateKey | None = None,
    why: str = "",
    n_ask: int = 0,
    ledger: Ledger | None = None,
) -> Promotion:
    """Promote the model of a run, signed if there is a `signer`, and record the promotion, once.

    The record must follow from the pipeline. `ask` asks the weights `n_ask` recorded cases again, or as many as the
    registry's policy wants."""
    check_record(run, pipeline, ledger)
    promotion = promote(run, alias, registry, fingerprint, signer=signer, why=why, ask=ask, n_ask=n_ask)
    event = Promoted(
        alias=alias,
        registry=str(registry.resolve()),
        model_sha256=promotion.sha256,
        folder=str(promotion.folder),
    )
    same = event.alias, event.registry, event.model_sha256
    recorded = same in [(old["alias"], old["registry"], old["model_sha256"]) for old in run.promotions]
    if not (promotion.already and recorded):
        log.append(event)
    return promotion


def _facts_of(data: TrainingData) -> dict[str, Any]:
    return {"path": str(data.path), "rows": len(data.examples), "sha256": data.sha256}


def attempts_before(pipeline: Pipeline, book: Book) -> dict[str, int]:
    """The attempts that other runs from the same base made on the bank of each suite."""
    history = book.history()
    drafts = {
        name: Draft(GatePlace(name, "", 0), suite, suite.plan.first, pipeline.seed, "", None)
        for name, suite in pipeline.suites.items()
    }
    return {name: book.attempts_before(draft, history) for name, draft in drafts.items()}
