"""Retention in a run: every attempt and an earlier model are asked the same fresh cases, and forgetting fails it."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from tests.support import fake_pipeline
from tests.support.bank import write_jsonl
from tests.support.fake_pipeline import PIPELINE, carry_out, tools, write_pipeline
from tunegate.checks.outcome import Verdict
from tunegate.exceptions import ConfigError, Tampered
from tunegate.gates.recorded_answers import read_side
from tunegate.models.model import ScriptedModel
from tunegate.promotion.evidence import check_gates
from tunegate.record.event_log import EVENTS, EventLog, read_events
from tunegate.record.read_run import read_run
from tunegate.record.recheck import NotPromotable
from tunegate.record.record import RunRecord
from tunegate_reports.html import render
from tunegate_reports.view import view

PASS, FAIL = Verdict.PASS, Verdict.FAIL
GENERAL = "  general: {cases: cases.jsonl, checks: [exact], plan: {draw: 10, accept: 9}, retention: {max_drop: 10}}\n"
TEXT = PIPELINE.replace("stages:", GENERAL + "stages:").replace(
    "gates: [facts, style]", "gates: [facts, style, general]"
)


EASY = "  easy: {cases: easy.jsonl, checks: [exact], plan: {draw: 5, accept: 1, confirm: never}}\n"
EASY_AT_LAST = PIPELINE.replace(
    "    gates: [facts]\n", "    gates: [easy]\n    retrain: {max_attempts: 3, learning_rate: [1.0e-3, 5.0e-4]}\n"
).replace("stages:", EASY + "stages:")
FEW = "{cases: few.jsonl, sealed: 0, checks: [exact], plan: {draw: 10"
SFTS_OWN = {"gate": "facts", "stage": "sft", "attempt": 1, "purpose": "gate"}


def retained(
    folder: Path, skills: Mapping[str, float], base: str = "0.0", text: str = TEXT, bank: int = 60
) -> RunRecord:
    path = write_pipeline(folder, text, bank=bank)
    write_jsonl(folder / "easy.jsonl", [{"id": f"e{i}", "prompt": f"e {i}?", "reference": f"{i}!"} for i in range(40)])
    (folder / "base" / "weights.txt").write_text(base)
    return carry_out(path, tools(skills))


def test_every_attempt_asks_both_models_the_same_fresh_cases(tmp_path: Path) -> None:
    run = retained(tmp_path, {"sft#1": 1.0, "align#1": 1.0}, base="1.0")
    assert run.verdict is PASS
    base, sft = run.start["model_sha256"], run.stages["sft"].attempts[1].model_sha256
    asked: list[str] = []
    for stage in ("sft", "align"):
        attempt = run.stages[stage].attempts[1]
        before, again = attempt.references["general (reference)"], attempt.gates["general (retention)"]
        assert (before.model_sha256, before.passed, before.measured) == (base, 10, True)
        assert (again.model_sha256, again.verdict) == (attempt.model_sha256, PASS)
        assert before.case_ids == again.case_ids
        asked += again.case_ids
    assert len(set(asked)) == 20  # the second stage's are others
    assert run.stages["align"].attempts[1].references["facts (reference)"].model_sha256 == sft
    assert "general" not in run.stages["sft"].attempts[1].gates  # no absolute gate: the base model is the measure
    assert run.gates == {}  # nothing is asked before it is needed


def test_no_comparison_asks_a_case_that_chose_one_of_its_models(tmp_path: Path) -> None:
    run = retained(tmp_path, {"sft#2": 1.0, "align#1": 0.5, "align#2": 1.0}, text=EASY_AT_LAST, bank=90)
    assert run.verdict is PASS
    align, sft = run.stages["align"].attempts, run.stages["sft"].attempts
    assert len(align) == 2  # a comparison failed, and the next attempt was compared on cases of its own
    earlier: set[str] = set()
    for attempt in align.values():
        pair = attempt.gates["facts (retention)"]
        assert not pair.seen & sft[2].gates["facts"].seen
        assert not pair.seen & earlier
        assert pair.reused == 0
        earlier |= pair.seen


def test_two_models_are_never_loaded_at_once(tmp_path: Path) -> None:
    alive: weakref.WeakSet[Any] = weakref.WeakSet()
    opened: list[str] = []

    class Loaded(ScriptedModel):
        """A model whose life can be watched."""

    def opening(path: str) -> Any:
        gc.collect()
        assert not list(alive), "the model before is still loaded"
        model = fake_pipeline.open_model(path)
        loaded = Loaded(**{one.name: getattr(model, one.name) for one in fields(model)})
        alive.add(loaded)
        opened.append("/".join(Path(path).parts[-3:-1]) if Path(path).name == "model" else Path(path).name)
        return loaded

    path = write_pipeline(tmp_path, TEXT, bank=60)
    run = carry_out(path, replace(tools({"sft#1": 1.0, "align#1": 1.0}), open_model=opening))
    assert run.verdict is PASS
    assert opened == [
        *("sft/attempt-1", "base", "sft/attempt-1"),  # its gates, the reference, its retention
        *("align/attempt-1", "base", "sft/attempt-1", "align/attempt-1"),
    ]


def few(folder: Path, rule: str) -> RunRecord:
    """Fifteen cases: ten for the first stage's comparison, so that the second one needs five that were asked before."""
    text = TEXT.replace("{cases: cases.jsonl, checks: [exact], plan: {draw: 10", FEW)
    path = write_pipeline(folder, text.replace("retention: {max_drop: 10", "retention: {max_drop: 10" + rule), bank=60)
    rows = [{"id": f"f{i}", "prompt": f"few {i}?", "reference": f"{i}!"} for i in range(15)]
    write_jsonl(folder / "few.jsonl", rows)
    return carry_out(path, tools({"sft#1": 1.0, "align#1": 1.0}))


