"""`tunegate gate --continue N`: more cases for a gate that could not tell, without breaking its risk."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.bank import Bank, write_jsonl
from tests.support.record_edits import VALUES, events_of, write
from tunegate.checks.outcome import Verdict
from tunegate.cli import main
from tunegate.exceptions import ConfigError, TunegateError
from tunegate.gates.gate_run import GateRequest, run_gate
from tunegate.models.model import ScriptedModel
from tunegate.progress import no_progress
from tunegate.record.read_run import read_run
from tunegate.record.recheck import recheck_all
from tunegate.suites.suite_file import load_suite
from tunegate.verdicts.reason import because, beyond_count
from tunegate.verdicts.words import sentence
from tunegate_suites import build_check

PLAN = "{kind: anytime, draw: 30, risk: {consumer: 0.05, at: 0.85, producer: 0.05, good: 0.95}}"


pytestmark = pytest.mark.usefixtures("project_ledger")


@pytest.fixture
def bank(make_bank: Callable[..., Bank]) -> Bank:
    return make_bank(200, plan=PLAN)


def answered(bank: Bank, every: int, name: str = "answers.jsonl") -> str:
    """Answers of which every so-manieth is wrong, evenly over the bank."""
    rows = [
        {"id": one, "response": "?" if number % every == 0 else f"answer {one}"} for number, one in enumerate(bank.ids)
    ]
    return str(write_jsonl(bank.folder / name, rows))


def gate(bank: Bank, capsys: pytest.CaptureFixture[str], answers: str, *more: str) -> dict[str, Any]:
    capsys.readouterr()
    code = main(["gate", "--responses", answers, "--suite", bank.suite, *more, "--json"])
    return {**json.loads(capsys.readouterr().out), "code": code}


def refused(bank: Bank, capsys: pytest.CaptureFixture[str], answers: str, *more: str) -> str:
    capsys.readouterr()
    assert main(["gate", "--responses", answers, "--suite", bank.suite, *more]) == 2
    return capsys.readouterr().err


def asked(result: dict[str, Any]) -> list[str]:
    return [case["id"] for case in result["cases"]]


def test_an_undecided_gate_is_continued_to_a_pass(bank: Bank, capsys: pytest.CaptureFixture[str]) -> None:
    answers = answered(bank, 20)
    first = gate(bank, capsys, answers)
    assert (first["verdict"], first["code"], first["drawn"], first["asked"]) == ("INCONCLUSIVE", 4, 30, 30)
    second = gate(bank, capsys, answers, "--continue", "100")
    assert (second["verdict"], second["code"], second["drawn"]) == ("PASS", 0, 130)
    assert second["record"] == first["record"]
    [look] = second["continued"]
    assert (look["verdict"], look["drawn"], look["passed"]) == ("INCONCLUSIVE", 30, first["passed"])
    assert set(asked(first)) < set(asked(second))
    assert main(["report", str(Path(first["record"]).parent), "--recheck"]) == 0


def test_it_can_be_continued_again_and_says_so(bank: Bank, capsys: pytest.CaptureFixture[str]) -> None:
    answers = answered(bank, 10)
    first = gate(bank, capsys, answers)
    second = gate(bank, capsys, answers, "--continue", "20")
    assert second["verdict"] == "INCONCLUSIVE"
    capsys.readouterr()
    main(["gate", "--responses", answers, "--suite", bank.suite, "--continue", "10", "--markdown", "m.md"])
    folder = Path(first["record"]).parent
    shown = capsys.readouterr().out
    for told in (shown, Path("m.md").read_text(), (folder / "report.html").read_text()):
        assert f"continued: INCONCLUSIVE with {first['passed']} of 30, then 20 cases were added" in told
        assert f"continued: INCONCLUSIVE with {second['passed']} of 50, then 10 cases were added" in told
    run = read_run(folder)
    [record] = run.gates.values()
    assert [look.drawn for look in record.looks] == [30, 50]
    assert record.drawn == 60 == len(set(record.questions))


def test_the_added_cases_are_fresh_over_the_ledger(bank: Bank, capsys: pytest.CaptureFixture[str]) -> None:
    first = gate(bank, capsys, answered(bank, 10))
    other = gate(bank, capsys, answered(bank, 9, "other.jsonl"), "--seed", "5")
    second = gate(bank, capsys, answered(bank, 10), "--continue", "20")
    assert not set(asked(second)) & set(asked(other))
    assert second["continued"][0]["ledger"]["entry"]
    third = gate(bank, capsys, answered(bank, 3, "third.jsonl"))
    assert not set(asked(third)) & {*asked(first), *asked(second), *asked(other)}
    assert third["ledger"]["before"] == 2  # a continuation is no attempt of its own


def test_the_same_try_cannot_be_continued_twice_with_other_cases(
    bank: Bank, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = answered(bank, 10)
    gate(bank, capsys, answers)
    second = gate(bank, capsys, answers, "--continue", "20")
    gate(bank, capsys, answers, "--run", "elsewhere")
    again = gate(bank, capsys, answers, "--run", "elsewhere", "--continue", "30")
    assert asked(again)[:50] == asked(second)
    assert again["drawn"] == 60


def test_a_gate_that_could_not_tell_says_how_to_go_on(bank: Bank, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gate", "--responses", answered(bank, 10), "--suite", bank.suite]) == 4
    told = capsys.readouterr().out
    assert "continue: the same command with `--continue N` adds N fresh cases" in told
    assert "more cases may decide it" in told


def test_a_bank_without_fresh_cases_leaves_the_verdict(bank: Bank, capsys: pytest.CaptureFixture[str]) -> None:
    answers = answered(bank, 10)
    gate(bank, capsys, answers)
    assert main(["gate", "--responses", answers, "--suite", bank.suite, "--continue", "500"]) == 4
    assert "add 330 cases to the bank" in capsys.readouterr().err
    assert gate(bank, capsys, answers, "--continue", "20")["drawn"] == 50


def test_an_interrupted_continuation_is_resumed(bank: Bank, capsys: pytest.CaptureFixture[str]) -> None:
    answers = answered(bank, 10)
    gate(bank, capsys, answers)
    whole = gate(bank, capsys, answers, "--continue", "20")
    record = Path(whole["record"])
    lines = record.read_bytes().splitlines(keepends=True)
    cut = next(number for number, line in enumerate(lines) if b'"gate_continued"' in line)
    record.write_bytes(b"".join(lines[: cut + 3]))
    assert "without --continue first" in refused(bank, capsys, answers, "--continue", "20")
    resumed = gate(bank, capsys, answers)
    assert (resumed["verdict"], asked(resumed)) == (whole["verdict"], asked(whole))


@pytest.mark.parametrize("plan", ["{draw: 30, accept: 29}", "{kind: sequential}", "{kind: double, draw: 60}"])
def test_other_plans_are_not_continued(
    make_bank: Callable[..., Bank], capsys: pytest.CaptureFixture[str], plan: str
) -> None:
    bank = make_bank(400, plan=plan)
    told = refused(bank, capsys, answered(bank, 10), "--continue", "20")
    assert "asking more cases after a look at the result breaks the risk of its plan" in told
    assert "set `plan: {kind: anytime}`" in told
    assert told.count("\n") == 1


def test_a_gate_that_is_decided_or_missing_is_not_continued(bank: Bank, capsys: pytest.CaptureFixture[str]) -> None:
    answers = answered(bank, 1000)
    assert "no gate is here to continue" in refused(bank, capsys, answers, "--continue", "20")
    assert not list(Path().glob("tunegate-runs/*"))
    assert gate(bank, capsys, answers)["verdict"] == "PASS"
    assert "the gate is PASS, so there is nothing to continue" in refused(bank, capsys, answers, "--continue", "20")
    assert "expected at least 1" in refused(bank, capsys, answers, "--continue", "0")


def test_a_model_without_a_fingerprint_is_not_continued(bank: Bank) -> None:
    suite = load_suite(Path(bank.suite), build_check)
    wrong = set(bank.ids[::10])
    model = ScriptedModel(lambda case: "?" if case.id in wrong else case.references[0], sha256=None, name="served")
    request = GateRequest(suite, suite.plan, 0, model, "served")
    assert run_gate(request, no_progress, {}).record.verdict is Verdict.INCONCLUSIVE
    with pytest.raises(ConfigError, match="served: it cannot be continued: served has no fingerprint"):
        run_gate(replace(request, more=20), no_progress, {})


def forged(folder: Path, copy: Path, edit: Callable[[list[dict[str, Any]]], None]) -> int:
    """Edit a copy of a record, with all hashes right again; returns the exit code of a recheck."""
    events = events_of(folder)
    edit(events)
    write(copy, events)
    return main(["report", str(copy), "--recheck"])


def test_a_recheck_accepts_only_what_the_plan_allows(bank: Bank, capsys: pytest.CaptureFixture[str]) -> None:
    answers = answered(bank, 10)
    gate(bank, capsys, answers)
    folder = Path(gate(bank, capsys, answers, "--continue", "20")["record"]).parent

    def another_first_look(events: list[dict[str, Any]]) -> None:
        next(one for one in events if one["event"] == "gate_decided")["passed"] += 1

    def case_asked_twice(events: list[dict[str, Any]]) -> None:
        added = next(one for one in events if one["event"] == "gate_continued")
        added["questions"][0] = next(one for one in events if one["event"] == "gate_started")["questions"][0]

    def after_a_pass(events: list[dict[str, Any]]) -> None:
        next(one for one in events if one["event"] == "gate_decided")["verdict"] = "PASS"

    for edit in (another_first_look, case_asked_twice, after_a_pass):
        assert forged(folder, Path(edit.__name__), edit) == 5, edit.__name__
    assert forged(folder, Path("unchanged"), lambda events: None) == 0


def test_no_value_in_a_continuation_breaks_the_reader(
    bank: Bank, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Whatever somebody writes there: the record is refused in one line, or the verdict follows from it."""
    answers = answered(bank, 10)
    gate(bank, capsys, answers)
    events = events_of(Path(gate(bank, capsys, answers, "--continue", "20")["record"]).parent)
    [place] = [number for number, event in enumerate(events) if event["event"] == "gate_continued"]
    for key in events[place]:
        for number, value in enumerate(value for value in VALUES[::3] if value != events[place][key]):
            folder = tmp_path / f"{key}-{number}"
            try:
                write(folder, [*events[:place], {**events[place], key: value}, *events[place + 1 :]])
                recheck_all(read_run(folder))
            except TunegateError:
                continue
            assert key in ("reused", "ledger", "attempt", "gate"), (key, value)


def test_a_fail_that_was_settled_early_gives_its_reason_once(bank: Bank, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["gate", "--responses", answered(bank, 1), "--suite", bank.suite]) == 1
    said = capsys.readouterr().out
    assert "missed, which settled it; at most 30 would have been asked (95 %" in said
    assert "reason:" not in said
    assert sentence(beyond_count([because("settled", missed=4, asked=9, drawn=60)])) == (
        "the misses so far settled it; at most 60 would have been asked"
    )
