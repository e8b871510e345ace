"""What earlier models answered to a missed question, and the rows near it, as a page shows them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.support.fake_pipeline import carry_out, write_pipeline
from tunegate.checks.outcome import Verdict
from tunegate.data.nearest import NearestRows
from tunegate_reports.near_rows import before_of, near_rows, near_section, rows_of
from tunegate_reports.view import view


def test_the_answer_from_before_the_stage_is_told(tmp_path: Path) -> None:
    run = carry_out(write_pipeline(tmp_path / "project"))
    first, last = run.stages["sft"].attempts.values()
    before = before_of(run, "align", 1)
    asked = {question for gate in last.gates.values() for question in gate.questions}
    compared = {question for gate in run.stages["align"].attempts[1].references.values() for question in gate.questions}
    assert compared
    assert before.keys() == asked | compared
    told = {question: (one.who, one.verdict) for question, one in before.items()}
    assert {told[question] for question in asked} == {("sft", Verdict.PASS)}
    assert {told[question] for question in compared} == {("the earlier model", Verdict.PASS)}
    assert before_of(run, "sft", 2) == {}  # an earlier attempt is not from before the stage

    gate = first.gates["facts"]
    known = dict(zip(gate.questions, (before[question] for question in sorted(asked)), strict=False))
    rows = rows_of(run, "sft", first)
    assert [row.answer for row in rows] == [f"{row.prompt.split()[1].rstrip('?')}!" for row in rows]
    found = near_rows(gate, NearestRows([row.prompt for row in rows]), known)
    assert [miss.outcome.case_id for miss in found.misses] == sorted(o.case_id for o in gate.outcomes if o.reason)
    assert all(miss.before is not None and miss.before.who == "sft" for miss in found.misses)
    assert found.in_words == "there are no passed cases to compare the missed ones with"


def test_an_attempt_without_misses_or_without_rows_shows_nothing(tmp_path: Path) -> None:
    run = carry_out(write_pipeline(tmp_path / "project"))
    first, last = view(run).stages[0].attempts
    assert "missed cases of facts" in near_section(run, first.record, first.gates, {})
    assert near_section(run, last.record, last.gates, {}) == ""
    gone = replace(first.record, data_sha256="0" * 64)
    assert near_section(run, gone, first.gates, {}) == ""
