"""Retention in a run: what the base model and earlier stages could do is asked again, and forgetting fails a stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.fake_pipeline import PIPELINE, carry_out, tools, write_pipeline
from tunegate.checks.outcome import Verdict
from tunegate.exceptions import ConfigError, Tampered
from tunegate.promotion.evidence import check_gates
from tunegate.record.event_log import EVENTS, EventLog, read_events
from tunegate.record.read_run import read_run
from tunegate.record.recheck import NotPromotable
from tunegate.record.record import RunRecord

PASS, FAIL = Verdict.PASS, Verdict.FAIL
GENERAL = "  general: {cases: cases.jsonl, checks: [exact], plan: {draw: 10, accept: 9}, retention: {max_drop: 10}}\n"
TEXT = PIPELINE.replace("stages:", GENERAL + "stages:").replace(
    "gates: [facts, style]", "gates: [facts, style, general]"
)


def retained(folder: Path, skills: Mapping[str, float], base: str = "0.0", text: str = TEXT) -> RunRecord:
    path = write_pipeline(folder, text, bank=60)
    (folder / "base" / "weights.txt").write_text(base)
    return carry_out(path, tools(skills))


def test_the_base_model_is_measured_first_and_every_stage_is_held_against_it(tmp_path: Path) -> None:
    run = retained(tmp_path, {"sft#1": 1.0, "align#1": 1.0}, base="1.0")
    assert run.verdict is PASS
    base = run.gates["general (baseline)"]
    assert (base.model_sha256, base.passed, base.verdict) == (run.start["model_sha256"], 10, PASS)
    kinds = [event["event"] for event in read_events(tmp_path / "run")]
    assert kinds.index("gate_decided") < kinds.index("attempt_started")
    for stage in ("sft", "align"):
        again = run.stages[stage].attempts[1].gates["general (retention)"]
        assert again.case_ids == tuple(outcome.case_id for outcome in base.outcomes)
        assert again.verdict is PASS
    assert "general" not in run.stages["sft"].attempts[1].gates  # no absolute gate: the base model is the measure


def test_a_stage_that_forgets_what_the_base_model_could_do_fails(tmp_path: Path) -> None:
    text = TEXT.replace("plan: {draw: 5, accept: 4}", "plan: {draw: 5, accept: 2}")
    run = retained(tmp_path, {"sft#1": 0.5, "sft#2": 0.5}, base="1.0", text=text)
    assert run.verdict is FAIL
    assert "general (retention): forgetting: " in run.reason
    diagnosis = run.stages["sft"].attempts[1].diagnosis
    assert diagnosis is not None
    assert diagnosis.cause == "forgetting"
    assert "general (retention)" in diagnosis.evidence[0]
    assert run.promotions == ()


def test_a_later_stage_must_not_unlearn_an_earlier_one(tmp_path: Path) -> None:
    """`align` passes its own gate, and loses what `sft` had been gated on."""
    text = PIPELINE.replace("    gates: [facts]\n", "    gates: [easy]\n    retrain: {max_attempts: 1}\n").replace(
        "stages:", "  easy: {cases: cases.jsonl, checks: [exact], plan: {draw: 5, accept: 1}}\nstages:"
    )
    run = retained(tmp_path, {"sft#1": 1.0, "align#1": 0.5}, text=text)
    assert run.stages["sft"].verdict is PASS
    align = run.stages["align"].attempts[1].gates
    assert align["easy"].verdict is PASS
    assert FAIL in (align["facts (retention)"].verdict, align["style (retention)"].verdict)
    assert run.verdict is FAIL


def test_a_run_that_is_resumed_asks_no_retention_case_twice(tmp_path: Path) -> None:
    run = retained(tmp_path, {"sft#1": 1.0, "align#1": 1.0}, base="1.0")
    again = carry_out(tmp_path / "tunegate.yaml", replace(tools(), open_model=lambda path: pytest.fail(path)))
    assert again.digest == run.digest


def test_retention_suites_alone_are_no_gate(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="only retention suites are listed"):
        retained(tmp_path, {}, text=TEXT.replace("[facts, style, general]", "[general]"))


def _rewrite(folder: Path, change: Any) -> RunRecord:
    events = [change(dict(event)) for event in read_events(folder / "run")]
    (folder / "run" / EVENTS).unlink()
    with EventLog.open(folder / "run") as log:
        log.append(*(event for event in events if event is not None))
    return read_run(folder / "run")


def is_retention(event: dict[str, Any]) -> bool:
    return event.get("purpose") == "retention" and event.get("gate") == "general" and event["stage"] == "align"


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        (lambda e: None if is_retention(e) else e, NotPromotable, "was not decided"),
        (
            lambda e: {**e, "against": None} if is_retention(e) and e["event"] == "gate_started" else e,
            Tampered,
            "its outcomes give INVALID",
        ),
        (
            lambda e: (
                {**e, "terms": {**e["terms"], "max_drop": 100.0}}
                if is_retention(e) and e["event"] == "gate_started"
                else e
            ),
            Tampered,
            "its suite or terms differ",
        ),
        (
            lambda e: (
                {**e, "against": {**e["against"], "gate": "facts", "stage": "sft", "attempt": 1, "purpose": "gate"}}
                if is_retention(e) and e["event"] == "gate_started"
                else e
            ),
            Tampered,
            "its outcomes give INVALID",
        ),
        (
            lambda e: (
                {**e, "model_sha256": "0" * 64}
                if e.get("purpose") == "baseline" and e["event"] == "gate_started"
                else e
            ),
            Tampered,
            "was not asked of the base model",
        ),
    ],
)
def test_promotion_holds_every_retention_draw_against_what_was_registered(
    tmp_path: Path, change: Any, error: type[Exception], match: str
) -> None:
    retained(tmp_path, {"sft#1": 1.0, "align#1": 1.0}, base="1.0")
    check_gates(read_run(tmp_path / "run"))
    with pytest.raises(error, match=match):
        check_gates(_rewrite(tmp_path, change))


def test_a_baseline_does_not_survive_a_change_of_what_it_measured(tmp_path: Path) -> None:
    """Nothing was trained yet, so the file may be mended; what was measured by the old one is measured again."""
    path = write_pipeline(tmp_path, TEXT, bank=60)
    (tmp_path / "base" / "weights.txt").write_text("1.0")

    def stop(job: Any) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        carry_out(path, replace(tools({}), train=stop))
    assert read_run(tmp_path / "run").gates["general (baseline)"].passed == 10
    events = [dict(event) for event in read_events(tmp_path / "run")]
    later = ("stage_started", "attempt_started", "rows_written", "fault")
    kept = [event for event in events if event["event"] not in later]
    (tmp_path / "run" / EVENTS).unlink()
    with EventLog.open(tmp_path / "run") as log:
        log.append(*kept)
    path.write_text(TEXT.replace("{max_drop: 10}", "{max_drop: 20}"))
    (tmp_path / "base" / "weights.txt").write_text("0.0")
    run = carry_out(path, tools({"sft#1": 1.0, "align#1": 1.0}))
    assert run.gates["general (baseline)"].passed == 0
    assert run.gates["general (baseline)"].model_sha256 == run.start["model_sha256"]
