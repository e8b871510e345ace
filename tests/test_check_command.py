"""`tunegate check` on banks: for how many attempts they last, said before anything is trained."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fake_pipeline import PIPELINE, write_pipeline

from tunegate.banks import Bank
from tunegate.cases import Case
from tunegate.cli import main
from tunegate.commands.check import supported_attempts
from tunegate.plans import GatePlan
from tunegate.sampling import SinglePlan


def bank(working: int, sealed: int) -> Bank:
    cases = tuple(Case(str(number), f"{number}?") for number in range(working + sealed))
    return Bank(cases[:working], cases[working:])


ONE = SinglePlan(100, 90)


@pytest.mark.parametrize(
    ("working", "sealed", "plan", "attempts"),
    [
        (350, 0, GatePlan(ONE), 3),
        (350, 0, GatePlan(ONE, ONE, "after_retry"), 1),  # nothing can confirm a second one
        (350, 100, GatePlan(ONE, ONE, "after_retry"), 2),
        (350, 500, GatePlan(ONE, ONE, "after_retry"), 3),
        (350, 200, GatePlan(ONE, ONE, "always"), 2),
        (99, 500, GatePlan(ONE, ONE, "always"), 0),
        (100, 0, GatePlan(ONE, reuse=True), None),
        (100, 100, GatePlan(ONE, ONE, "after_retry", reuse=True), None),
        (100, 99, GatePlan(ONE, ONE, "after_retry", reuse=True), 1),
    ],
)
def test_a_bank_supports_so_many_attempts(working: int, sealed: int, plan: GatePlan, attempts: int | None) -> None:
    assert supported_attempts(bank(working, sealed), plan) == attempts


def test_check_says_how_far_the_banks_reach(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_pipeline(tmp_path / "project")
    assert main(["check", str(path), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    suite, stage = facts["suites"]["facts"], facts["stages"]["sft"]
    assert suite["working"] + suite["sealed"] == 20
    assert stage["supported_attempts"]["facts"] == min(suite["working"] // 5, 1 + suite["sealed"] // 5)
    assert facts["stages"]["align"]["retention"] == {
        "facts": {"max_drop": 5.0, "since": "sft"},
        "style": {"max_drop": 5.0, "since": "sft"},
    }
    assert main(["check", str(path)]) == 0
    out = capsys.readouterr().out
    assert "must not unlearn: facts, style" in out
    assert "surely has fresh cases for 2 attempts" in out


def test_a_baseline_is_measured_once_and_nothing_is_trained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shots = "stages:\n  - {name: shots, method: fewshot, data: train.jsonl, gates: [facts]}\n"
    path = write_pipeline(tmp_path / "project", PIPELINE.replace("stages:\n", shots, 1))
    assert main(["check", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "stage shots: fewshot on 8 rows, nothing is trained; gates: facts" in lines
    assert not [line for line in lines if line.startswith("note: stage shots")]
    assert main(["check", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["stages"]["shots"]["max_attempts"] == 1


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ("{draw: 5, accept: 6}", "accept is 6, but only 5 are drawn"),
        ("{draw: 21}", "the bank has 20 cases, the plan draws 21"),
        ("{kind: double, draw: 10, accept: 9, confirm: {draw: 12, accept: 11}}", "confirmed by 12 sealed cases"),
        ("{draw: 5, risk: {}}", "5 cases cannot keep a consumer's risk of 0.05"),
        ("{kind: triple}", "plan.kind: "),
        ("{kind: double, confirm: never}", "contradicts"),
        ("{draw: 5, accept: 4, risk: {}}", "not both"),
        ("{risk: {at: 0.95, good: 0.9}}", "at must lie below good"),
        ("{draw: 5, confirm: {draw: 3, accept: 4}}", "accept is 4, but only 3 are drawn"),
    ],
)
def test_a_plan_that_cannot_be_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], plan: str, message: str
) -> None:
    path = write_pipeline(tmp_path / "project", PIPELINE.replace("{draw: 5, accept: 4}", plan))
    assert main(["check", str(path)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_double_plan_needs_sealed_cases_for_all_its_attempts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Solved for one attempt the confirming draw is small; for the stage's ten it is larger than what is sealed."""
    text = PIPELINE.replace("{draw: 5, accept: 4}", "{kind: double}").replace("max_attempts: 3", "max_attempts: 10")
    path = write_pipeline(tmp_path / "project", text, bank=200)
    assert main(["check", str(path)]) == 2
    assert "every pass is confirmed by 101 sealed cases" in capsys.readouterr().err
