"""`search: optuna`: TPE over the declared ladders, from the record alone; every trial is an attempt that counts."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.support.fake_pipeline import PIPELINE, attempt_of, carry_out, load, tools, trainer, write_pipeline
from tests.training.test_run import Killed, essence, killed_after
from tunegate.checks.outcome import Verdict
from tunegate.exceptions import MissingExtra
from tunegate.pipeline.ladders import Settings, apply, first_settings
from tunegate.pipeline.retrain_spec import RetrainSpec
from tunegate.record.event_log import read_events
from tunegate.record.record import AttemptRecord, Diagnosis, GateRecord
from tunegate.training.search import FAILED_TRAINING, Trial, choose, objective, settings_from, trials_of
from tunegate.training.trainer import TrainJob, TrainResult

pytest.importorskip("optuna")

SPEC = RetrainSpec(rows=[10, 20, 40], epochs=[1.0, 2.0], learning_rate=[1e-4, 1e-3, 1e-2], search="optuna")
SPACE = 3 * 2 * 3
MISS = Diagnosis("underfit", ["gate: 20 of 100"], "train on more rows: rows 10 -> 20", {"rows": (10, 20)})


def search(spec: RetrainSpec, good: dict[str, Any], attempts: int, seed: int = 1) -> list[Trial]:
    """Search as a stage does; the objective rises with every setting that is as it should be."""
    settings, trials = first_settings(spec), list[Trial]()
    for _ in range(attempts):
        hits = sum(getattr(settings, name) == value for name, value in good.items())
        trials.append(Trial(settings, 0.2 * hits - 0.5))
        found = choose(MISS, trials, spec, seed)
        if not found.changes:
            break
        settings = apply(found, settings)
    return trials


def test_it_never_tries_the_same_twice_and_ends_when_all_is_tried() -> None:
    trials = search(SPEC, {"rows": 40}, attempts=SPACE + 5)
    assert len(trials) == SPACE
    assert len({trial.settings for trial in trials}) == SPACE
    spent = choose(MISS, trials, SPEC, seed=1)
    assert (spent.changes, spent.action) == ({}, f"the declared budget is used up ({SPACE} settings tried)")


@given(st.integers(0, 2**63))
@hypothesis_settings(max_examples=5)
def test_the_same_record_and_seed_give_the_same_proposal(seed: int) -> None:
    trials = search(SPEC, {"rows": 40, "learning_rate": 1e-3}, attempts=5, seed=seed)
    assert choose(MISS, trials, SPEC, seed) == choose(MISS, list(trials), SPEC, seed)


def test_it_learns_where_the_good_settings_are() -> None:
    """90 settings, one good corner, 20 trials: at least two of the three settings are found."""
    spec = RetrainSpec(rows=[1, 2, 3, 4, 5, 6], epochs=[1.0, 2.0, 3.0], learning_rate=[1e-5, 1e-4, 1e-3, 1e-2, 1e-1])
    good = {"rows": 6, "epochs": 3.0, "learning_rate": 1e-2}
    found = [max(trial.objective for trial in search(spec, good, attempts=20, seed=seed)) for seed in range(5)]
    assert sum(best >= -0.1 for best in found) >= 4  # two of three right, or all


def test_the_diagnosis_keeps_its_cause_and_evidence() -> None:
    found = choose(MISS, [Trial(first_settings(SPEC), -0.7)], SPEC, seed=3)
    assert (found.cause, found.evidence) == (MISS.cause, MISS.evidence)
    assert found.action.startswith("Optuna's TPE (1 tried, best -0.70): ")
    assert set(found.changes) <= {"rows", "epochs", "learning_rate"}


def test_there_is_nothing_to_repair_before_a_kind_is_weak() -> None:
    spec = RetrainSpec(repair=[0.0, 0.2, 0.4], search="optuna")
    assert not choose(MISS, [Trial(Settings(repair=0.0), -0.2)], spec, seed=1).changes
    weak = replace(MISS, changes={"repair": (0.0, 0.2), "kinds": ((), ("answer=rare",))})
    found = choose(weak, [Trial(Settings(repair=0.0), -0.2)], spec, seed=1)
    assert found.changes["kinds"] == ((), ("answer=rare",))
    assert found.changes["repair"][1] in (0.2, 0.4)


def test_the_objective_is_the_worst_draw() -> None:
    def gate(passed: int, verdict: Verdict, purpose: str = "gate") -> GateRecord:
        return GateRecord(
            "g", "s", 1, "", None, 1, 100, 90, [], purpose, passed=passed, asked=100, decided=True, verdict=verdict
        )

    attempt = AttemptRecord(1, 1, asdict(Settings(rows=4)), "")
    assert objective(attempt) == FAILED_TRAINING
    attempt = replace(attempt, gates={"a": gate(95, Verdict.PASS), "b": gate(80, Verdict.FAIL)})
    assert objective(attempt) == pytest.approx(-0.1)
    attempt = replace(attempt, gates={"a": gate(95, Verdict.PASS), "kept": gate(92, Verdict.FAIL, "retention")})
    assert objective(attempt) == 0.0  # it forgot: no better than a draw that just misses
    assert objective(replace(attempt, error="diverged")) == FAILED_TRAINING


def test_settings_come_back_from_the_record() -> None:
    settings = Settings(rows=4, repair=0.2, kinds=("answer=rare",))
    assert settings_from(json.loads(json.dumps(asdict(settings)))) == settings


# --- in a run -------------------------------------------------------------------------------------------------------

RETRAIN = "retrain: {max_attempts: 5, rows: [2, 4, 8], epochs: [1.0, 2.0], search: optuna}"


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    text = PIPELINE.replace("retrain: {max_attempts: 3, rows: [2, 4, 8]}", RETRAIN)
    return write_pipeline(tmp_path / "project", text, bank=120)


def skilled(job: TrainJob) -> TrainResult:
    rows = len(Path(job.data).read_text().splitlines())
    good = rows == 8 and job.args.get("num_train_epochs") == 2.0
    return trainer({attempt_of(job): 1.0 if good or attempt_of(job) == "align#1" else 0.0})(job)


def test_every_trial_is_an_attempt_and_the_attempts_end_the_search(pipeline: Path) -> None:
    run = carry_out(pipeline, tools(skills={}))
    attempts = run.stages["sft"].attempts
    assert (run.verdict, len(attempts)) == (Verdict.FAIL, 5)
    assert "5 of 5 attempts used; underfit: no attempt left; raise retrain.max_attempts to try next: " in (run.reason)
    last = attempts[5].diagnosis
    assert last is not None
    assert (last.changes, "Optuna's TPE (5 tried, best -0.80): " in last.action) == ({}, True)
    assert len({trial.settings for trial in trials_of(attempts.values())}) == 5
    seen = [case_id for attempt in attempts.values() for case_id in attempt.gates["facts"].seen]
    assert len(seen) == len(set(seen))  # each trial is gated on cases of its own


def test_a_killed_search_goes_on_with_the_same_settings(pipeline: Path) -> None:
    given_tools = replace(tools(), train=skilled)
    whole = carry_out(pipeline, given_tools, run="whole")
    total = len(list(read_events(pipeline.parent / "whole")))
    for n in range(5, total, 9):
        with pytest.raises(Killed):
            carry_out(pipeline, given_tools, run=f"run-{n}", open_log=killed_after(n))
        assert essence(carry_out(pipeline, given_tools, run=f"run-{n}"))["stages"] == essence(whole)["stages"]
    assert not list(pipeline.parent.rglob("*.db"))


def test_without_optuna_it_is_told_before_anything_is_trained(pipeline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)  # as if it were not installed
    with pytest.raises(MissingExtra, match=r"pip install 'tunegate\[search\]'"):
        load(pipeline)
