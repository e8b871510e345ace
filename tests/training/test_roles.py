"""Stages aside of the chain: a baseline, which is only measured, and a scorer, whose model rewards a later stage."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.bank import write_jsonl
from tests.support.fake_pipeline import SUITE, attempt_of, carry_out, load, luck_of, tools, trainer, write_pipeline
from tunegate.checks.outcome import Verdict
from tunegate.commands.check_facts import facts_of_pipeline
from tunegate.commands.console import print_run, run_as_json
from tunegate.exceptions import ConfigError, Tampered
from tunegate.promotion.evidence import attest, check_gates
from tunegate.record.recheck import recheck_all
from tunegate.record.record import RunRecord, gate_key
from tunegate.training.trainer import TrainJob, TrainResult
from tunegate_reports.html import render
from tunegate_reports.junit import write_junit
from tunegate_reports.markdown import markdown_summary
from tunegate_reports.view import view

PIPELINE = f"""\
name: small
model: base
suites:
  facts: {SUITE}
  pairs: {SUITE}
stages:
  - {{name: shots, method: fewshot, data: train.jsonl, gates: [facts]}}
  - {{name: sft, method: sft, data: train.jsonl, gates: [facts]}}
  - {{name: taste, method: reward, data: pairs.jsonl, gates: [pairs]}}
  - {{name: align, method: rlhf, data: train.jsonl, gates: [facts], options: {{reward: {{stage: taste}}}}}}
promote: {{to: production, registry: registry}}
"""
SCORER_ALONE = f"""\
name: small
model: base
suites:
  pairs: {SUITE}
stages:
  - {{name: taste, method: reward, data: pairs.jsonl, gates: [pairs]}}
promote: {{to: production, registry: registry}}
"""
SKILLS = {"shots#1": 0.3, "sft#1": 1.0, "taste#1": 1.0, "align#1": 1.0}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_pipeline(tmp_path / "project", PIPELINE, bank=60)


def weights(run: RunRecord, stage: str) -> str:
    attempts = run.stages[stage].attempts
    return attempts[max(attempts)].model_sha256


def started_with(run: RunRecord, stage: str) -> str:
    attempts = run.stages[stage].attempts
    return attempts[max(attempts)].input_sha256


def test_the_chain_of_weights_passes_by_what_lies_aside(path: Path) -> None:
    run = carry_out(path, tools(SKILLS))
    assert run.verdict is Verdict.PASS
    base = run.start["model_sha256"]
    assert [started_with(run, name) for name in run.stages] == [
        base, base, weights(run, "sft"), weights(run, "sft")
    ]  # fmt: skip
    assert check_gates(run).model_sha256 == weights(run, "align")
    assert run.promotions[0]["model_sha256"] == weights(run, "align")
    assert {gate["stage"] for gate in attest(run, check_gates(run))["gates"]} == {"align"}
    recheck_all(run)


def test_the_report_takes_no_gain_over_a_baseline_for_a_leak(tmp_path: Path) -> None:
    text = PIPELINE.replace("{draw: 5, accept: 4}", "{draw: 20, accept: 16}")
    path = write_pipeline(tmp_path / "project", text, bank=120)
    run = carry_out(path, tools({**SKILLS, "shots#1": 0.0}))
    said = render(view(run))
    assert "facts against shots, attempt 1: 0 lost" in said
    assert "possible leak" not in said


def test_check_does_not_ask_for_a_scorers_gate_in_the_last_stage(path: Path) -> None:
    assert facts_of_pipeline(path, load(path), []).gates_not_taken_last == []


def test_a_baseline_is_asked_whole_and_holds_nothing_up(path: Path) -> None:
    run = carry_out(path, tools(SKILLS))
    gate = run.stages["shots"].attempts[1].gates[gate_key("facts", "baseline")]
    assert run.stages["shots"].verdict is Verdict.PASS
    assert (gate.asked, gate.drawn) == (5, 5)
    assert gate.passed < gate.accept
    assert list(run.stages["shots"].attempts) == [1]
    assert run.stages["shots"].attempts[1].diagnosis is None


def test_a_baseline_is_said_to_be_measured_everywhere(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing right of five is no pass: `verdict` says on record that nothing stood in the way, people read a count."""
    said: list[str] = []
    given = tools({**SKILLS, "shots#1": 0.0})
    run = carry_out(path, replace(given, say=said.append))
    assert [line for line in said if line.startswith("shots#1 facts")] == ["shots#1 facts (baseline): measured: 0 of 5"]
    rows = [line for line in said if " rows" in line and line.startswith(("shots#1", "sft#1"))]
    assert rows == ["shots#1: examples out of 8 rows", "sft#1: training on 8 rows"]
    print_run(run, None)
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("shots") and "facts" in line)
    assert row.split()[:6] == ["shots", "1", "facts", "(baseline)", "0/5", "measured"]
    gates = {(gate["stage"], gate["gate"]): gate for gate in run_as_json(run, None)["gates"]}
    told = ("verdict", "measured", "passed", "drawn", "accept")
    assert [gates["shots", "facts"][key] for key in told] == ["PASS", True, 0, 5, 4]
    assert not gates["sft", "facts"]["measured"]
    summary = next(line for line in markdown_summary(run).splitlines() if line.startswith("| shots"))
    assert [cell.strip() for cell in summary.split("|")][4:7] == ["0 of 5", "–", "measured"]
    write_junit(run, path.parent / "junit.xml")
    junit = (path.parent / "junit.xml").read_text()
    assert "facts (baseline)" not in junit
    assert "reference" not in junit  # nothing there decides, and the base model has no entry either
    shown = view(run)
    assert [(stage.record.name, stage.state, stage.attempts[0].state) for stage in shown.stages[:2]] == [
        *[("shots", "MEASURED", "MEASURED"), ("sft", "PASS", "PASS")]
    ]
    assert render(shown).count("badge MEASURED") == 6  # of the stage, of its attempt, of its draw; of three references


