"""Collects the evidence of a failed attempt in a run, diagnoses it once, and records the diagnosis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from tunegate.cases.case import Case
from tunegate.checks.check import judge
from tunegate.checks.outcome import Verdict
from tunegate.data.training_data import Example
from tunegate.gates.ask import ask_samples
from tunegate.pipeline.ladders import Settings
from tunegate.pipeline.pipeline import Pipeline, Stage
from tunegate.pipeline.registration import good_rates
from tunegate.record.noise import asks_fresh_cases, missed_gates, noise_of
from tunegate.record.record import AttemptRecord, Diagnosis, GateRecord
from tunegate.record.run_log import RunLog
from tunegate.record.stage_events import Diagnosed
from tunegate.seeds import derived_seed
from tunegate.suites.suite import Suite
from tunegate.training.diagnosis import Evidence, diagnose, with_no_attempt_left
from tunegate.training.job import rows_of
from tunegate.training.pairs import can_compare_again
from tunegate.training.search import choose, settings_ahead, settings_from, trials_of
from tunegate.training.stage_gates import OpenModel
from tunegate.verdicts.limit_words import words_of
from tunegate.verdicts.terms import PAIRED, conclude

PROBE_ROWS = 32
"""How many training rows a failed model is asked, to distinguish underfitting from overfitting."""


@dataclass(frozen=True)
class StageDiagnosis:
    """The diagnoses of one stage's attempts."""

    pipeline: Pipeline
    stage: Stage
    log: RunLog

    def of(self, number: int, settings: Settings, open_model: OpenModel | None) -> Diagnosis:
        """The diagnosis of an attempt with these settings; `open_model` is None for a training without a model."""
        attempts = self._attempts()
        attempt = attempts[number]
        if attempt.diagnosis is not None:
            return attempt.diagnosis
        spec = self.stage.retrain
        diagnosis = diagnose(self._evidence(attempt, settings, open_model), settings, spec)
        if spec.search == "optuna" and not diagnosis.redraw:
            so_far = [one for before, one in attempts.items() if before <= number]
            diagnosis = choose(diagnosis, trials_of(so_far), spec, self._search_seed(number))
        if number == spec.max_attempts:
            diagnosis = with_no_attempt_left(diagnosis)
        self.log.append(
            Diagnosed(
                stage=self.stage.name,
                attempt=number,
                cause=diagnosis.cause,
                evidence=diagnosis.evidence,
                action=diagnosis.action,
                changes=diagnosis.changes,
                spent=diagnosis.spent,
                redraw=diagnosis.redraw,
                noise=diagnosis.noise,
            )
        )
        return diagnosis

    def settings_ahead(self, number: int) -> list[Settings]:
        """The settings of the attempts after this one, as far as they do not depend on any outcome."""
        tried = [settings_from(one.settings) for before, one in self._attempts().items() if before <= number]
        return settings_ahead(self.stage.retrain, tried, self._search_seed)

    def _search_seed(self, number: int) -> int:
        """The seed of the choice that follows an attempt."""
        return derived_seed(self.pipeline.seed, self.stage.name, number, "search")

    def _attempts(self) -> Mapping[int, AttemptRecord]:
        return self.log.record.stages[self.stage.name].attempts

    def _evidence(self, attempt: AttemptRecord, settings: Settings, open_model: OpenModel | None) -> Evidence:
        if open_model is None:
            return Evidence((), 1.0, training_error=attempt.error, training_failure=attempt.failure)
        failed = missed_gates(attempt)
        training = attempt if attempt.redraw_of is None else self._attempts()[attempt.redraw_of]
        same_weights = [training] if training is attempt else [training, attempt]
        noise = noise_of(same_weights, good_rates(self.pipeline, self.stage))
        may_redraw = training is attempt and self._can_redraw(attempt)
        missed = [gate for gate in failed if gate.purpose not in PAIRED and not _only_over_limits(gate)]
        if not missed:
            over = [f"{gate.key}: {line}" for gate in failed if gate.purpose not in PAIRED for line in _over(gate)]
            forgotten = [f"{gate.key}: {gate.reason}" for gate in failed if gate.purpose in PAIRED]
            return Evidence((), 1.0, forgotten=forgotten, over_limits=over, noise=noise, may_redraw=may_redraw)
        worst = min(missed, key=lambda gate: gate.passed / max(gate.asked, 1))
        trained = rows_of(self.pipeline, self.stage, settings).examples
        probe = _probe(self.pipeline.suites[worst.gate], trained[:PROBE_ROWS], open_model)
        return Evidence(
            missed_gate=worst.outcomes,
            accept_rate=worst.accept / worst.drawn,
            train_passed=probe.passed,
            train_asked=probe.judged,
            train_cut=probe.cut,
            train_fault=probe.fault,
            losses=[step["loss"] for step in training.log if isinstance(step.get("loss"), int | float)],
            trained=trained,
            all_rows=self.stage.data.examples,
            rows_dropped=training.summary.get("rows_dropped", 0),
            noise=noise,
            may_redraw=may_redraw,
        )

    def _can_redraw(self, attempt: AttemptRecord) -> bool:
        """Whether a redraw would ask nothing again: the same weights would give the same answers."""
        if any(gate.plan.reuse for gate in self.pipeline.gates(self.stage).values()):
            return False
        fresh = can_compare_again(self.pipeline, self.log.record, self.stage, attempt.number)
        return fresh and asks_fresh_cases(attempt)


def _only_over_limits(gate: GateRecord) -> bool:
    """Whether its answers passed, and only the limits on serving were missed."""
    if not gate.limit_results:
        return False
    return conclude(replace(gate.registered, limits=None), gate.outcomes).verdict is Verdict.PASS


def _over(gate: GateRecord) -> list[str]:
    return [words_of(result) for result in gate.limit_results if result.verdict is Verdict.FAIL]


@dataclass(frozen=True, slots=True)
class _Probe:
    """The result on training prompts: how many passed, were judged, and were cut at the token limit; why not more."""

    passed: int = 0
    judged: int = 0
    cut: int = 0
    fault: str = ""


def _probe(suite: Suite, examples: list[Example], open_model: OpenModel) -> _Probe:
    """Ask the model its training prompts, and judge the answers by the missed gate's checks."""
    if any(check.needs_choices for check in suite.checks):
        return _Probe()  # training rows have no choices
    cases = [
        Case(f"train-{example.number}", example.prompt, (example.wanted,))
        for example in examples
        if example.prompt is not None and example.wanted is not None
    ]
    if not cases:
        return _Probe()  # plain text has no prompts
    outcomes = list(judge(suite.checks, ask_samples(suite, open_model(), cases), suite.answer))
    judged = [outcome for outcome in outcomes if outcome.verdict is not Verdict.INVALID]
    unjudged = [outcome.reason for outcome in outcomes if outcome.verdict is Verdict.INVALID]
    return _Probe(
        passed=sum(outcome.verdict is Verdict.PASS for outcome in judged),
        judged=len(judged),
        cut=sum(outcome.finish_reason == "length" for outcome in judged),
        fault=f"{len(unjudged)} of {len(outcomes)} not judged: {unjudged[0]}" if unjudged else "",
    )
