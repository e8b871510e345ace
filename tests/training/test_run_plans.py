"""Runs under each kind of plan: what is drawn, what confirms, and what a promotion must show of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.fake_pipeline import PIPELINE, carry_out, load, open_model, tools, write_pipeline
from tunegate.checks.outcome import Verdict
from tunegate.exceptions import ConfigError, Tampered
from tunegate.promotion.evidence import check_gates
from tunegate.record.event_log import EVENTS, EventLog, read_events
from tunegate.record.read_run import read_run
from tunegate.record.recheck import NotPromotable, recheck_all
from tunegate.record.record import RunRecord
from tunegate.stats.anytime import AnytimePlan
from tunegate.stats.luck import LuckyPass, shown_rate
from tunegate.stats.plans import PlanRule
from tunegate.stats.sampling import SequentialPlan
from tunegate.verdicts.luck_words import in_words

PASS, FAIL, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE
ONE_STAGE = PIPELINE[: PIPELINE.index("  - name: align")] + "promote: {to: production, registry: registry}\n"


def planned(folder: Path, plan: str, skills: Mapping[str, float], bank: int = 200, text: str = ONE_STAGE) -> RunRecord:
    return carry_out(write_pipeline(folder, text.replace("{draw: 5, accept: 4}", plan), bank), tools(skills))


def keys(run: RunRecord, attempt: int) -> list[str]:
    return list(run.stages["sft"].attempts[attempt].gates)


def test_double_every_pass_is_confirmed_also_the_first(tmp_path: Path) -> None:
    run = planned(tmp_path, "{kind: double, draw: 20, accept: 17}, sealed: 0.6", {"sft#1": 1.0}, bank=400)
    assert run.verdict is PASS
    assert keys(run, 1) == ["facts", "style", "facts (confirm)", "style (confirm)"]
    confirm = run.stages["sft"].attempts[1].gates["facts (confirm)"]
    assert (confirm.part, confirm.verdict) == ("sealed", PASS)
    assert confirm.drawn == run.start["gates"]["sft"]["facts"]["confirm"]["plan"]["draw"]


def test_a_pass_that_is_not_confirmed_is_a_miss_and_leads_to_the_next_attempt(tmp_path: Path) -> None:
    """Right on every working case, wrong on every sealed one: a pass that was luck."""
    plan = "{kind: double, draw: 20, accept: 17}, sealed: 0.6"
    path = write_pipeline(tmp_path, ONE_STAGE.replace("{draw: 5, accept: 4}", plan), bank=500)
    sealed = {case.id for case in load(path).suites["facts"].bank.sealed}

    def lucky(model_path: str) -> Any:
        model = open_model(model_path)
        unlucky = sealed if "attempt-1" in model_path else set[str]()
        return replace(model, script=lambda case: "?" if case.id in unlucky else case.references[0])

    run = carry_out(path, replace(tools({"sft#1": 1.0, "sft#2": 1.0}), open_model=lucky))
    first = run.stages["sft"].attempts[1]
    assert (first.gates["facts"].verdict, first.gates["facts (confirm)"].verdict) == (PASS, FAIL)
    assert first.diagnosis is not None
    assert run.verdict is PASS
    again = run.stages["sft"].attempts[2].gates["facts (confirm)"]
    assert not again.seen & first.gates["facts (confirm)"].seen


def test_sequential_a_good_model_is_asked_less(tmp_path: Path) -> None:
    run = planned(tmp_path, "{kind: sequential}", {"sft#1": 1.0}, bank=300)
    gate = run.stages["sft"].attempts[1].gates["facts"]
    assert (run.verdict, gate.verdict) == (PASS, PASS)
    assert isinstance(gate.registered.plan, SequentialPlan)
    assert gate.asked < 60 < gate.drawn
    assert gate.spared == gate.drawn - gate.asked
    check_gates(read_run(tmp_path / "run"))


def test_anytime_stops_as_soon_as_it_can_and_a_promotion_takes_it(tmp_path: Path) -> None:
    run = planned(tmp_path, "{kind: anytime}", {"sft#1": 1.0}, bank=700)
    gate = run.stages["sft"].attempts[1].gates["facts"]
    assert (run.verdict, gate.verdict, gate.asked) == (PASS, PASS, 33)
    assert isinstance(gate.registered.plan, AnytimePlan)
    luck = run.stages["sft"].luck["facts"]
    assert isinstance(luck, LuckyPass)
    assert luck.within_limit <= 0.05
    check_gates(read_run(tmp_path / "run"))


def test_anytime_that_cannot_tell_ends_the_run_inconclusive(tmp_path: Path) -> None:
    run = planned(tmp_path, "{kind: anytime, draw: 40}", {"sft#1": 0.9, "sft#2": 0.9, "sft#3": 0.9}, bank=700)
    gate = run.stages["sft"].attempts[1].gates["facts"]
    assert gate.verdict is INCONCLUSIVE
    assert run.verdict is INCONCLUSIVE


def test_a_risk_solves_for_the_accept_number(tmp_path: Path) -> None:
    run = planned(tmp_path, "{risk: {at: 0.6, good: 0.95}}", {"sft#1": 1.0})
    assert run.verdict is PASS
    assert keys(run, 1) == ["facts", "style"]  # the risk of all attempts is in the number; nothing is owed
    luck = run.stages["sft"].luck["facts"]
    assert isinstance(luck, LuckyPass)
    assert luck.at == 0.6
    assert run.start["gates"]["sft"]["facts"]["first"]["plan"]["draw"] < 60


def test_reuse_goes_on_with_a_spent_bank_and_marks_it(tmp_path: Path) -> None:
    plan = "{draw: 12, accept: 11, confirm: never, curtail: false, reuse: true}"
    run = planned(tmp_path, plan, {"sft#2": 1.0}, bank=20)
    assert run.verdict is PASS
    first, second = (run.stages["sft"].attempts[number].gates["facts"] for number in (1, 2))
    assert (first.reused, second.reused) == (0, 4)
    assert len(set(first.case_ids) & set(second.case_ids)) == 4
    without = planned(tmp_path / "without", plan.replace(", reuse: true", ""), {"sft#2": 1.0}, bank=20)
    assert without.verdict is INCONCLUSIVE
    assert "add 4 cases" in without.reason


def test_the_chance_of_a_lucky_pass_is_on_record(tmp_path: Path) -> None:
    run = planned(tmp_path, "{draw: 5, accept: 4}", {"sft#2": 1.0})
    luck = run.stages["sft"].luck["facts"]
    assert isinstance(luck, LuckyPass)
    assert (luck.attempts, luck.limit) == (2, 3)
    assert luck.shows == pytest.approx(shown_rate(PlanRule(draw=5, accept=4).resolve(3), 2))
    assert "within 2 attempts with probability" in in_words(luck)


# --- what a promotion must show ------------------------------------------------------------------------------------


def rewritten(folder: Path, change: Any) -> RunRecord:
    events = [change(json.loads(json.dumps(event))) for event in read_events(folder / "run")]
    (folder / "run" / EVENTS).unlink()
    with EventLog.open(folder / "run") as log:
        log.append(*(event for event in events if event is not None))
    return read_run(folder / "run")


def _without_confirmation(event: dict[str, Any]) -> dict[str, Any] | None:
    return None if event.get("purpose") == "confirm" else event


def _from_the_working_part(event: dict[str, Any]) -> dict[str, Any]:
    return {**event, "part": "working"} if event.get("part") == "sealed" else event


def _never_confirmed(event: dict[str, Any]) -> dict[str, Any] | None:
    if event["event"] == "run_started":
        event["gates"]["sft"]["facts"]["confirms"] = "never"
    return _without_confirmation(event)


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        (_without_confirmation, NotPromotable, r"'facts \(confirm\)' of stage 'sft' was not decided"),
        (_never_confirmed, NotPromotable, r"'style \(confirm\)' of stage 'sft' was not decided"),
        (_from_the_working_part, Tampered, "its suite or terms differ"),
    ],
)
def test_a_pass_after_a_retry_needs_its_confirming_draws(
    tmp_path: Path, change: Any, error: type[Exception], match: str
) -> None:
    planned(tmp_path, "{draw: 5, accept: 4}", {"sft#2": 1.0})
    check_gates(read_run(tmp_path / "run"))
    with pytest.raises(error, match=match):
        check_gates(rewritten(tmp_path, change))


def test_a_case_that_an_earlier_attempt_was_asked_decides_nothing(tmp_path: Path) -> None:
    planned(tmp_path, "{draw: 5, accept: 4, curtail: false}", {"sft#2": 1.0})
    events = list(read_events(tmp_path / "run"))
    first, second = (
        next(
            event["case_ids"]
            for event in events
            if event["event"] == "gate_started" and event["gate"] == "facts" and event["attempt"] == attempt
        )
        for attempt in (1, 2)
    )
    renamed = dict(zip(second, first, strict=True))

    def again(event: dict[str, Any]) -> dict[str, Any]:
        if event.get("attempt") != 2 or event.get("gate") != "facts" or event.get("purpose") != "gate":
            return event
        if event["event"] == "gate_started":
            return {**event, "case_ids": first}
        if event["event"] == "answered":
            return {**event, "answers": [{**answer, "id": renamed[answer["id"]]} for answer in event["answers"]]}
        if event["event"] == "outcome":
            return {**event, "outcome": {**event["outcome"], "case_id": renamed[event["outcome"]["case_id"]]}}
        return event

    with pytest.raises(Tampered, match="was a different question in an earlier draw"):
        check_gates(rewritten(tmp_path, again))


# --- found by attack: a record that is continued, names that collide, reuse that nobody allowed --------------------


@pytest.mark.parametrize(
    ("kind", "match"),
    [
        ("gate_started", "a draw begins twice"),
        ("gate_decided", "a gate is decided twice"),
        ("outcome", "a case is judged after the verdict"),
        ("attempt_started", "an attempt begins twice"),
        ("stage_started", "a stage begins twice"),
        ("run_started", "started again"),
    ],
)
def test_nothing_that_was_decided_is_decided_again_by_appending(tmp_path: Path, kind: str, match: str) -> None:
    planned(tmp_path, "{draw: 5, accept: 4}", {})
    events = list(read_events(tmp_path / "run"))
    last = next(dict(event) for event in reversed(events) if event["event"] == kind)
    with EventLog.open(tmp_path / "run") as log:
        log.append({key: value for key, value in last.items() if key not in ("line_sha256", "previous_sha256")})
    with pytest.raises(Tampered, match=match):
        read_run(tmp_path / "run")


def test_a_failed_run_does_not_pass_because_a_line_says_so(tmp_path: Path) -> None:
    assert planned(tmp_path, "{draw: 5, accept: 4}", {}).verdict is FAIL
    with EventLog.open(tmp_path / "run") as log:
        log.append({"event": "run_decided", "verdict": "PASS", "reason": "so it is"})
    with pytest.raises(Tampered, match="the run passes, but not all of its stages passed"):
        read_run(tmp_path / "run")


def test_a_suite_cannot_take_the_name_of_anothers_confirming_draw(tmp_path: Path) -> None:
    text = ONE_STAGE.replace("  style: ", '  "facts (confirm)": ').replace(
        "[facts, style]", '[facts, "facts (confirm)"]'
    )
    with pytest.raises(ConfigError, match=r"suites\.facts \(confirm\)"):
        planned(tmp_path, "{draw: 5, accept: 4}", {}, text=text)


def test_reused_cases_are_believed_only_where_the_file_allows_them(tmp_path: Path) -> None:
    planned(tmp_path, "{draw: 5, accept: 4}", {"sft#2": 1.0})

    def reused(event: dict[str, Any]) -> dict[str, Any]:
        return {**event, "reused": 5} if event["event"] == "gate_started" else event

    with pytest.raises(Tampered, match="reuses cases, but the run did not register this"):
        check_gates(rewritten(tmp_path, reused))


def test_an_interrupted_second_judging_is_no_tampering(tmp_path: Path) -> None:
    """A gate that could not judge is gone on with, and stopped again: its record is honest."""
    planned(tmp_path, "{draw: 5, accept: 4}", {"sft#1": 1.0})
    events = [json.loads(json.dumps(event)) for event in read_events(tmp_path / "run")]
    first = next(i for i, event in enumerate(events) if event["event"] == "outcome")
    events[first]["outcome"] |= {
        "verdict": "INVALID",
        "findings": [{"check": "model", "verdict": "INVALID", "errors": []}],
    }
    decided = next(i for i, event in enumerate(events) if event["event"] == "gate_decided")
    counts = {"verdict": "INVALID", "passed": 4, "invalid": 1}
    events[decided] |= counts
    again = {**events[first], "outcome": {**events[first]["outcome"], "verdict": "PASS"}}
    again["outcome"]["findings"] = [{"check": "exact", "verdict": "PASS", "errors": []}]
    (tmp_path / "run" / EVENTS).unlink()
    with EventLog.open(tmp_path / "run") as log:
        log.append(*events[: decided + 1], again)
    gate = read_run(tmp_path / "run").all_gates()[0]
    assert not gate.decided
    assert recheck_all(read_run(tmp_path / "run")) == 0
