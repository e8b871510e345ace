"""A run: carry out a pipeline, stage by stage, attempt by attempt, until every gate passed or the budget is spent.

Every step first asks the record whether it was done already, so starting a run and resuming it are the same code: a
killed run loses at most the step under way, and finishes with the same verdicts.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tunegate.cases import Case
from tunegate.checks import Sample, judge
from tunegate.decision import Decision
from tunegate.exceptions import CannotJudge, ConfigError, Inconclusive, Tampered, TunegateError
from tunegate.leakage import describe, find_leaks
from tunegate.models import Model
from tunegate.outcomes import Verdict
from tunegate.pipeline import Pipeline, Stage
from tunegate.record import AttemptRecord, Diagnosis, GateRecord, RunLog, RunRecord, read_run
from tunegate.registry import promote, recheck
from tunegate.retrain import Evidence, Settings, apply, diagnose, first_settings
from tunegate.runner import GatePlace, GateRunner, Progress, ask, no_progress
from tunegate.suites import Suite
from tunegate.training import Trainer, TrainJob
from tunegate.training_data import Example, write_examples

PROBE_ROWS = 32
"""How many training rows a failed attempt is asked again, to tell underfitting from overfitting."""


@dataclass(frozen=True)
class Tools:
    """What a run needs from outside: models by path, their fingerprints, and training. Tests inject fakes."""

    open_model: Callable[[str], Model]
    model_folder: Callable[[str], Path]
    model_sha256: Callable[[str], str | None]
    train: Trainer
    versions: Callable[[], Mapping[str, str]] = dict
    progress: Progress = no_progress
    say: Callable[[str], None] = lambda line: None


@dataclass(frozen=True)
class ModelOnDisk:
    """A model that a stage starts from or ends with."""

    path: str
    sha256: str


class PipelineRun:
    """One pipeline being carried out in one run folder."""

    def __init__(self, pipeline: Pipeline, log: RunLog, tools: Tools) -> None:
        self.pipeline = pipeline
        self.folder = log.folder
        self.log = log
        self.tools = tools

    def execute(self) -> RunRecord:
        """Carry out what is left to do and return the record. An INVALID run that is started again goes on."""
        run = self._open()
        if run.verdict in (None, Verdict.INVALID):
            try:
                verdict, reason = self._stages()
            except TunegateError as error:
                self.log.append({"event": "fault", "reason": str(error)})  # the record says why it stops here
                raise
            if (verdict, reason) != (run.verdict, run.reason):
                self.log.append({"event": "run_decided", "verdict": verdict, "reason": reason})
        if self.pipeline.promote_to and self._record().verdict is Verdict.PASS and not self._record().promotions:
            self._promote(self.pipeline.promote_to)
        return self._record()

    def _record(self) -> RunRecord:
        return read_run(self.folder)

    # --- opening ---

    def _open(self) -> RunRecord:
        pipeline, run = self.pipeline, self._record()
        changed = run.start.get("pipeline_sha256") != pipeline.sha256
        if run.start and "pipeline_sha256" not in run.start:
            raise ConfigError(f"{self.folder}: holds the record of a gate, not of a run; choose another folder")
        if not run.start or (changed and not run.stages):  # nothing was trained: a leak was found, and is mended now
            base_sha256 = self._sha256(pipeline.model)
            self.log.append(
                {
                    "event": "run_started",
                    "name": pipeline.name,
                    "pipeline": str(pipeline.path),
                    "pipeline_sha256": pipeline.sha256,
                    "model": pipeline.model,
                    "model_sha256": base_sha256,
                    "seed": pipeline.seed,
                    "stages": [stage.name for stage in pipeline.stages],
                    "suites": {name: _suite_facts(suite) for name, suite in pipeline.suites.items()},
                    "data": {stage.name: _data_facts(stage) for stage in pipeline.stages},
                    "versions": dict(self.tools.versions()),
                }
            )
            return self._record()
        if changed:
            raise Tampered(
                f"{self.folder}: the pipeline, a suite or its data changed since this run began; "
                "undo the change to resume, or start a new run with --run FOLDER"
            )
        if run.start["model_sha256"] != self._sha256(pipeline.model):
            raise Tampered(f"{self.folder}: the base model {pipeline.model} changed since this run began")
        return run

    def _sha256(self, model: str) -> str:
        sha256 = self.tools.model_sha256(model)
        if sha256 is None:
            raise CannotJudge(f"model {model!r}: a pipeline trains a model on disk, not a server")
        return sha256

    # --- stages ---

    def _stages(self) -> tuple[Verdict, str]:
        leaked = self._leaks()
        if leaked:
            return Verdict.INVALID, leaked
        model = ModelOnDisk(str(self.tools.model_folder(self.pipeline.model)), self._record().start["model_sha256"])
        for stage in self.pipeline.stages:
            try:
                verdict, reason, model = self._stage(stage, model)
            except Inconclusive as error:
                verdict, reason = Verdict.INCONCLUSIVE, str(error)
            recorded = self._record().stages[stage.name]
            if (recorded.verdict, recorded.reason) != (verdict, reason):
                self.log.append({"event": "stage_decided", "stage": stage.name, "verdict": verdict, "reason": reason})
            if verdict is not Verdict.PASS:
                return verdict, f"stage {stage.name}: {reason}"
        return Verdict.PASS, "every gate of every stage passed"

    def _leaks(self) -> str:
        leaks = [
            leak
            for stage in self.pipeline.stages
            for leak in find_leaks(stage.name, stage.data, self.pipeline.suites.values())
        ]
        if not leaks:
            return ""
        facts = [asdict(leak) for leak in leaks]
        if facts != self._record().leaks:
            self.log.append({"event": "leaks_found", "leaks": facts})
        return describe(leaks)

    def _stage(self, stage: Stage, start: ModelOnDisk) -> tuple[Verdict, str, ModelOnDisk]:
        """Train and gate until the gates pass or nothing is left to try."""
        if stage.name not in self._record().stages:
            self.log.append(
                {
                    "event": "stage_started",
                    "stage": stage.name,
                    "method": stage.spec.method,
                    "gates": list(stage.spec.gates),
                }
            )
        settings = first_settings(stage.spec.retrain)
        max_attempts = stage.spec.retrain.max_attempts
        number = 0
        while True:
            number += 1
            verdict, reason, model = self._attempt(stage, number, settings, start)
            if model is not None and verdict is not Verdict.FAIL:
                return verdict, reason, model
            if number == max_attempts:
                return verdict, f"{reason}; {number} of {max_attempts} attempts used", start
            diagnosis = self._diagnosis(stage, number, settings, model)
            if not diagnosis.changes:
                return verdict, f"{reason}; {diagnosis.cause}, but {diagnosis.action}", start
            self.tools.say(f"{stage.name}#{number} missed ({diagnosis.cause}): {diagnosis.action}")
            settings = apply(diagnosis, settings)

    # --- one attempt ---

    def _attempt(
        self, stage: Stage, number: int, settings: Settings, start: ModelOnDisk
    ) -> tuple[Verdict, str, ModelOnDisk | None]:
        """Train once and run every gate; a training that left no model is INVALID, with None for the model."""
        attempt = self._trained(stage, number, settings, start)
        if attempt.error is not None:
            return Verdict.INVALID, f"attempt {number}: the training failed: {attempt.error}", None
        path = self.folder / attempt.model
        if not path.is_dir() or self.tools.model_sha256(str(path)) != attempt.model_sha256:
            raise Tampered(f"{path}: not the weights that attempt {number} of stage {stage.name!r} trained")
        model = ModelOnDisk(str(path), attempt.model_sha256)
        decisions = self._gates(stage, number, model)
        worst = max(decisions.values(), key=lambda decision: _SEVERITY[decision.verdict])
        reasons = [f"{name}: {gate.reason}" for name, gate in decisions.items() if gate.verdict is worst.verdict]
        return worst.verdict, "; ".join(reasons), model

    def _trained(self, stage: Stage, number: int, settings: Settings, start: ModelOnDisk) -> AttemptRecord:
        attempts = self._record().stages[stage.name].attempts
        if number in attempts and _is_settled(attempts[number]):
            return attempts[number]
        at = {"stage": stage.name, "attempt": number}
        seed = derived_seed(self.pipeline.seed, stage.name, number)
        if number not in attempts:
            self.log.append(
                {
                    **at,
                    "event": "attempt_started",
                    "seed": seed,
                    "settings": asdict(settings),
                    "input_sha256": start.sha256,
                }
            )
        folder = self.folder / stage.name / f"attempt-{number}"
        shutil.rmtree(folder, ignore_errors=True)  # what a killed training left behind
        folder.mkdir(parents=True)
        examples = self._examples(stage, settings)
        write_examples(folder / "data.jsonl", examples)
        job = TrainJob(
            method=stage.spec.method,
            model=start.path,
            data=str(folder / "data.jsonl"),
            output=str(folder / "model"),
            seed=seed,
            args={**stage.spec.args, **settings.args()},
            peft=stage.spec.peft,
            save=stage.spec.save,
        )
        self.tools.say(f"{stage.name}#{number}: training on {len(examples)} rows")
        result = self.tools.train(job)
        if result.error is not None:
            self.log.append({**at, "event": "training_failed", "error": result.error, "log": result.log})
        else:
            self.log.append(
                {
                    **at,
                    "event": "trained",
                    "model": str(Path(job.output).relative_to(self.folder)),
                    "model_sha256": self._sha256(job.output),
                    "log": result.log,
                    "summary": result.summary,
                    "seconds": result.seconds,
                }
            )
        return self._record().stages[stage.name].attempts[number]

    def _examples(self, stage: Stage, settings: Settings) -> list[Example]:
        return stage.data.take(settings.rows, derived_seed(self.pipeline.seed, stage.name, "rows"))

    # --- gates ---

    def _gates(self, stage: Stage, number: int, on_disk: ModelOnDisk) -> dict[str, Decision | GateRecord]:
        """Every gate of the stage, also after one failed: a diagnosis needs them all. Judged ones are not run again."""
        decided: dict[str, Decision | GateRecord] = {}
        model: Model | None = None
        for name, suite in self.pipeline.gates(stage).items():
            attempts = self._record().stages[stage.name].attempts
            begun = attempts[number].gates.get(name)
            if begun is not None and begun.decided and begun.verdict is not Verdict.INVALID:
                recheck(begun)
                decided[name] = begun
                continue
            model = model or self._open_model(on_disk)
            decided[name] = GateRunner(self.log.append, self.tools.progress).run(
                GatePlace(name, stage.name, number),
                suite,
                suite.plan,
                model,
                seed=derived_seed(self.pipeline.seed, stage.name, name),
                used=_used(attempts, name, before=number),
                begun=begun,
            )
            self.tools.say(f"{stage.name}#{number} {name}: {decided[name].verdict}, {decided[name].reason}")
        return decided

    def _open_model(self, on_disk: ModelOnDisk) -> Model:
        model = self.tools.open_model(on_disk.path)
        if model.sha256 != on_disk.sha256:  # a verdict is about these bytes or about nothing
            raise Tampered(f"{on_disk.path}: the weights changed while they were being gated")
        return model

    # --- a failed attempt ---

    def _diagnosis(self, stage: Stage, number: int, settings: Settings, on_disk: ModelOnDisk | None) -> Diagnosis:
        attempt = self._record().stages[stage.name].attempts[number]
        if attempt.diagnosis is not None:
            return attempt.diagnosis
        diagnosis = diagnose(self._evidence(stage, attempt, settings, on_disk), settings, stage.spec.retrain)
        self.log.append({"event": "diagnosed", "stage": stage.name, "attempt": number, **asdict(diagnosis)})
        return diagnosis

    def _evidence(
        self, stage: Stage, attempt: AttemptRecord, settings: Settings, on_disk: ModelOnDisk | None
    ) -> Evidence:
        if on_disk is None:
            return Evidence((), 1.0, training_error=attempt.error)
        failed = [gate for gate in attempt.gates.values() if gate.verdict is Verdict.FAIL]
        worst = min(failed, key=lambda gate: gate.passed / gate.drawn)
        suite = self.pipeline.suites[worst.gate]
        passed, asked = self._probe(suite, self._examples(stage, settings)[:PROBE_ROWS], on_disk)
        return Evidence(
            missed_gate=worst.outcomes,
            accept_rate=worst.accept / worst.drawn,
            train_passed=passed,
            train_asked=asked,
            losses=[step["loss"] for step in attempt.log if isinstance(step.get("loss"), int | float)],
        )

    def _probe(self, suite: Suite, examples: list[Example], on_disk: ModelOnDisk) -> tuple[int, int]:
        """Ask the model what it was trained on, judged by the missed gate's checks: (passed, judged)."""
        if any(check.needs_choices for check in suite.checks):
            return 0, 0  # training rows have no choices to choose from
        cases = [Case(f"train-{example.number}", example.prompt, (example.wanted,)) for example in examples]
        model = self._open_model(on_disk)
        responses = ask(suite, model, cases)
        samples = [
            Sample(case, response, model.sha256, model.name) for case, response in zip(cases, responses, strict=True)
        ]
        verdicts = [outcome.verdict for outcome in judge(suite.checks, samples)]
        return verdicts.count(Verdict.PASS), len(verdicts) - verdicts.count(Verdict.INVALID)

    # --- promotion ---

    def _promote(self, alias: str) -> None:
        assert self.pipeline.registry is not None  # a pipeline that promotes names a registry
        promotion = promote(self._record(), alias, self.pipeline.registry, lambda path: self._sha256(str(path)))
        self.log.append(
            {
                "event": "promoted",
                "alias": alias,
                "registry": str(self.pipeline.registry),
                "model_sha256": promotion.sha256,
                "folder": str(promotion.folder),
            }
        )
        self.tools.say(f"promoted to {alias}: {promotion.folder}")


