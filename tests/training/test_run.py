"""A run: it misses, is diagnosed, passes and is promoted; it ends when it must; and no kill changes what comes out."""

from __future__ import annotations

import itertools
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support import fake_pipeline
from tests.support.bank import write_jsonl
from tests.support.fake_pipeline import (
    PIPELINE,
    Killed,
    attempt_of,
    carry_out,
    killed_after,
    open_model,
    tools,
    trainer,
    write_pipeline,
)  # fmt: skip
from tunegate.cases.case import Case
from tunegate.checks.outcome import Verdict
from tunegate.cli import main
from tunegate.exceptions import CannotJudge, ConfigError, Tampered
from tunegate.models.fingerprint import fingerprint
from tunegate.models.model import Response, ScriptedModel
from tunegate.promotion.registry import verify
from tunegate.record.event_log import EVENTS, EventLog, read_events
from tunegate.record.outcome_json import outcome_to_json
from tunegate.record.read_run import read_run
from tunegate.record.recheck import NotPromotable
from tunegate.record.record import GateRecord, RunRecord
from tunegate.record.run_log import RunLog
from tunegate.training.trainer import TrainJob, TrainResult
from tunegate_reports import write_html

PASS, FAIL, INVALID, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INVALID, Verdict.INCONCLUSIVE


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    return write_pipeline(tmp_path / "project")


def events(path: Path, kind: str) -> list[dict[str, Any]]:
    return [event for event in read_events(path.parent / "run") if event["event"] == kind]


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


# --- from the first miss to promotion ------------------------------------------------------------------------------


def test_a_run_misses_is_diagnosed_passes_and_is_promoted(pipeline: Path) -> None:
    run = carry_out(pipeline)
    assert (run.verdict, run.reason) == (PASS, "every gate of every stage passed")
    verdicts = [(g.stage, g.attempt, g.key, g.verdict, g.passed, g.asked, g.drawn) for g in run.all_gates()]
    assert verdicts == [
        ("sft", 1, "facts", FAIL, 0, 2, 5),
        ("sft", 1, "style", FAIL, 0, 2, 5),
        ("sft", 2, "facts", PASS, 5, 5, 5),
        ("sft", 2, "style", PASS, 5, 5, 5),
        ("sft", 2, "facts (confirm)", PASS, 5, 5, 5),  # it needed a second attempt
        ("sft", 2, "style (confirm)", PASS, 5, 5, 5),
        ("align", 1, "facts", PASS, 5, 5, 5),
        ("align", 1, "facts (reference)", PASS, 5, 5, 5),  # the same fresh cases, asked of sft
        ("align", 1, "facts (retention)", PASS, 5, 5, 5),  # what sft could do, align must not unlearn
        ("align", 1, "style (reference)", PASS, 5, 5, 5),
        ("align", 1, "style (retention)", PASS, 5, 5, 5),
    ]
    diagnosis = run.stages["sft"].attempts[1].diagnosis
    assert diagnosis is not None
    assert diagnosis.cause == "underfit"
    assert diagnosis.evidence[:2] == ("gate: 0 of 2, 80% needed", "training data: 0 of 2 answered correctly")
    assert diagnosis.action.endswith("train on more rows: rows 2 -> 4")
    assert [attempt.settings["rows"] for attempt in run.stages["sft"].attempts.values()] == [2, 4]
    [promoted] = run.promotions
    assert promoted["model_sha256"] == run.stages["align"].attempts[1].model_sha256
    alias = json.loads((pipeline.parent / "registry" / "aliases" / "production.json").read_text())
    assert alias["sha256"] == promoted["model_sha256"]


def test_each_stage_starts_from_the_weights_of_the_one_before(pipeline: Path) -> None:
    jobs: list[TrainJob] = []

    def train(job: TrainJob) -> TrainResult:
        jobs.append(job)
        return trainer()(job)

    run = carry_out(pipeline, replace(tools(), train=train))
    folder = pipeline.parent / "run"
    assert [attempt_of(job) for job in jobs] == ["sft#1", "sft#2", "align#1"]
    base = str(pipeline.parent / "base")
    assert [job.model for job in jobs] == [base, base, str(folder / "sft" / "attempt-2" / "model")]
    assert [len(Path(job.data).read_text().splitlines()) for job in jobs] == [2, 4, 8]
    assert len({job.seed for job in jobs}) == 3
    assert run.stages["align"].attempts[1].input_sha256 == run.stages["sft"].attempts[2].model_sha256


def test_every_attempt_is_gated_on_cases_that_no_attempt_saw(pipeline: Path) -> None:
    run = carry_out(pipeline)
    sft = run.stages["sft"].attempts
    for gate in ("facts", "style"):
        first, second = sft[1].gates[gate], sft[2].gates[gate]
        assert not first.seen & set(second.case_ids)
        assert first.seed == second.seed
        assert second.seen == set(second.case_ids)
        confirm = sft[2].gates[f"{gate} (confirm)"]
        assert confirm.part == "sealed"
        assert not confirm.seen & (first.seen | second.seen)