def test_a_step_must_not_fall_behind_the_baseline(path: Path) -> None:
    """The baseline answers all five; a step that answers four passes its gate, and is not worth its training."""
    run = carry_out(path, tools({**SKILLS, "shots#1": 1.0, "sft#1": 0.7, "sft#2": 0.7, "sft#3": 0.7}))
    kept = [attempt.gates.get(gate_key("facts", "worth")) for attempt in run.stages["sft"].attempts.values()]
    assert run.verdict is not Verdict.PASS
    assert any(gate is not None and gate.verdict is Verdict.FAIL for gate in kept)
    references = [one for attempt in run.stages["sft"].attempts.values() for one in attempt.references.values()]
    assert {one.model_sha256 for one in references} == {weights(run, "shots")}


def easy_then(path: Path, stages: str) -> Path:
    """A pipeline whose suite `easy` is answered by a model that has forgotten most facts."""
    path.write_text(
        f"""\
name: small
model: base
suites:
  facts: {SUITE}
  easy: {SUITE.replace("cases.jsonl", "easy.jsonl")}
stages:
{stages}"""
    )
    ids = [f"e{i}" for i in range(400)]
    rows = [{"id": i, "prompt": f"easy {i}?", "reference": f"{i}!"} for i in ids if luck_of(i) < 0.3]
    write_jsonl(path.parent / "easy.jsonl", rows)
    return path


def test_a_baseline_takes_no_retention_away(path: Path) -> None:
    """Between a step and the next one, a poor baseline on the same suite must not become what the next is held to."""
    easy_then(
        path,
        """\
  - {name: sft, method: sft, data: train.jsonl, gates: [facts]}
  - {name: shots, method: fewshot, data: train.jsonl, gates: [facts]}
  - {name: align, method: dpo, data: pairs.jsonl, gates: [easy], retrain: {max_attempts: 1}}
""",
    )
    run = carry_out(path, tools({"sft#1": 1.0, "shots#1": 0.0, "align#1": 0.31}))
    gates = run.stages["align"].attempts[1].gates
    assert run.verdict is Verdict.FAIL
    assert gates[gate_key("facts", "retention")].verdict is Verdict.FAIL
    assert gates[gate_key("facts", "worth")].verdict is Verdict.PASS


def test_every_later_step_is_held_against_the_baseline(path: Path) -> None:
    """Also where an earlier step, which forgives five points, was asked the same suite."""
    run = carry_out(path, tools(SKILLS))
    gates = run.stages["align"].attempts[1].gates
    references = run.stages["align"].attempts[1].references
    assert {key: gate.model_sha256 for key, gate in references.items()} == {
        gate_key("facts", "reference"): weights(run, "sft"),
        gate_key("facts", "worth reference"): weights(run, "shots"),
    }
    assert len({(*gates[gate_key("facts", one)].case_ids,) for one in ("retention", "worth")}) == 1  # asked once
    assert gates[gate_key("facts", "worth")].terms["max_drop"] == 0.0
    attested = {gate["gate"] for gate in attest(run, check_gates(run))["gates"]}
    assert gate_key("facts", "worth") in attested


