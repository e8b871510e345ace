"""What earlier models answered to a missed question, and the rows near it, as a page shows them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.bank import write_jsonl
from tests.support.fake_pipeline import carry_out, tools, write_pipeline
from tests.support.places import ROOT
from tests.training.test_shared_misses import PIPELINE
from tunegate.cases.case import Case
from tunegate.checks.outcome import Verdict
from tunegate.data.nearest import NearestRows
from tunegate.models.fingerprint import fingerprint
from tunegate.models.model import ScriptedModel
from tunegate_reports import write_html
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


GENES = ROOT / "suites" / "tunegate_suites" / "data" / "gene_expert"
ONE_ATTEMPT = PIPELINE.replace("max_attempts: 2, repair: [0, 0.3]", "max_attempts: 1").replace(
    "confirm: never", "confirm: never, curtail: false"
)


def as_rows(name: str, answer: str) -> list[dict[str, str]]:
    rows = map(json.loads, (GENES / name).read_text(encoding="utf-8").splitlines())
    return [
        {"id": row["id"], "prompt": f"{row['context']}\n\n{row['question']}", answer: row["answer"]} for row in rows
    ]


@pytest.mark.slow
def test_a_hundred_misses_of_the_demo_fit_half_a_megabyte(tmp_path: Path) -> None:
    """All rows of the demo, 100 of its cases, nearly all missed: the page stays below 500,000 bytes."""
    path = write_pipeline(tmp_path / "project", f"leakage: drop_from_train\n{ONE_ATTEMPT}")
    write_jsonl(path.parent / "cases.jsonl", as_rows("bank.jsonl", "reference"))
    write_jsonl(path.parent / "train.jsonl", as_rows("train.jsonl", "completion"))

    def answers(place: str) -> ScriptedModel:
        def answer(case: Case) -> str:
            return "?" if "gene" in case.id or "inherit" in case.id else case.references[0]

        return ScriptedModel(answer, name=place, sha256=fingerprint(Path(place)), block_size=8)

    run = carry_out(path, replace(tools({"sft#1": 0.5}), open_model=answers))
    gate = run.stages["sft"].attempts[1].gates["facts"]
    assert gate.asked == 100
    assert gate.failed > 70
    write_html(run, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert f"Training rows near the {gate.failed} missed cases of facts" in page
    assert f"and {gate.failed - 30} more" in page
    assert len(page.encode()) < 500_000
