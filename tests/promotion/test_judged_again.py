"""Evidence that can't be made up: a record is verified against its pipeline, and its answers are judged again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.fake_pipeline import PIPELINE, carry_out, load, tools, write_pipeline
from tests.support.record_edits import Events, events_of, write
from tunegate.checks.outcome import Verdict
from tunegate.cli import main
from tunegate.pipeline.record_check import check_record
from tunegate.record.event_log import EVENTS
from tunegate.record.read_run import read_run
from tunegate_suites import CHECKS
from tunegate_suites.build import find

UNPROMOTED = PIPELINE.partition("promote:")[0]


@pytest.fixture
def passed(tmp_path: Path) -> Path:
    """A pipeline file beside a run that passed and was not promoted."""
    path = write_pipeline(tmp_path / "project", UNPROMOTED)
    carry_out(path)
    return path


def test_a_true_record_is_held(passed: Path) -> None:
    assert check_record(read_run(passed.parent / "run"), load(passed)) == ()


def rewritten(path: Path, change: Callable[[Events], Events]) -> Path:
    """The run beside a pipeline file with its events changed, and its hashes made to fit."""
    folder = path.parent / "run"
    events = change(events_of(folder))
    (folder / EVENTS).unlink()
    write(folder, events)
    return folder


def answered_wrong(events: Events) -> Events:
    """The answers of the last stage say nothing; its outcomes stay as they were."""
    return [
        {**event, "answers": [{**one, "response": "?"} for one in event["answers"]]}
        if event["event"] == "answered" and event.get("stage") == "align"
        else event
        for event in events
    ]


def refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What `promote` says of a record; all three commands must end with TAMPERED, and promote nothing."""
    said: list[str] = []
    for command in (["promote", str(folder), "--to", "production"], ["verify", str(folder)]):
        assert main(command) == 5, command
        said.append(capsys.readouterr().err.partition(": ")[2])
    assert main(["report", str(folder), "--recheck"]) == 5
    assert not (folder.parent / "registry").exists()
    return said[0]


def test_verdicts_that_do_not_follow_from_the_answers_are_refused(
    passed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(rewritten(passed, answered_wrong), capsys)
    assert "exact finds FAIL in the answer on record, but the record says PASS" in said


def with_other_references(events: Events) -> Events:
    """The answers and the references say nothing, so that they agree."""
    found = json.loads(json.dumps(answered_wrong(events)))
    for event in found:
        if event["event"] == "outcome" and event.get("stage") == "align":
            event["outcome"]["references"] = ["?"]
    return found


def test_references_that_are_not_those_of_the_bank_are_refused(
    passed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "the record and the bank have different values of 'references'" in refused(
        rewritten(passed, with_other_references), capsys
    )


def test_a_forged_record_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The attack of 17 lines: one stage instead of two, no confirming draws, and outcomes without answers."""
    path = write_pipeline(tmp_path / "project", UNPROMOTED)
    assert carry_out(path, tools({})).verdict is Verdict.FAIL
    said = refused(rewritten(path, forged), capsys)
    assert "the registered value of 'stages' differs" in said


def forged(events: Events) -> Events:
    start = events[0]
    start |= {"stages": ["sft"], "roles": {"sft": "step"}, "gates": {"sft": start["gates"]["sft"]}}
    start |= {"retention": {"sft": {}}, "worth": {"sft": {}}}
    for gate in start["gates"]["sft"].values():
        gate["confirms"] = "never"
    return [start, *_all_passed(events[1:])]


def _all_passed(events: Events) -> Iterator[dict[str, Any]]:
    drawn: dict[str, Any] = {}
    for event in events:
        if event.get("attempt") not in (None, 1) or event["event"] in ("outcome", "answered", "diagnosed"):
            continue
        if event["event"] == "gate_started":
            drawn = event
        if event["event"] == "gate_decided":
            place = {key: drawn[key] for key in ("gate", "stage", "attempt", "purpose")}
            yield from ({"event": "outcome", **place, "outcome": _passed(drawn, one)} for one in drawn["case_ids"])
            n = drawn["drawn"]
            event |= {"verdict": "PASS", "passed": n, "failed": 0, "invalid": 0, "asked": n, "spared": 0, "reason": ""}
        if event["event"] in ("stage_decided", "run_decided"):
            event |= {"verdict": "PASS", "reason": "every gate of every stage passed"}
        yield event


def _passed(drawn: dict[str, Any], case_id: str) -> dict[str, Any]:
    findings = [{"check": check, "verdict": "PASS", "value": True, "errors": []} for check in drawn["checks"]]
    return {
        "case_id": case_id, "verdict": "PASS", "reason": "", "findings": findings, "prompt": "", "response": "wrong",
        "references": ["right"], "tags": [], "group": None, "finish_reason": "stop",
    }  # fmt: skip


def test_a_forgery_that_registers_what_the_pipeline_does_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_pipeline(tmp_path / "project", UNPROMOTED)
    run = carry_out(path, tools({"sft#1": 1.0}))  # only the last stage failed
    assert run.verdict is Verdict.FAIL

    def forged_end(events: Events) -> Events:
        began = next(n for n, event in enumerate(events) if event.get("stage") == "align")
        return [*events[:began], *_all_passed(events[began:])]

    said = refused(rewritten(path, forged_end), capsys)
    assert "the record and the bank have different values of" in said


def test_a_record_cut_at_any_line_promotes_nothing(passed: Path) -> None:
    folder = passed.parent / "run"
    lines = (folder / EVENTS).read_bytes().splitlines(keepends=True)
    assert json.loads(lines[-1])["event"] == "run_decided"
    for n in range(len(lines)):
        (folder / EVENTS).write_bytes(b"".join(lines[:n]))
        assert main(["promote", str(folder), "--to", "production"]) != 0, n
        assert main(["verify", str(folder)]) != 0, n
    assert not (passed.parent / "registry").exists()


def test_a_record_without_gates_is_refused(passed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def without_gates(events: Events) -> Events:
        gates = ("gate_started", "asking", "answered", "outcome", "gate_decided")
        start = {**events[0], "gates": {"sft": {}, "align": {}}, "suites": {}, "retention": {}, "worth": {}}
        stages = [{**event, "gates": []} if event["event"] == "stage_started" else event for event in events[1:]]
        return [start, *(event for event in stages if event["event"] not in gates)]

    assert "the registered value of 'suites' differs" in refused(rewritten(passed, without_gates), capsys)


def test_a_suite_that_changed_since_is_named(passed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cases = passed.parent / "cases.jsonl"
    cases.write_text(cases.read_text().replace("0!", "1!"))
    assert "a suite or its data has changed since the run began" in refused(passed.parent / "run", capsys)


def test_a_run_that_is_true_is_verified(passed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = passed.parent / "run"
    assert main(["verify", str(folder), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["verdict"], facts["believed"], facts["missing"]) == ("PASS", [], "")
    assert facts["answers"] == sum(len(gate.outcomes) for gate in read_run(folder).all_gates()) > 0
    (passed.parent / "cases.jsonl").rename(passed.parent / "gone.jsonl")
    assert main(["verify", str(folder)]) == 3
    passed.rename(passed.parent / "gone.yaml")
    assert main(["verify", str(folder)]) == 3
    assert "its pipeline file" in capsys.readouterr().err


def test_each_check_says_whether_it_needs_the_answer_alone() -> None:
    asks = {name for name in CHECKS if not find(name).reads_answer_alone}
    assert asks == {"perplexity", "similarity", "judge", "contrast", "evaluate", "ragas", "python", "imported"}