def test_a_scorer_must_pass_its_own_gate_and_is_asked_nothing_else(path: Path) -> None:
    run = carry_out(path, tools({**SKILLS, "taste#1": 0.0}))
    assert run.verdict is not Verdict.PASS
    assert "align" not in run.stages
    assert {gate for attempt in run.stages["taste"].attempts.values() for gate in attempt.gates} == {"pairs"}


def spying(jobs: list[TrainJob]) -> Callable[[TrainJob], TrainResult]:
    real = trainer(SKILLS)

    def train(job: TrainJob) -> TrainResult:
        jobs.append(job)
        return real(job)

    return train


def test_the_reward_arrives_as_the_model_that_was_gated(path: Path) -> None:
    jobs: list[TrainJob] = []
    run = carry_out(path, replace(tools(SKILLS), train=spying(jobs)))
    job = next(job for job in jobs if attempt_of(job) == "align#1")
    assert Path(job.options["reward"]["model"]) == run.folder / "taste" / "attempt-1" / "model"
    event = next(line for line in events(run) if line["event"] == "attempt_started" and line["stage"] == "align")
    assert event["reward_sha256"] == weights(run, "taste")


def events(run: RunRecord) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run.folder / "events.jsonl").read_text().splitlines()]


def test_a_reward_model_that_changed_since_its_gate_rewards_nobody(path: Path) -> None:
    real = trainer(SKILLS)

    def train(job: TrainJob) -> TrainResult:
        if attempt_of(job) == "align#1":
            (Path(job.options["reward"]["model"]) / "weights.txt").write_text("0.9")
        return real(job)

    with pytest.raises(Tampered, match="the reward model changed after its gates"):
        carry_out(path, replace(tools(SKILLS), train=train))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("stage: taste", "stage: tast", r"options\.reward\.stage: no earlier stage with method reward is named 'tast'"),
        ("stage: taste", "stage: sft", "no earlier stage with method reward is named 'sft'"),
        ("stage: taste", "suite: fact", r"options\.reward\.suite: no suite is named 'fact' \(did you mean 'facts'"),
    ],
)
def test_a_reward_that_is_not_there_is_named(path: Path, old: str, new: str, message: str) -> None:
    path.write_text(PIPELINE.replace(old, new))
    with pytest.raises(ConfigError, match=message):
        load(path)


def test_a_pipeline_ends_with_a_model_to_go_on_with(path: Path) -> None:
    lines = PIPELINE.splitlines(keepends=True)
    path.write_text("".join(line for line in lines if "name: align" not in line))
    with pytest.raises(ConfigError, match="method reward of the last stage 'taste' makes no model to promote"):
        load(path)


def test_a_pipeline_may_train_a_reward_model_alone(tmp_path: Path) -> None:
    path = write_pipeline(tmp_path / "project", SCORER_ALONE)
    run = carry_out(path, tools(SKILLS))
    assert run.verdict is Verdict.PASS
    assert run.promotions[0]["model_sha256"] == weights(run, "taste")
    assert {gate["stage"] for gate in attest(run, check_gates(run))["gates"]} == {"taste"}
    recheck_all(run)
    failed = carry_out(write_pipeline(tmp_path / "other", SCORER_ALONE), tools({"taste#1": 0.0}))
    assert failed.verdict is Verdict.FAIL


def test_plain_text_is_not_asked_for_a_diagnosis(tmp_path: Path) -> None:
    """Continued pre-training has no prompts: its diagnosis rests on its gates alone."""
    path = write_pipeline(
        tmp_path / "project",
        f"""\
name: small
model: base
suites:
  facts: {SUITE}
stages:
  - {{name: read, method: cpt, data: text.jsonl, gates: [facts], retrain: {{max_attempts: 2, rows: [1, 2]}}}}
""",
    )
    write_jsonl(path.parent / "text.jsonl", [{"text": "BRCA1 is a gene."}, {"text": "FGD1 is a gene."}])
    skills: Mapping[str, float] = {"read#1": 0.0, "read#2": 1.0}
    run = carry_out(path, tools(skills))
    assert run.verdict is Verdict.PASS
    diagnosis = run.stages["read"].attempts[1].diagnosis
    assert diagnosis is not None
    assert diagnosis.changes == {"rows": (1, 2)}
    assert not any("training data" in line for line in diagnosis.evidence)