def test_no_case_is_asked_again_unless_the_suite_allows_it(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError,
        match="too few fresh cases are left for the comparison on 'general' at the first attempt of 'align'",
    ):
        few(tmp_path, "")


def test_cases_of_earlier_comparisons_are_asked_again_last_and_marked(tmp_path: Path) -> None:
    run = few(tmp_path, ", reuse: true")
    assert run.verdict is PASS
    reused = [run.stages[stage].attempts[1].gates["general (retention)"].reused for stage in ("sft", "align")]
    assert reused == [0, 5]
    assert "5: no fresh cases were left" in render(view(run))
    check_gates(run)
    forged = _rewrite(tmp_path, lambda e: {**e, "reused": 0} if e["event"] == "gate_started" else e)
    with pytest.raises(Tampered, match="more of its cases were asked before than it says"):
        check_gates(forged)


def test_a_record_that_asks_cases_again_without_leave_is_refused(tmp_path: Path) -> None:
    few(tmp_path, ", reuse: true")
    forged = _rewrite(tmp_path, lambda e: _without_leave(e) if e["event"] == "run_started" else e)
    with pytest.raises(Tampered, match="asked cases that were asked before"):
        check_gates(forged)


def _without_leave(event: dict[str, Any]) -> dict[str, Any]:
    stages = event["retention"]
    kept = {stage: {gate: {**one, "again": False} for gate, one in gates.items()} for stage, gates in stages.items()}
    return {**event, "retention": kept}


def test_a_comparison_asks_the_cases_of_the_attempts_own_gate(tmp_path: Path) -> None:
    """The new model must pass both, so neither is easier for it; the earlier model was not chosen by these cases."""
    run = carry_out(write_pipeline(tmp_path, bank=20))
    assert run.verdict is PASS
    sft, align = run.stages["sft"].attempts[2], run.stages["align"].attempts[1]
    pair = align.gates["facts (retention)"]
    assert set(pair.case_ids) == set(align.gates["facts"].case_ids)
    assert not set(pair.questions) & sft.gates["facts"].asked_questions
    assert pair.reused == 0


