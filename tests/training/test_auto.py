"""`retrain: auto` in a run: a run that gave up with an attempt unused goes on with general rows and a lower rate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.bank import write_jsonl
from tests.support.fake_pipeline import carry_out, open_model, tools, trainer, write_pipeline
from tunegate.cases.case import Case
from tunegate.checks.outcome import Verdict
from tunegate.models.model import ScriptedModel
from tunegate.record.record import RunRecord
from tunegate.training.tools import Tools

BANK77 = """\
name: intents
model: base
suites:
  facts: {cases: cases.jsonl, checks: [exact], plan: {draw: 100, accept: 90}}
  general:
    {cases: general_cases.jsonl, checks: [exact], plan: {draw: 100, accept: 90}, retention: {max_drop: 5}}
stages:
  - {name: sft, method: sft, data: train.jsonl, gates: [facts], retrain: RETRAIN}
"""
ROWS = "rows: [320, 800, 1400]"
DECLARED, AUTO = f"{{max_attempts: 4, {ROWS}}}", f"{{auto: true, max_attempts: 4, {ROWS}}}"
"""The issue's run: 1,471 usable rows, three attempts of 320, 800 and 1,400 rows, and one attempt unused."""


def project(folder: Path, retrain: str) -> Path:
    path = write_pipeline(folder, BANK77.replace("RETRAIN", retrain), bank=1200)
    write_jsonl(path.parent / "train.jsonl", [{"prompt": f"request {n}?", "completion": f"{n}!"} for n in range(1471)])
    cases = [{"id": f"g{n}", "prompt": f"what is thing {n}?", "reference": f"thing {n}!"} for n in range(1500)]
    write_jsonl(path.parent / "general_cases.jsonl", cases)
    return path


def scripted(missed: Mapping[str, int], forgets: Sequence[str], comparisons: int = 99) -> Tools:
    """A model by attempt: it misses the first `missed` questions of its gate. Of the 100 general cases that each
    comparison asks, the base model misses 21; the attempts that forget lost 11 of the others and won 5 of the 21, in
    the first `comparisons`."""
    asked: Counter[str] = Counter()
    compared: dict[str, int] = {}

    def opened(path: str) -> ScriptedModel:
        name = Path(path).parent.name if Path(path).name == "model" else "base"

        def wrong(case: Case) -> bool:
            if case.id.startswith("g"):
                comparison, place = divmod(compared.setdefault(case.id, len(compared)), 100)
                return (
                    place < 21 if name == "base" else name in forgets and comparison < comparisons and 5 <= place < 32
                )
            if case.id.startswith("train-"):
                return False
            asked[name] += 1
            return asked[name] <= missed.get(name, 0)

        return replace(open_model(path), script=lambda case: "?" if wrong(case) else case.references[0])

    return replace(tools(), train=trainer({}), open_model=opened)


def the_issues_run(path: Path, forgets: Sequence[str] = ("attempt-3",), comparisons: int = 99) -> RunRecord:
    missed = {"attempt-1": 40, "attempt-2": 15, "attempt-3": 9}
    return carry_out(path, scripted(missed, forgets, comparisons))


def told(run: RunRecord, number: int) -> Any:
    found = run.stages["sft"].attempts[number].diagnosis
    assert found is not None
    return found


def test_the_issues_run_gave_up_with_an_attempt_unused(tmp_path: Path) -> None:
    run = the_issues_run(project(tmp_path / "project", DECLARED))
    assert run.verdict is Verdict.FAIL
    attempts = run.stages["sft"].attempts
    assert [attempt.settings["rows"] for attempt in attempts.values()] == [320, 800, 1400]
    third = attempts[3].gates
    assert (third["facts"].passed, third["facts"].verdict) == (91, Verdict.PASS)
    kept = third["general (retention)"]
    assert kept.reason.startswith(
        "forgetting: from 79 to 73 of 100 cases: 11 lost, 5 won, 6 points fewer (95 %: -2.0 to 14.6; McNemar "
        "mid-p 0.14), more than the 5 allowed"
    )
    assert "(no rung left: replay, learning_rate)" in run.reason
    assert "`auto: true` under `retrain` has default values for replay, learning_rate" in run.reason