def test_the_record_holds_what_an_auditor_needs(pipeline: Path) -> None:
    run = carry_out(pipeline)
    start = run.start
    assert {"pipeline_sha256", "model_sha256", "seed", "suites", "data", "versions"} <= start.keys()
    assert set(start["suites"]) == {"facts", "style"}
    assert set(start["data"]) == {"sft", "align"}
    for gate in run.all_gates():
        asked = ("sft", 2) if gate.purpose == "reference" else (gate.stage or "", gate.attempt or 0)
        assert gate.suite_sha256 == start["suites"][gate.gate]["sha256"]
        assert gate.model_sha256 == run.stages[asked[0]].attempts[asked[1]].model_sha256


def test_the_command_line_shows_a_table_and_the_verdict(pipeline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    carry_out(pipeline)
    assert main(["run", str(pipeline), "--run", str(pipeline.parent / "run")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["stage", "attempt", "gate", "passed", "verdict", "time"]
    assert [line.split()[:5] for line in lines if " facts " in line and ": " not in line] == [
        ["sft", "1", "facts", "0/2", "FAIL"],
        ["sft", "2", "facts", "5/5", "PASS"],
        ["sft", "2", "facts", "(confirm)", "5/5"],
        ["align", "1", "facts", "5/5", "PASS"],
        ["align", "1", "facts", "(reference)", "5/5"],
        ["align", "1", "facts", "(retention)", "5/5"],
    ]
    assert lines[-3] == "PASS: every gate of every stage passed"
    assert Path(lines[-2].removeprefix("report: ")).is_file()
    assert lines[-1].startswith("promoted to production: ")
    assert main(["run", str(pipeline), "--run", str(pipeline.parent / "run"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == "PASS"


def test_the_command_line_ends_with_1_on_a_failed_run(pipeline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    carry_out(pipeline, tools(skills={}))
    assert main(["run", str(pipeline), "--run", str(pipeline.parent / "run")]) == 1
    assert "FAIL: stage sft: " in capsys.readouterr().out


def test_a_run_that_is_done_does_nothing_when_started_again(pipeline: Path) -> None:
    carry_out(pipeline)
    before = (pipeline.parent / "run" / EVENTS).read_bytes()
    carry_out(pipeline)
    assert (pipeline.parent / "run" / EVENTS).read_bytes() == before


# --- the ends of a run ---------------------------------------------------------------------------------------------


def test_max_attempts_end_a_stage(pipeline: Path) -> None:
    run = carry_out(pipeline, tools(skills={}))
    assert run.verdict is FAIL
    assert run.verdict.exit_code == 1
    assert run.reason == (
        "stage sft: facts: 2 of 2 missed, 1 of 5 allowed; style: 2 of 2 missed, 1 of 5 allowed; 3 of 3 attempts used; "
        "underfit: no attempt left; raise retrain.max_attempts and add a value: "
        "the declared budget is used up (no rung left: rows, epochs, learning_rate); "
        "`auto: true` under `retrain` has default values for epochs, learning_rate"
    )
    assert list(run.stages) == ["sft"]
    assert len(run.stages["sft"].attempts) == 3
    assert run.promotions == ()
    assert not (pipeline.parent / "registry").exists()


def test_the_last_attempt_is_diagnosed_too(pipeline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(pipeline, "max_attempts: 3", "max_attempts: 1")
    asked: list[str] = []

    def counted(path: str) -> ScriptedModel:
        model = open_model(path)
        return replace(model, script=lambda case: asked.append(case.id) or model.script(case))

    run = carry_out(pipeline, replace(tools(skills={}), open_model=counted))
    action = "no attempt left; raise retrain.max_attempts to try next: train on more rows: rows 2 -> 4"
    assert run.reason.endswith(f"; 1 of 1 attempts used; underfit: {action}")
    (event,) = events(pipeline, "diagnosed")
    assert (event["attempt"], event["cause"], event["action"], event["changes"]) == (1, "underfit", action, {})
    assert event["evidence"][:2] == ["gate: 0 of 2, 80% needed", "training data: 0 of 2 answered correctly"]
    assert sum(one.startswith("train-") for one in asked) == 2
    folder = pipeline.parent / "run"
    assert main(["report", str(folder), "--recheck", "--json", "--markdown", str(folder / "summary.md")]) == 0
    (told,) = json.loads(capsys.readouterr().out)["diagnoses"]
    names = ("attempt", "cause", "evidence", "action", "changes", "noise")
    assert told == {"stage": "sft", "spent": False, "redraw": False, **{name: event[name] for name in names}}
    assert f"<strong>Next: </strong>{action.replace('>', '&gt;')}" in (folder / "report.html").read_text()
    noise = "a model that is right 95% of the time misses 2 of 2 or more with probability 0.003"
    assert f"<li>facts: {noise}</li>" in (folder / "report.html").read_text()
    summary = (folder / "summary.md").read_text()
    assert f"- **sft, attempt 1:** underfit. Facts: {noise}; style: {noise}; this is more than noise. Next: " in summary
    assert main(["report", str(folder)]) == 0
    printed = capsys.readouterr().out
    assert action in printed
    assert f"sft: facts: {noise}" in printed


def test_an_attempt_that_could_not_be_judged_is_not_diagnosed(pipeline: Path) -> None:
    edit(pipeline, "max_attempts: 3", "max_attempts: 1")
    failing = replace(tools(), train=lambda job: TrainResult(error="out of memory"))
    assert carry_out(pipeline, failing).verdict is INVALID
    assert events(pipeline, "diagnosed") == []
    assert carry_out(pipeline, tools(skills={})).verdict is FAIL  # trained again, and missed
    assert len(events(pipeline, "diagnosed")) == 1


def test_an_older_record_without_the_last_diagnosis_is_read_and_rechecked(
    pipeline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(pipeline, "max_attempts: 3", "max_attempts: 1")
    carry_out(pipeline, tools(skills={}))
    with EventLog.open(pipeline.parent / "old") as log:
        for event in read_events(pipeline.parent / "run"):
            if event["event"] != "diagnosed":
                log.append({key: value for key, value in event.items() if key not in ("time", "line_sha256")})
    old = read_run(pipeline.parent / "old")
    assert (old.verdict, old.stages["sft"].attempts[1].diagnosis) == (FAIL, None)
    assert main(["report", str(pipeline.parent / "old"), "--recheck", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["diagnoses"] == []
    record = (pipeline.parent / "old" / EVENTS).read_bytes()
    assert carry_out(pipeline, tools(skills={}), run="old").verdict is FAIL
    assert (pipeline.parent / "old" / EVENTS).read_bytes() == record  # a finished run is not asked again


def test_a_spent_budget_ends_a_stage_rather_than_another_throw(pipeline: Path) -> None:
    edit(pipeline, "max_attempts: 3, rows: [2, 4, 8]", "max_attempts: 9, rows: [2, 4]")
    run = carry_out(pipeline, tools(skills={}))
    assert run.verdict is FAIL
    assert len(run.stages["sft"].attempts) == 2
    assert "the declared budget is used up" in run.reason


SFT_ALONE = PIPELINE.partition("  - name: align")[0] + "promote: {to: production, registry: registry}\n"


def test_a_bank_without_fresh_cases_is_inconclusive(tmp_path: Path) -> None:
    path = write_pipeline(tmp_path / "project", SFT_ALONE, bank=9)
    run = carry_out(path)
    assert run.verdict is INCONCLUSIVE
    assert run.verdict.exit_code == 4
    assert "the draw needs 5 fresh cases, but none of the 9 cases is sealed, and a pass after a retry" in run.reason
    assert run.promotions == ()
    assert not run.stages["sft"].attempts[2].trained  # known before the training, not after


def test_a_working_bank_is_spent_by_what_was_asked_not_by_what_was_registered(tmp_path: Path) -> None:
    """Nine cases, five drawn, two asked before the verdict stood: seven are fresh for the second attempt."""
    path = write_pipeline(tmp_path / "project", SFT_ALONE.replace("accept: 4}", "accept: 4, confirm: never}"), bank=9)
    run = carry_out(path)
    assert run.verdict is PASS, run.reason
    assert [gate.key for gate in run.stages["sft"].attempts[2].gates.values()] == ["facts", "style"]


def test_a_gate_that_could_not_judge_is_invalid_and_may_go_on_later(pipeline: Path) -> None:
    def broken(path: str) -> ScriptedModel:
        model = open_model(path)
        asked = itertools.count()

        def answer(case: Case) -> str | Response:
            good = model.script(case)
            return Response("", error="out of memory") if next(asked) == 2 else good

        return replace(model, script=answer)

    skills = {"sft#1": 1.0, "align#1": 1.0}
    run = carry_out(pipeline, replace(tools(skills), open_model=broken))
    assert (run.verdict, run.promotions) == (INVALID, ())
    assert "1 of 5 not judged, 4 passed, 4 needed" in run.reason
    run = carry_out(pipeline, tools(skills))
    assert run.verdict is PASS
    assert len(run.stages["sft"].attempts) == 1
    assert len(run.promotions) == 1


@pytest.mark.parametrize("fault", [RuntimeError("CUDA out of memory"), SystemExit(0), KeyError("x")])
def test_a_model_that_crashes_is_never_a_pass_or_a_miss(pipeline: Path, fault: BaseException) -> None:
    def broken(path: str) -> ScriptedModel:
        def answer(case: Case) -> str:
            raise fault

        return replace(open_model(path), script=answer)

    run = carry_out(pipeline, replace(tools(), open_model=broken))
    assert (run.verdict, run.promotions) == (INVALID, ())
    [first, *_] = run.all_gates()
    assert (first.verdict, first.invalid, first.failed) == (INVALID, 5, 0)
    assert f"the model failed: {type(fault).__name__}" in first.outcomes[0].reason


def test_a_training_that_fails_is_not_the_models_failure(pipeline: Path) -> None:
    edit(pipeline, "rows: [2, 4, 8]", "learning_rate: [1.0e-3, 1.0e-4]")

    def train(job: TrainJob) -> TrainResult:
        if job.args["learning_rate"] > 5e-4:
            return TrainResult(error="the loss is nan", failure="diverged", log=[{"step": 1, "loss": float("nan")}])
        return trainer({"sft#2": 1.0, "align#1": 1.0})(job)

    def diverging(job: TrainJob) -> TrainResult:
        return TrainResult(error="the loss is nan", failure="diverged")

    run = carry_out(pipeline, replace(tools(), train=diverging), run="diverging")
    assert run.verdict is INVALID
    assert "attempt 2: the training failed: the loss is nan" in run.reason
    edit(pipeline, "gates: [facts]\n", "gates: [facts]\n    args: {learning_rate: 1.0e-4}\n")
    run = carry_out(pipeline, replace(tools(), train=train))
    assert run.verdict is PASS
    diagnosis = run.stages["sft"].attempts[1].diagnosis
    assert diagnosis is not None
    assert diagnosis.changes == {"learning_rate": (1e-3, 1e-4)}
    assert diagnosis.evidence == ("the loss is nan",)


def test_what_a_failed_training_logged_is_on_record_and_in_the_report(pipeline: Path) -> None:
    logged = [{"step": step, "loss": 2.0 + step} for step in (1, 2, 3)]
    fails = TrainResult(error="diverged at step 4", log=logged, seconds=75.0)
    run = carry_out(pipeline, replace(tools(), train=lambda job: fails))
    attempt = run.stages["sft"].attempts[1]
    assert (attempt.log, attempt.seconds) == (tuple(logged), 75.0)
    write_html(run, pipeline.parent / "report.html")
    page = (pipeline.parent / "report.html").read_text()
    assert "diverged at step 4" in page
    assert 'class="losses"' in page


def test_a_training_that_failed_once_is_tried_again_by_the_same_command(pipeline: Path) -> None:
    def out_of_memory(job: TrainJob) -> TrainResult:
        return TrainResult(error="out of memory")

    assert carry_out(pipeline, replace(tools(), train=out_of_memory)).verdict is INVALID
    run = carry_out(pipeline, tools({"sft#1": 1.0, "align#1": 1.0}))
    assert run.verdict is PASS
    assert run.stages["sft"].attempts[1].error is None


@pytest.mark.parametrize("loss", [None, float("nan"), "nan"])
def test_losses_that_are_no_numbers_do_not_stop_a_diagnosis(pipeline: Path, loss: object) -> None:
    def train(job: TrainJob) -> TrainResult:
        log: list[dict[str, Any]] = [{"step": 1, "loss": 2.5}, {"step": 2, "loss": loss}, {"step": 3, "loss": 1.25}]
        return replace(trainer()(job), log=log)

    run = carry_out(pipeline, replace(tools(), train=train))
    diagnosis = run.stages["sft"].attempts[1].diagnosis
    assert diagnosis is not None
    assert "training loss: 2.5 at the first logged step, 1.25 at the last" in diagnosis.evidence


def test_a_fault_that_ends_a_run_is_on_the_record(pipeline: Path) -> None:
    def no_memory(path: str) -> ScriptedModel:
        raise CannotJudge(f"{path}: no memory left")

    with pytest.raises(CannotJudge):
        carry_out(pipeline, replace(tools(), open_model=no_memory))
    run = read_run(pipeline.parent / "run")
    assert run.verdict is None
    assert run.faults[0].endswith("no memory left")


def test_a_server_cannot_be_trained(pipeline: Path) -> None:
    with pytest.raises(CannotJudge, match="cannot train a model on a server"):
        carry_out(pipeline, replace(tools(), model_sha256=lambda path: None))


# --- leaks ---------------------------------------------------------------------------------------------------------


def leak(path: Path) -> Path:
    """Put two cases among the training rows, written a little differently."""
    rows = [{"prompt": p, "completion": "x"} for p in ("train?", "  CASE\t3? ", "ｃａｓｅ 7?", *map(str, range(8)))]
    return write_jsonl(path.parent / "train.jsonl", rows)


def test_a_leak_stops_the_run_before_training_and_names_the_rows(pipeline: Path) -> None:
    leak(pipeline)

    def train(job: TrainJob) -> TrainResult:
        raise AssertionError("trained on leaked data")

    run = carry_out(pipeline, replace(tools(), train=train))
    assert run.verdict is INVALID
    assert run.verdict.exit_code == 3
    assert run.stages == {}
    assert "train.jsonl:2 = facts/3" in run.reason
    assert "train.jsonl:3 = facts/7" in run.reason
    assert [(one["train_row"], one["suite"], one["case_id"]) for one in run.leaks] == [
        (2, "facts", "3"),
        (3, "facts", "7"),
        (2, "style", "3"),
        (3, "style", "7"),
    ]
    carry_out(pipeline, replace(tools(), train=train))
    assert len(events(pipeline, "leaks_found")) == len(events(pipeline, "run_decided")) == 1


def test_once_the_leak_is_mended_the_same_command_goes_on(pipeline: Path) -> None:
    train = pipeline.parent / "train.jsonl"
    clean = train.read_text()
    leak(pipeline)
    assert carry_out(pipeline).verdict is INVALID
    train.write_text(clean)
    run = carry_out(pipeline)
    assert (run.verdict, run.leaks, len(run.promotions)) == (PASS, (), 1)


def test_the_command_line_ends_with_3_on_a_leak(pipeline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    leak(pipeline)
    assert main(["check", str(pipeline)]) == 3
    assert "train.jsonl:2 = facts/3" in capsys.readouterr().out
    assert main(["run", str(pipeline)]) == 3
    assert "train.jsonl:2 = facts/3" in capsys.readouterr().out
    assert not (pipeline.parent / "runs" / "small" / "sft").exists()


# --- what changed since the run began ------------------------------------------------------------------------------


def half_done(path: Path) -> None:
    with pytest.raises(Killed):
        carry_out(path, open_log=killed_after(12))


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("tunegate.yaml", "max_attempts: 3", "max_attempts: 4"),
        ("tunegate.yaml", "accept: 4", "accept: 3"),
        ("tunegate.yaml", "checks: [exact]", "checks: [contains]"),
        ("cases.jsonl", '"reference": "3!"', '"reference": "?"'),
        ("train.jsonl", '"completion": "3!"', '"completion": "changed"'),
        ("base/weights.txt", "0.0", "1.0"),
    ],
)
def test_a_changed_input_is_tampering(pipeline: Path, name: str, old: str, new: str) -> None:
    half_done(pipeline)
    edit(pipeline.parent / name, old, new)
    with pytest.raises(Tampered, match="changed since this run began"):
        carry_out(pipeline)
    edit(pipeline.parent / name, new, old)
    assert carry_out(pipeline).verdict is PASS


@pytest.mark.parametrize("moment", [12, 20, 30])
def test_changed_weights_of_an_attempt_are_tampering(pipeline: Path, moment: int) -> None:
    with pytest.raises(Killed):
        carry_out(pipeline, open_log=killed_after(moment))
    weights = pipeline.parent / "run" / "sft" / "attempt-1" / "model" / "weights.txt"
    weights.write_text("1.0")
    with pytest.raises(Tampered, match="not the weights of attempt 1 of stage 'sft'"):
        carry_out(pipeline)


def test_weights_that_change_while_they_are_gated_are_tampering(pipeline: Path) -> None:
    with pytest.raises(Tampered, match="changed while they were being gated"):
        carry_out(pipeline, replace(tools(), open_model=lambda path: replace(open_model(path), sha256="0" * 64)))


def swap(path: Path) -> None:
    (path / "weights.txt").write_text("1.0\nnever trained")


def test_weights_swapped_between_training_and_gate_are_not_gated(pipeline: Path) -> None:
    """The run looked at what was trained; the model that is opened afterwards is another, which would pass."""

    def swapped(path: str) -> ScriptedModel:
        swap(Path(path))
        return open_model(path)

    with pytest.raises(Tampered, match="changed while they were being gated"):
        carry_out(pipeline, replace(tools(skills={}), open_model=swapped))
    assert events(pipeline, "gate_started") == []


@pytest.mark.parametrize("swapped_in", ["base", "run/sft/attempt-2/model"])
def test_weights_swapped_while_a_stage_trains_on_them_are_tampering(pipeline: Path, swapped_in: str) -> None:
    """What `align` was trained from may be what was swapped in, and that passed no gate."""

    def train(job: TrainJob) -> TrainResult:
        source = pipeline.parent / swapped_in
        if Path(job.model).resolve() == source.resolve():
            swap(source)
        return trainer()(job)

    with pytest.raises(Tampered, match=r"the input weights of stage '(sft|align)' changed"):
        carry_out(pipeline, replace(tools(), train=train))
    assert events(pipeline, "promoted") == []


@pytest.mark.parametrize("stage", ["sft", "align"])
def test_weights_swapped_after_they_were_opened_for_their_gates_are_tampering(pipeline: Path, stage: str) -> None:
    """The verdict is about the weights in memory; those on disk are what the next step would take."""

    def swapped(path: str) -> ScriptedModel:
        model = open_model(path)
        if f"{stage}/attempt-{2 if stage == 'sft' else 1}" in path:
            swap(Path(path))
        return model

    with pytest.raises(Tampered, match=r"changed"):
        carry_out(pipeline, replace(tools(), open_model=swapped))
    assert not (pipeline.parent / "registry").exists()


def test_a_record_that_was_changed_is_tampering(pipeline: Path) -> None:
    carry_out(pipeline, tools(skills={}))
    record = pipeline.parent / "run" / EVENTS
    *before, last = record.read_bytes().splitlines(keepends=True)
    assert b'"verdict": "FAIL"' in last
    record.write_bytes(b"".join(before) + last.replace(b'"verdict": "FAIL"', b'"verdict": "PASS"'))
    with pytest.raises(Tampered):
        carry_out(pipeline)


def test_a_forged_gate_is_not_believed_when_a_run_goes_on(pipeline: Path) -> None:
    with pytest.raises(Killed):
        carry_out(pipeline, open_log=killed_after(11))
    forged = pipeline.parent / "forged"
    shutil.copytree(pipeline.parent / "run", forged)
    (forged / EVENTS).unlink()
    with EventLog.open(forged) as log:
        for event in read_events(pipeline.parent / "run"):
            passes = {"verdict": "PASS", "passed": 5, "failed": 0} if event["event"] == "gate_decided" else {}
            log.append({**event, **passes})
    with pytest.raises(Tampered, match="its outcomes give FAIL with 0"):
        carry_out(pipeline, run="forged")


def test_a_folder_that_holds_a_gate_is_refused(pipeline: Path) -> None:
    with EventLog.open(pipeline.parent / "run") as log:
        log.append({"event": "run_started", "name": "facts", "key": "x"})
    with pytest.raises(ConfigError, match="has the record of a gate"):
        carry_out(pipeline)


def test_a_second_process_is_refused(pipeline: Path) -> None:
    with RunLog.open(pipeline.parent / "run"):
        command = [sys.executable, "-m", fake_pipeline.__name__, str(pipeline), "1"]
        second = subprocess.run(command, capture_output=True, text=True, check=False)
    assert second.returncode != 0
    assert "another tunegate process is writing to this run folder" in second.stderr
    assert list(read_events(pipeline.parent / "run")) == []


def test_a_second_tunegate_run_says_so_in_one_line(pipeline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = pipeline.parent / "runs" / "small"
    with RunLog.open(folder):
        assert main(["run", str(pipeline)]) == 2
        told = capsys.readouterr()
        assert "another tunegate process is writing to this run folder; wait for it or choose another" in told.err
        assert (told.out, told.err.strip().count("\n")) == ("", 0)
        assert list(read_events(folder)) == []  # and it wrote nothing


# --- a run folder that goes away -----------------------------------------------------------------------------------


def test_a_run_folder_deleted_while_it_trains_is_invalid(pipeline: Path) -> None:
    def train(job: TrainJob) -> TrainResult:
        shutil.rmtree(pipeline.parent / "run")
        return trainer()(job)  # makes the folder anew, as a real training does

    with pytest.raises(CannotJudge, match=r"run/events\.jsonl: the record is gone"):
        carry_out(pipeline, replace(tools(), train=train))


def test_a_training_that_has_nowhere_to_write_is_invalid(pipeline: Path) -> None:
    def train(job: TrainJob) -> TrainResult:
        shutil.rmtree(pipeline.parent / "run")
        raise FileNotFoundError(f"{job.output}: no such folder")

    with pytest.raises(CannotJudge, match="the record is gone"):
        carry_out(pipeline, replace(tools(), train=train))


@pytest.mark.parametrize("moment", [1, 4, 5])
def test_a_run_folder_deleted_while_it_is_gated_is_invalid(pipeline: Path, moment: int) -> None:
    asked = itertools.count(1)

    def vanishing(path: str) -> ScriptedModel:
        model = open_model(path)

        def answer(case: Case) -> str | Response:
            if next(asked) == moment:
                shutil.rmtree(pipeline.parent / "run")
            return model.script(case)

        return replace(model, script=answer)

    with pytest.raises(CannotJudge, match="was the folder deleted or moved"):
        carry_out(pipeline, replace(tools(), open_model=vanishing))
    assert carry_out(pipeline).verdict is PASS  # from the start: nothing of the evidence is left


def test_a_run_folder_deleted_after_the_last_gate_is_invalid(pipeline: Path) -> None:
    def say(line: str) -> None:
        if line.startswith("promoted to production"):
            shutil.rmtree(pipeline.parent / "run")

    with pytest.raises(CannotJudge, match="the record is gone"):
        carry_out(pipeline, replace(tools(), say=say))


def test_the_command_line_ends_with_3_when_the_record_goes_away(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_jsonl(tmp_path / "cases.jsonl", [{"id": i, "prompt": f"{i}?", "reference": "a"} for i in range(3)])
    write_jsonl(tmp_path / "answers.jsonl", [{"id": i, "response": "a"} for i in range(3)])
    (tmp_path / "suite.yaml").write_text("cases: cases.jsonl\nchecks: [{python: 'm:f'}]\nplan: {draw: 3, accept: 1}\n")
    run = tmp_path / "run"
    (tmp_path / "m.py").write_text(f"import shutil\ndef f(case, text): shutil.rmtree({str(run)!r}, True)\n")
    files = ["--suite", str(tmp_path / "suite.yaml"), "--responses", str(tmp_path / "answers.jsonl")]
    assert main(["gate", *files, "--run", str(run)]) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert "events.jsonl: the record is gone, and with it all evidence of this run" in err


# --- kills ---------------------------------------------------------------------------------------------------------


def essence(run: RunRecord) -> Mapping[str, Any]:
    """All that a run found out; not when, where, how long it took, or in how many sittings."""

    def gate(one: GateRecord) -> Any:
        outcomes = {outcome.case_id: outcome_to_json(outcome) for outcome in one.outcomes}
        return one.case_ids, one.seed, one.verdict, one.reason, one.passed, one.model_sha256, outcomes

    def attempt(one: Any) -> Any:
        gates = {name: gate(record) for name, record in one.gates.items()}
        return one.settings, one.seed, one.model_sha256, one.diagnosis, gates

    stages = {
        name: (stage.verdict, stage.reason, {number: attempt(one) for number, one in stage.attempts.items()})
        for name, stage in run.stages.items()
    }
    promoted = [event["model_sha256"] for event in run.promotions]
    return {"verdict": run.verdict, "reason": run.reason, "stages": stages, "promoted": promoted}


@pytest.mark.parametrize(
    ("before", "step"), [(False, 5), *(pytest.param(before, 1, marks=pytest.mark.slow) for before in (False, True))]
)
def test_a_kill_at_any_event_changes_nothing(tmp_path: Path, before: bool, step: int) -> None:
    """Every fifth event at once, and those at the end; all in the long run of the tests."""
    path = write_pipeline(tmp_path / "project")
    whole = essence(carry_out(path, run="whole"))
    total = len(list(read_events(tmp_path / "project" / "whole")))
    assert total > 40
    shutil.rmtree(tmp_path / "project" / "registry")
    for n in sorted({*range(1, total + 1, step), *range(total - 3, total + 1)}):
        with pytest.raises(Killed):
            carry_out(path, run=f"run-{n}", open_log=killed_after(n, before))
        killed = read_run(path.parent / f"run-{n}")
        assert killed.verdict is None or n >= total - 1
        assert essence(carry_out(path, run=f"run-{n}")) == whole, n
        shutil.rmtree(tmp_path / "project" / "registry")


def test_a_run_that_is_killed_after_every_single_event_still_arrives(pipeline: Path) -> None:
    whole = essence(carry_out(pipeline, run="whole"))
    shutil.rmtree(pipeline.parent / "registry")
    for _ in range(200):
        try:
            run = carry_out(pipeline, open_log=killed_after(1))
        except Killed:
            continue
        assert essence(run) == whole
        return
    pytest.fail("no progress")


def test_a_failed_run_that_was_killed_fails_all_the_same(tmp_path: Path) -> None:
    path = write_pipeline(tmp_path / "project")
    whole = essence(carry_out(path, tools(skills={}), run="whole"))
    total = len(list(read_events(path.parent / "whole")))
    for n in (*range(1, total - 4, 5), *range(total - 4, total + 1)):  # the end too: the last diagnosis
        with pytest.raises(Killed):
            carry_out(path, tools(skills={}), run=f"run-{n}", open_log=killed_after(n))
        assert essence(carry_out(path, tools(skills={}), run=f"run-{n}")) == whole
        diagnosed = [
            event["attempt"] for event in read_events(path.parent / f"run-{n}") if event["event"] == "diagnosed"
        ]
        assert diagnosed == [1, 2, 3]  # none twice


def test_no_finished_case_is_asked_again(pipeline: Path) -> None:
    with pytest.raises(Killed):
        carry_out(pipeline, open_log=killed_after(9))
    carry_out(pipeline)
    asked = [
        (event["stage"], event["attempt"], event["gate"], event["purpose"], event["outcome"]["case_id"])
        for event in events(pipeline, "outcome")
    ]
    assert len(asked) == len(set(asked)) == 51  # 2 x 3 of the miss, 9 x 5 after it


def test_kill_9_at_any_time_changes_nothing(pipeline: Path) -> None:
    whole = essence(carry_out(pipeline, run="whole"))
    shutil.rmtree(pipeline.parent / "registry")
    command = [sys.executable, "-m", fake_pipeline.__name__, str(pipeline)]
    for events in (1, 4, 9, 7, 12, 10):
        with subprocess.Popen([*command, str(events)], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            process.send_signal(signal.SIGKILL)
    assert essence(carry_out(pipeline)) == whole


def test_what_a_killed_training_left_behind_is_not_used(pipeline: Path) -> None:
    def dying(job: TrainJob) -> TrainResult:
        trainer({"sft#1": 1.0})(job)
        raise Killed

    with pytest.raises(Killed):
        carry_out(pipeline, replace(tools(), train=dying))
    assert (pipeline.parent / "run" / "sft" / "attempt-1" / "model" / "weights.txt").read_text().startswith("1.0")
    run = carry_out(pipeline)
    assert run.stages["sft"].attempts[1].gates["facts"].verdict is FAIL


def test_a_promotion_that_does_not_succeed_is_tried_again(pipeline: Path) -> None:
    (pipeline.parent / "registry").write_text("a file where the registry should be")
    with pytest.raises(CannotJudge, match="cannot write to the registry"):
        carry_out(pipeline)
    (pipeline.parent / "registry").unlink()
    run = carry_out(pipeline)
    assert (run.verdict, len(run.promotions)) == (PASS, 1)


GONE = ["registry", "registry/aliases/production.json", "registry/aliases", "registry/models", "registry/models/*"]


@pytest.mark.parametrize("gone", GONE)
def test_a_promotion_that_is_not_there_any_more_is_made_again(
    pipeline: Path, gone: str, capsys: pytest.CaptureFixture[str]
) -> None:
    carry_out(pipeline)
    for path in pipeline.parent.glob(gone):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    said: list[str] = []
    run = carry_out(pipeline, replace(tools(), say=said.append))
    assert said[-1].startswith("promoted to production again, because it was gone from the registry: ")
    promotion = verify("production", pipeline.parent / "registry", fingerprint)
    assert [event["model_sha256"] for event in run.promotions] == [promotion.sha256]
    assert len(events(pipeline, "promoted")) == 2
    assert main(["run", str(pipeline), "--run", str(pipeline.parent / "run")]) == 0
    assert capsys.readouterr().out.count("promoted to production: ") == 1


def test_a_promotion_that_cannot_be_made_again_is_not_claimed(
    pipeline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    carry_out(pipeline)
    shutil.rmtree(pipeline.parent / "registry")
    shutil.rmtree(pipeline.parent / "run" / "align")
    assert main(["run", str(pipeline), "--run", str(pipeline.parent / "run")]) == 1
    out, err = capsys.readouterr()
    assert "promoted" not in out
    assert "the model that passed no longer exists" in err


def test_an_alias_that_another_run_took_over_is_left_alone_and_not_claimed(
    pipeline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    carry_out(pipeline)
    newer = write_pipeline(
        pipeline.parent.parent / "newer", PIPELINE.replace("registry: registry", "registry: ../project/registry")
    )
    [promotion] = carry_out(newer, tools({"sft#1": 1.0, "align#1": 0.999})).promotions
    assert carry_out(pipeline).promotions == ()
    command = ["run", str(pipeline), "--run", str(pipeline.parent / "run")]
    assert main([*command, "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["promoted"] == []
    assert "not promoted: production in " in err
    assert "tunegate promote" in err
    assert main(command) == 0
    assert "promoted to production" not in capsys.readouterr().out
    assert verify("production", pipeline.parent / "registry", fingerprint).sha256 == promotion["model_sha256"]
    assert len(events(pipeline, "promoted")) == 1


def test_a_finished_run_does_not_claim_a_promotion_whose_bytes_changed(pipeline: Path) -> None:
    carry_out(pipeline)
    [place] = (pipeline.parent / "registry" / "models").iterdir()
    swap(place / "model")
    with pytest.raises(Tampered):
        carry_out(pipeline)


def test_a_project_that_was_moved_keeps_its_promotion(pipeline: Path) -> None:
    carry_out(pipeline)
    moved = Path(shutil.move(pipeline.parent, pipeline.parent.parent / "moved")) / pipeline.name
    before = (moved.parent / "run" / EVENTS).read_bytes()
    assert len(carry_out(moved).promotions) == 1
    assert (moved.parent / "run" / EVENTS).read_bytes() == before


def test_a_promotion_to_another_alias_does_not_stand_for_the_pipelines_own(pipeline: Path) -> None:
    (pipeline.parent / "registry").write_text("a file where the registry should be")
    with pytest.raises(CannotJudge):
        carry_out(pipeline)
    (pipeline.parent / "registry").unlink()
    assert main(["promote", str(pipeline.parent / "run"), "--to", "staging"]) == 0
    assert {event["alias"] for event in carry_out(pipeline).promotions} == {"staging", "production"}


def test_a_run_without_promotion_ends_with_its_verdict(tmp_path: Path) -> None:
    path = write_pipeline(tmp_path / "project", PIPELINE[: PIPELINE.index("promote:")])
    run = carry_out(path)
    assert (run.verdict, run.promotions) == (PASS, ())
    assert not (path.parent / "registry").exists()
    assert NotPromotable.exit_code == 1