def test_a_stage_that_forgets_what_the_base_model_could_do_fails(tmp_path: Path) -> None:
    text = TEXT.replace("plan: {draw: 5, accept: 4}", "plan: {draw: 5, accept: 1}")
    run = retained(tmp_path, {"sft#1": 0.2, "sft#2": 0.2}, base="1.0", text=text)
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


def is_reference(event: dict[str, Any], gate: str) -> bool:
    begins = event["event"] == "gate_started" and event["stage"] == "align"
    return begins and event["purpose"] == "reference" and event["gate"] == gate


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
            "its outcomes give another reason: .* 100 allowed",
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
            lambda e: {**e, "model_sha256": "0" * 64} if is_reference(e, "general") else e,
            Tampered,
            "was not asked of the base model",
        ),
        (
            lambda e: {**e, "model_sha256": "0" * 64} if is_reference(e, "style") else e,
            Tampered,
            "was not asked of the model of stage 'sft'",
        ),
        (
            lambda e: (
                {**e, "terms": {**e["terms"], "kept": {**e["terms"]["kept"], "net_loss": 9}}}
                if is_retention(e) and e["event"] == "gate_started"
                else e
            ),
            Tampered,
            "its suite or terms differ",
        ),
        (
            lambda e: {**e, "against": SFTS_OWN} if is_retention(e) and e["event"] == "gate_started" else e,
            Tampered,
            "its outcomes give INVALID",
        ),
        (
            lambda e: {**e, "seed": 7} if is_reference(e, "general") else e,
            Tampered,
            "the earlier model was asked something else",
        ),
        (
            lambda e: {**e, "dtype": "float16", "settings": {}} if is_reference(e, "general") else e,
            Tampered,
            "the earlier model was asked something else",
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


def test_a_reference_that_nothing_registered_is_tampering(tmp_path: Path) -> None:
    retained(tmp_path, {"sft#1": 1.0, "align#1": 1.0}, base="1.0")

    def unregistered(event: dict[str, Any]) -> dict[str, Any]:
        return {**event, "retention": {"sft": {}, "align": {}}} if event["event"] == "run_started" else event

    with pytest.raises(Tampered, match="registered no comparison"):
        check_gates(_rewrite(tmp_path, unregistered))


def test_a_comparison_on_cases_that_chose_a_model_is_tampering(tmp_path: Path) -> None:
    """The cases of the comparison get the names of those with which `sft` had passed."""
    run = retained(tmp_path, {"sft#1": 1.0, "align#1": 1.0}, base="1.0")
    attempt = run.stages["align"].attempts[1]
    pair, chose = attempt.gates["facts (retention)"].case_ids, run.stages["sft"].attempts[1].gates["facts"].case_ids
    names = dict(zip(pair, chose, strict=True))

    def swapped(event: dict[str, Any]) -> dict[str, Any]:
        paired = event.get("stage") == "align" and event.get("purpose") in ("reference", "retention")
        if not paired or event["gate"] != "facts":
            return event
        match event["event"]:
            case "gate_started":
                return {**event, "case_ids": [names[one] for one in event["case_ids"]]}
            case "answered":
                return {**event, "answers": [{**one, "id": names[one["id"]]} for one in event["answers"]]}
            case "outcome":
                return {**event, "outcome": {**event["outcome"], "case_id": names[event["outcome"]["case_id"]]}}
            case _:
                return event

    with pytest.raises(Tampered, match="was a different question in an earlier draw"):
        check_gates(_rewrite(tmp_path, swapped))


def test_the_base_models_answers_can_be_compared_with(tmp_path: Path) -> None:
    retained(tmp_path, {"sft#1": 1.0, "align#1": 1.0}, base="1.0")
    folder = str(tmp_path / "run")
    side = read_side(f"{folder}@base", tmp_path, lambda spec: None)
    [suite] = side.suites.values()
    assert (suite.gate, len(suite.outcomes)) == ("general", 20)
    final = read_side(folder, tmp_path, lambda spec: None)
    assert final.model_sha256 == read_run(tmp_path / "run").stages["align"].attempts[1].model_sha256
    assert {one.gate for one in final.suites.values()} == {"facts", "general"}  # `style` is the same suite as `facts`