def test_with_auto_more_cases_are_asked_before_another_training(tmp_path: Path) -> None:
    run = the_issues_run(project(tmp_path / "project", AUTO))
    assert run.verdict is Verdict.FAIL  # it did forget: 6 points of 100 again
    attempts = run.stages["sft"].attempts
    assert [attempt.redraw_of for attempt in attempts.values()] == [None, None, None, 3]
    third = told(run, 3)
    assert (third.cause, third.evidence[-1]) == ("noise", "if it is not noise: forgetting")
    assert third.noise.misses[0].chance == pytest.approx(0.1051, abs=5e-5)
    first, second = (attempts[number].gates["general (retention)"] for number in (3, 4))
    assert (first.drawn, second.drawn, second.reason.partition(":")[0]) == (100, 100, "forgetting")
    assert not second.asked_questions & first.asked_questions
    assert told(run, 4).action.endswith("to try next: mix in general data: replay 0.0 -> 0.1")


def test_a_drop_that_more_cases_do_not_show_costs_no_training(tmp_path: Path) -> None:
    run = the_issues_run(project(tmp_path / "project", AUTO), comparisons=1)
    assert run.verdict is Verdict.PASS, run.reason
    assert [attempt.redraw_of for attempt in run.stages["sft"].attempts.values()] == [None, None, None, 3]


def test_a_drop_that_more_cases_show_again_is_met_with_general_rows(tmp_path: Path) -> None:
    run = the_issues_run(project(tmp_path / "project", AUTO.replace("max_attempts: 4", "max_attempts: 5")))
    assert run.verdict is Verdict.PASS, run.reason
    assert [attempt.settings["rows"] for attempt in run.stages["sft"].attempts.values()] == [320, 800, *[1400] * 3]
    fourth = told(run, 4)
    assert fourth.changes == {"replay": (0.0, 0.1)}
    assert fourth.action == "mix in general data: replay 0.0 -> 0.1"
    [note] = run.stages["sft"].attempts[5].summary["data"]["notes"]
    assert note.endswith("rows of general data mixed in (10% of the text)")


TRAINS = AUTO.replace("auto: true", "auto: true, on_noise: retrain")


def test_if_that_is_not_enough_more_general_rows_and_then_half_the_learning_rate(tmp_path: Path) -> None:
    path = project(tmp_path / "project", TRAINS.replace("max_attempts: 4", "max_attempts: 6"))
    run = the_issues_run(path, forgets=("attempt-3", "attempt-4", "attempt-5"))
    assert run.verdict is Verdict.PASS, run.reason
    assert [told(run, number).changes for number in (3, 4, 5)] == [
        {"replay": (0.0, 0.1)},
        {"replay": (0.1, 0.25)},
        {"learning_rate": (2e-5, 1e-5)},
    ]


def test_the_attempts_are_bounded(tmp_path: Path) -> None:
    path = project(tmp_path / "project", TRAINS)
    run = the_issues_run(path, forgets=("attempt-3", "attempt-4"))
    assert run.verdict is Verdict.FAIL
    assert list(run.stages["sft"].attempts) == [1, 2, 3, 4]
    assert "4 of 4 attempts used" in run.reason
    assert told(run, 4).action.endswith("to try next: mix in general data: replay 0.1 -> 0.25")


def test_general_rows_that_stand_in_a_suite_of_the_user_are_left_out(tmp_path: Path) -> None:
    """Nobody chose these rows, so they do not stop a run, whatever `leakage` says."""
    path = project(tmp_path / "project", TRAINS)
    rows = [{"id": "g-own", "prompt": "Why can camels survive for long without water?", "reference": "fat"}]
    cases = path.parent / "general_cases.jsonl"
    cases.write_text(cases.read_text() + write_jsonl(tmp_path / "own.jsonl", rows).read_text())
    run = the_issues_run(path)
    assert run.verdict is Verdict.PASS, run.reason
    [dropped] = run.dropped
    assert (dropped["rows"], dropped["replay_rows"], dropped["cases"]) == ([], [1], ["general/g-own"])


def test_rows_of_the_user_that_leak_still_stop_the_run(tmp_path: Path) -> None:
    path = project(tmp_path / "project", AUTO)
    train = path.parent / "train.jsonl"
    train.write_text(train.read_text() + '{"prompt": "case 3?", "completion": "3!"}\n')
    run = carry_out(path, scripted({}, ()))
    assert run.verdict is Verdict.INVALID
    assert "train.jsonl:1472" in run.reason
