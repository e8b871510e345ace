"""Carries out a stage: train, gate, diagnose, retrain, until every gate passes or the budget is used up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

from tunegate.checks.outcome import Verdict
from tunegate.data.curriculum import in_order
from tunegate.data.methods import method_of
from tunegate.data.training_data import Example, write_examples, written_sha256
from tunegate.exceptions import ConfigError, Inconclusive, Tampered
from tunegate.gates.book import Book
from tunegate.models.model import Model
from tunegate.models.shared_answers import SharedAnswers
from tunegate.pipeline.draws import attempt_seed
from tunegate.pipeline.ladders import Settings, apply, first_settings
from tunegate.pipeline.launching import config_sha256
from tunegate.pipeline.leak_guard import told_by_model
from tunegate.pipeline.own_answers_check import settings_of
from tunegate.pipeline.pipeline import Pipeline, Stage
from tunegate.record.awaiting import awaiting
from tunegate.record.record import AttemptRecord, GateRecord
from tunegate.record.run_log import RunLog
from tunegate.record.stage_events import (
    AttemptStarted,
    OwnAnswersJudged,
    RowsWritten,
    StageStarted,
    Trained,
    TrainingFailed,
)
from tunegate.training import row_numbers
from tunegate.training.attempt_folder import identity_of, prepare, remove_untrained
from tunegate.training.inspection import inspect_misses
from tunegate.training.job import job_of, rows_of, scorer_of
from tunegate.training.own_answers import RowsToTrain, ask_rows, by_row, is_raw, judged_before, preference_rows
from tunegate.training.side_by_side import Begun
from tunegate.training.stage_diagnosis import StageDiagnosis
from tunegate.training.stage_gates import StageGates
from tunegate.training.tools import ModelOnDisk, ModelUnderTest, Tools
from tunegate.training.trainer import TrainJob, TrainResult, check_data, checkpoints_of


class StageRun:
    """One stage of a pipeline, with the model from which it starts."""

    def __init__(
        self, pipeline: Pipeline, stage: Stage, start: ModelOnDisk, log: RunLog, book: Book, tools: Tools
    ) -> None:
        self.pipeline = pipeline
        self.stage = stage
        self.start = start
        self.folder = log.folder
        self.log = log
        self.tools = tools
        self.gates = StageGates(pipeline, stage, log, book, tools.progress, tools.say, tools.today, self._open_model)
        self.diagnoses = StageDiagnosis(pipeline, stage, log)
        self.begun = Begun()
        self.side_by_side = tools.side_by_side

    def execute(self) -> tuple[Verdict, str, ModelOnDisk]:
        """Train and gate until the gates pass, there is nothing left to try, or too few cases are left."""
        try:
            verdict, reason, model = self._execute()
        except Inconclusive as error:
            verdict, reason, model = Verdict.INCONCLUSIVE, str(error), self.start
        finally:
            ahead = self.begun.stop()
        waits = verdict is Verdict.INCONCLUSIVE and awaiting(self.log.record)
        if verdict is not Verdict.INVALID and not waits:  # otherwise the same command goes on
            for number in ahead:
                self.tools.say(f"{self.stage.name}#{number}: its training was begun ahead, and is not needed: removed")
            remove_untrained(self.folder / self.stage.name, self._attempts())
        return verdict, reason, model

    def _execute(self) -> tuple[Verdict, str, ModelOnDisk]:
        if self.stage.name not in self.log.record.stages:
            gates = tuple(self.pipeline.gates(self.stage))
            self.log.append(StageStarted(stage=self.stage.name, method=self.stage.spec.method, gates=gates))
        settings = first_settings(self.stage.retrain)
        max_attempts = self.stage.retrain.max_attempts
        number = 0
        while True:
            number += 1
            verdict, reason, model = self._attempt(number, settings)
            if model is not None and verdict is not Verdict.FAIL:
                return verdict, reason, model
            used = f"{reason}; {number} of {max_attempts} attempts used"
            if number == max_attempts and verdict is not Verdict.FAIL:
                return verdict, used, self.start  # the training failed: the same command tries again
            open_model = None if model is None else partial(self._open_model, model)
            diagnosis = self.diagnoses.of(number, settings, open_model)
            if number == max_attempts:
                return verdict, f"{used}; {diagnosis.cause}: {diagnosis.action}", self.start
            if not diagnosis.changes and not diagnosis.redraw:
                return verdict, f"{reason}; {diagnosis.cause}, but {diagnosis.action}", self.start
            self.tools.say(f"{self.stage.name}#{number} missed ({diagnosis.cause}): {diagnosis.action}")
            for told in () if diagnosis.noise is None else diagnosis.noise.in_words:
                self.tools.say(f"{self.stage.name}#{number}: {told}")
            settings = apply(diagnosis, settings)

    # --- one attempt ---

    def _attempt(self, number: int, settings: Settings) -> tuple[Verdict, str, ModelOnDisk | None]:
        """Train once and run every gate; a training without a model is INVALID, with None for the model."""
        attempt = self._trained(number, settings)
        if attempt.error is not None:
            return Verdict.INVALID, f"attempt {number}: the training failed: {attempt.error}", None
        path = self.folder / attempt.model
        if not path.is_dir() or self.tools.model_sha256(str(path)) != attempt.model_sha256:
            raise Tampered(f"{path}: not the weights of attempt {number} of stage {self.stage.name!r}")
        model = ModelOnDisk(str(path), attempt.model_sha256)
        decisions = self._gates(number, model)
        if not decisions:
            return Verdict.PASS, "every missed gate is waived", model
        worst = max(decisions.values(), key=lambda decision: _SEVERITY[decision.verdict])
        reasons = [f"{name}: {gate.reason}" for name, gate in decisions.items() if gate.verdict is worst.verdict]
        return worst.verdict, "; ".join(reasons), model

    def _trained(self, number: int, settings: Settings) -> AttemptRecord:
        attempts = self._attempts()
        if number in attempts and _is_settled(attempts[number]):
            return attempts[number]
        before = attempts.get(number - 1)
        if before is not None and before.diagnosis is not None and before.diagnosis.redraw:
            return self._redrawn(number, before)
        stage = self.stage.name
        seed = attempt_seed(self.pipeline, self.stage.name, number)
        if number not in attempts:
            reward = scorer.model_sha256 if (scorer := self._scorer()) else None
            self.log.append(
                AttemptStarted(
                    stage=stage,
                    attempt=number,
                    seed=seed,
                    settings=asdict(settings),
                    input_sha256=self.start.sha256,
                    reward_sha256=reward,
                )
            )
        self.gates.check_supply(number)
        self.gates.check_pairs(number)
        rows = rows_of(self.pipeline, self.stage, settings)
        to_train = self._rows_to_train(number, rows.examples)
        if to_train.fault is not None:
            self.log.append(TrainingFailed(stage=stage, attempt=number, error=to_train.fault, failure="too few misses"))
            return self._attempts()[number]
        examples = in_order(to_train.examples, self.stage.spec.curriculum)
        rows_sha256 = written_sha256(examples)
        job = self._job(number, settings, rows_sha256)
        is_begun = self.begun.is_the_same(number, identity_of(job, examples, self._inputs()))
        was_stopped = any(checkpoints_of(job).glob("checkpoint-*")) and not is_begun
        goes_on = not is_begun and self._prepare(job, examples)
        if was_stopped and not goes_on:
            self.tools.say(
                f"{self.stage.name}#{number}: the checkpoint here is of another training (other rows, settings, "
                "weights or versions): removed it, and training from the start"
            )
        again = bool(self._attempts()[number].data_sha256) and self._attempts()[number].error is None
        if self._attempts()[number].data_sha256 != rows_sha256:
            self.log.append(RowsWritten(stage=stage, attempt=number, rows=len(examples), data_sha256=rows_sha256))
        self._check_start()
        method = method_of(self.stage.spec.method)
        what = "resuming the training from its checkpoint, on" if goes_on else method.use_of_rows
        if again and not method.resumes:
            what = "the training was stopped, and begins again, on"
        notes = [*(["begun ahead"] if is_begun else []), *rows.notes]
        self.tools.say("; ".join([f"{self.stage.name}#{number}: {what} {len(to_train.examples)} rows", *notes]))
        result = self._result(number, settings, job, examples)
        self._check_start()  # files replaced during the training may have been trained on
        check_data(job)
        error = result.error or self._what_is_wrong_with(job.output, result.summary.get("output_sha256"))
        if error is not None:
            error = row_numbers.in_error(error, job.data, examples, self.stage)
            self.log.append(
                TrainingFailed(
                    stage=stage,
                    attempt=number,
                    error=error,
                    failure=result.failure,
                    log=result.log,
                    seconds=result.seconds,
                    executor=result.executor,
                )
            )
        else:
            summary = row_numbers.as_in_the_files(result.summary, examples)
            if told := row_numbers.left_out(summary, self.stage):
                self.tools.say(f"{self.stage.name}#{number}: {told}")
            self.log.append(
                Trained(
                    stage=stage,
                    attempt=number,
                    model=str(Path(job.output).relative_to(self.folder)),
                    model_sha256=self.tools.fingerprint(job.output),
                    log=result.log,
                    summary={**summary, "data": rows.to_json(), **to_train.to_json()},
                    seconds=result.seconds,
                    executor=result.executor,
                )
            )
        return self._attempts()[number]

    # --- its training, and those that are begun ahead ---

    def _job(self, number: int, settings: Settings, rows_sha256: str) -> TrainJob:
        seed = attempt_seed(self.pipeline, self.stage.name, number)
        job = job_of(self.pipeline, self.stage, self.start.path, number, seed, settings, self.log.record)
        return replace(job, data_sha256=rows_sha256)

    def _prepare(self, job: TrainJob, examples: Sequence[Example]) -> bool:
        """Make the folder of a job; returns whether it has a checkpoint of the same training."""
        goes_on = prepare(Path(job.output).parent, job, examples, self._inputs())
        if job.eval_data is not None:
            write_examples(Path(job.eval_data), self.stage.evaluation)
        return goes_on

    def _result(self, number: int, settings: Settings, job: TrainJob, examples: Sequence[Example]) -> TrainResult:
        """Wait for the training of an attempt; those of later attempts run beside it, where they can be known."""
        ahead = self._known_ahead(number)
        if ahead and number not in self.begun:
            self._begin(number, job, examples)
        for later, its in enumerate(ahead, number + 1):
            if later not in self.begun:
                rows = in_order(rows_of(self.pipeline, self.stage, its).examples, self.stage.spec.curriculum)
                of_later = self._job(later, its, written_sha256(rows))
                what = (
                    "resuming the training from its checkpoint, on" if self._prepare(of_later, rows) else "training on"
                )
                self.tools.say(f"{self.stage.name}#{later}: {what} {len(rows)} rows, beside attempt {number}")
                self._begin(later, of_later, rows)
        result = self.begun.result(number) if number in self.begun else self.tools.train(job)
        if result is None:
            self.begun.stop()
            self.side_by_side = None
            self.tools.say(f"{self.stage.name}#{number}: killed or out of memory beside others: trained again, alone")
            return self.tools.train(job)
        return result

    def _begin(self, number: int, job: TrainJob, examples: Sequence[Example]) -> None:
        assert self.side_by_side is not None
        self.begun.add(number, identity_of(job, examples, self._inputs()), self.side_by_side.begin(job))

    def _known_ahead(self, number: int) -> list[Settings]:
        """The settings of the next attempts if they and their rows depend on no outcome: one for each free place."""
        spec = self.stage.spec
        is_own = method_of(spec.method).resumes  # the processes of another trainer are not ours to end
        if self.side_by_side is None or spec.launcher is not None or spec.data.own_answers is not None or not is_own:
            return []
        return self.diagnoses.settings_ahead(number)[: max(0, self.side_by_side.places - 1)]

    def _redrawn(self, number: int, before: AttemptRecord) -> AttemptRecord:
        """Begin an attempt that trains nothing: its gates ask the weights of the attempt before fresh cases."""
        self.log.append(
            AttemptStarted(
                stage=self.stage.name,
                attempt=number,
                seed=before.seed,
                settings=before.settings,
                input_sha256=before.input_sha256,
                reward_sha256=scorer.model_sha256 if (scorer := self._scorer()) else None,
                redraw_of=before.number,
            )
        )
        self.gates.check_supply(number)
        self.gates.check_pairs(number)
        return self._attempts()[number]

    def _what_is_wrong_with(self, output: str, checked_sha256: str | None) -> str | None:
        """Why the output of a training is not a model, or differs from what the training checked; None for a model."""
        try:
            sha256 = self.tools.fingerprint(output)
        except ConfigError as error:
            return f"the training left no model: {error}"
        if checked_sha256 not in (None, sha256):
            return f"the model in {output} changed after the training had ended: something still writes there"
        own = method_of(self.stage.spec.method).resumes  # its templates are those of the input, or of the file
        return None if own else told_by_model(Path(output), self.pipeline.suites.values())

    def _check_start(self) -> None:
        if self.tools.fingerprint(self._source) != self.start.sha256:
            raise Tampered(f"{self._source}: the input weights of stage {self.stage.name!r} changed")
        scorer = self._scorer()
        if scorer is not None and self.tools.fingerprint(str(self.folder / scorer.model)) != scorer.model_sha256:
            raise Tampered(f"{self.folder / scorer.model}: the reward model changed after its gates")

    def _inputs(self) -> dict[str, object]:
        """The inputs of a training in addition to its job: if any differs, it is another training."""
        scorer = self._scorer()
        reward = scorer.model_sha256 if scorer is not None else None
        return {
            "model": self.start.sha256,
            "reward": reward,
            "versions": dict(self.tools.versions()),
            "launcher": config_sha256(self.stage.spec.launcher),
        }

    @property
    def _source(self) -> str:
        """The path whose fingerprint was taken: for a GGUF file, not the folder converted from it."""
        first = self.start.sha256 == self.log.record.start.get("model_sha256")
        return self.pipeline.model if first else self.start.path

    def _rows_to_train(self, number: int, rows: Sequence[Example]) -> RowsToTrain:
        """The rows to train on: unchanged, or made from the input model's own answers."""
        spec = self.stage.spec.data.own_answers
        if spec is None:
            return RowsToTrain(list(rows))
        suite = self.pipeline.suites[spec.judged_by]
        known = judged_before(self._attempts().values(), spec.samples)
        new = [row for row in rows if is_raw(row) and row.number not in known]
        if new:
            model = self._open_model(ModelOnDisk(self._source, self.start.sha256))
            label = f"{self.stage.name}#{number} own answers"
            asked = replace(suite, settings=settings_of(spec, suite))
            told = partial(self.tools.progress, label)
            answers = ask_rows(asked, model, new, lambda done, n: told(done, n, "rows"), spec.samples)
            settings = None if asked.settings == suite.settings else asked.settings.facts()
            self.log.append(
                OwnAnswersJudged(
                    stage=self.stage.name,
                    attempt=number,
                    suite_sha256=suite.sha256,
                    answers=tuple(answers),
                    settings=settings,
                )
            )
            known |= by_row(answers)
        return preference_rows(self.stage.spec.method, rows, known, spec.at_least)

    def _scorer(self) -> AttemptRecord | None:
        return scorer_of(self.stage, self.log.record)

    # --- gates ---

    def _gates(self, number: int, on_disk: ModelOnDisk) -> dict[str, GateRecord]:
        def open_model() -> Model:
            model = self._open_model(on_disk)
            return SharedAnswers(model, self.gates.answers_on_record(number, model.dtype))

        model = ModelUnderTest(open_model)  # one model for all gates, none if all are on record
        try:
            decided = self.gates.decide(number, model)
            inspected = ModelUnderTest(partial(self._open_here, on_disk, model)) if self.tools.open_here else model
            inspect_misses(self.pipeline, self.stage.name, number, self.log, inspected, self.tools)
            if model.was_opened:
                self._check_unchanged(on_disk, self.tools.fingerprint(on_disk.path))
            return decided
        finally:
            model.close()

    def _open_model(self, on_disk: ModelOnDisk) -> Model:
        if self.side_by_side is not None and self.begun:
            self.begun.keep(self.side_by_side.places - 1)  # the model needs one
        model = self.tools.open_model(on_disk.path)
        self._check_unchanged(on_disk, model.sha256)
        return model

    def _open_here(self, on_disk: ModelOnDisk, elsewhere: ModelUnderTest) -> Model:
        """The model in this process, where its insides can be seen, in place of the copies on workers."""
        elsewhere.close()
        model = (self.tools.open_here or self.tools.open_model)(on_disk.path)
        self._check_unchanged(on_disk, model.sha256)
        return model

    def _check_unchanged(self, on_disk: ModelOnDisk, sha256: str | None) -> None:
        if sha256 != on_disk.sha256:  # a verdict is only about these bytes
            raise Tampered(f"{on_disk.path}: the weights changed while they were being gated")

    def _attempts(self) -> Mapping[int, AttemptRecord]:
        """The attempts on record."""
        return self.log.record.stages[self.stage.name].attempts


_SEVERITY = {Verdict.PASS: 0, Verdict.INCONCLUSIVE: 1, Verdict.INVALID: 2, Verdict.FAIL: 3}
"""Which gate decides an attempt: a FAIL leads to retraining, even if another gate could not judge."""


def _is_settled(attempt: AttemptRecord) -> bool:
    """Whether a training is final: it left a model, or it failed and there is a next attempt."""
    return attempt.trained or (attempt.diagnosis is not None and bool(attempt.diagnosis.changes))
