"""Diagnosis: the cause follows from the evidence, and the next attempt climbs one declared rung, or none is left."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunegate.checks.outcome import ErrorSpan, Finding, Outcome, Verdict
from tunegate.pipeline.ladders import Settings, apply, first_settings
from tunegate.pipeline.retrain_spec import RetrainSpec
from tunegate.training.diagnosis import Evidence, diagnose, with_no_attempt_left

PASS, FAIL = Verdict.PASS, Verdict.FAIL


def outcomes(passed: int, failed: int, *categories: str) -> list[Outcome]:
    errors = tuple(ErrorSpan(category) for category in categories)
    verdicts = [PASS] * passed + [FAIL] * failed
    return [
        Outcome(str(n), v, "", (Finding("c", v, errors=errors if v is FAIL else ()),), "?", "", tags=(f"t={n % 2}",))
        for n, v in enumerate(verdicts)
    ]


ALL = RetrainSpec(rows=[10, 20, 40], epochs=[1.0, 2.0], learning_rate=[1e-3, 3e-4])


def test_the_first_attempt_takes_the_first_rungs() -> None:
    assert first_settings(ALL) == Settings(10, 1.0, 1e-3)
    assert first_settings(RetrainSpec()) == Settings()
    assert Settings(10, 2.0, 1e-3).args() == {"num_train_epochs": 2.0, "learning_rate": 1e-3}
    assert Settings(rows=10).args() == {}


@pytest.mark.parametrize(
    ("evidence", "cause", "setting"),
    [
        (Evidence(outcomes(20, 80), 0.9, train_passed=8, train_asked=32), "underfit", "rows"),
        (Evidence(outcomes(60, 40), 0.9, train_passed=32, train_asked=32), "overfit", "rows"),
        (Evidence(outcomes(88, 12), 0.9, train_passed=30, train_asked=32), "near miss", "rows"),
        (Evidence(outcomes(20, 80), 0.9), "the gate was missed", "rows"),
        (Evidence((), 1.0, training_error="the loss is nan", training_failure="diverged"), "diverged", "learning_rate"),
        (Evidence((), 1.0, training_error="killed"), "the training failed", "learning_rate"),
    ],
)
def test_causes_and_the_first_remedy(evidence: Evidence, cause: str, setting: str) -> None:
    diagnosis = diagnose(evidence, first_settings(ALL), ALL)
    assert (diagnosis.cause, list(diagnosis.changes)) == (cause, [setting])


def test_an_overfit_model_is_not_trained_for_longer() -> None:
    evidence = Evidence(outcomes(60, 40), 0.9, train_passed=32, train_asked=32)
    diagnosis = diagnose(evidence, Settings(40, 1.0, 1e-3), ALL)
    assert diagnosis.changes == {"learning_rate": (1e-3, 3e-4)}
    spent = diagnose(evidence, Settings(40, 1.0, 3e-4), ALL)
    assert spent.changes == {}
    assert "the declared budget is used up" in spent.action


def test_ladders_are_climbed_rung_by_rung_until_the_budget_is_spent() -> None:
    evidence, settings = Evidence(outcomes(20, 80), 0.9), first_settings(ALL)
    seen = [settings]
    while (diagnosis := diagnose(evidence, settings, ALL)).changes:
        settings = apply(diagnosis, settings)
        seen.append(settings)
    assert [one.rows for one in seen] == [10, 20, 40, 40, 40]
    assert [one.epochs for one in seen] == [1, 1, 1, 2, 2]
    assert [one.learning_rate for one in seen] == [1e-3, 1e-3, 1e-3, 1e-3, 3e-4]
    assert len(set(seen)) == len(seen)  # never a second throw with the same settings


def test_without_ladders_there_is_nothing_to_change() -> None:
    assert diagnose(Evidence(outcomes(20, 80), 0.9), Settings(), RetrainSpec()).changes == {}


def test_with_no_attempt_left_the_change_is_advice() -> None:
    evidence, spec = Evidence(outcomes(20, 80), 0.9, train_passed=8, train_asked=32), RetrainSpec(rows=[10, 20])
    found = diagnose(evidence, first_settings(spec), spec)
    last = with_no_attempt_left(found)
    assert (last.cause, last.evidence, last.changes) == ("underfit", found.evidence, {})
    assert last.action == "no attempt left; raise retrain.max_attempts to try next: train on more rows: rows 10 -> 20"
    spent = with_no_attempt_left(diagnose(evidence, Settings(20), spec))
    assert spent.action == (
        "no attempt left; raise retrain.max_attempts and add a value: "
        "the declared budget is used up (no rung left: rows, epochs, learning_rate); "
        "`auto: true` under `retrain` has default values for epochs, learning_rate"
    )


def test_what_no_retraining_mends_needs_no_attempt() -> None:
    found = diagnose(Evidence((), 1.0, training_error="CUDA", training_failure="out of memory"), Settings(), ALL)
    assert found.action.startswith("retraining cannot fix this; lower args.per_device_train_batch_size")
    assert with_no_attempt_left(found) == found


def test_the_evidence_is_told_in_words() -> None:
    evidence = Evidence(outcomes(50, 50, "repetition", "empty"), 0.9, 16, 32, losses=(2.5, 1.0, 0.125))
    assert diagnose(evidence, Settings(), RetrainSpec()).evidence == [
        "gate: 50 of 100, 90% needed",
        "training data: 16 of 32 answered correctly",
        "training loss: 2.5 at the first logged step, 0.125 at the last",
        "error categories: empty 50, repetition 50",
        "missed by tag: t=0 25 of 50, t=1 25 of 50",
        "repetition: 50 of 50 misses loop",
    ]


ladders = st.lists(st.integers(1, 1000), min_size=1, max_size=5, unique=True).map(sorted)


@given(rows=ladders, passed=st.integers(0, 89), train=st.integers(0, 32))
def test_any_evidence_ends_within_the_declared_budget(rows: list[int], passed: int, train: int) -> None:
    spec = RetrainSpec(rows=rows)
    evidence, settings = Evidence(outcomes(passed, 100 - passed), 0.9, train, 32), first_settings(spec)
    for _ in rows:
        diagnosis = diagnose(evidence, settings, spec)
        settings = apply(diagnosis, settings)
    assert diagnosis.changes == {}
    assert settings.rows == rows[-1]