_SEVERITY = {Verdict.PASS: 0, Verdict.INCONCLUSIVE: 1, Verdict.INVALID: 2, Verdict.FAIL: 3}
"""Which gate decides an attempt: a sure FAIL calls for retraining, whatever another gate could not judge."""


def derived_seed(*parts: object) -> int:
    """A seed for one purpose, fixed by the pipeline's seed and the purpose: 31 bits of SHA-256."""
    text = "\x00".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4]) >> 1


def _is_settled(attempt: AttemptRecord) -> bool:
    """Whether a training need not be done again: it left a model, or it failed and the next attempt builds on that."""
    return attempt.trained or (attempt.diagnosis is not None and bool(attempt.diagnosis.changes))


def _used(attempts: Mapping[int, AttemptRecord], gate: str, *, before: int) -> frozenset[str]:
    """The cases that earlier attempts of this stage were asked by this gate."""
    earlier = [attempt for number, attempt in attempts.items() if number < before]
    return frozenset(
        case_id for attempt in earlier if gate in attempt.gates for case_id in attempt.gates[gate].case_ids
    )


def _suite_facts(suite: Suite) -> dict[str, Any]:
    return {
        "sha256": suite.sha256,
        "cases": len(suite.cases),
        "draw": suite.plan.draw,
        "accept": suite.plan.accept,
        "checks": suite.check_names,
        "settings": asdict(suite.settings),
    }


def _data_facts(stage: Stage) -> dict[str, Any]:
    return {"path": str(stage.data.path), "rows": len(stage.data.examples), "sha256": stage.data.sha256}
