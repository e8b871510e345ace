"""report.html: the whole page as one file that loads nothing from elsewhere.

This module writes headings, charts and provenance. The page's script draws the table of cases from embedded JSON, row
by row as the reader scrolls, so that a page with thousands of cases opens at once.
"""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from string import Template
from typing import Any

from tunegate.checks.outcome import Finding, Outcome, Verdict
from tunegate.gates.people import NOBODY, PeopleRate
from tunegate.models.sentences import Embed
from tunegate.record.record import RunRecord
from tunegate_reports.data_section import data_section
from tunegate_reports.explained import explained_cases
from tunegate_reports.files import write_atomically
from tunegate_reports.first_screen import answer_section
from tunegate_reports.gate_view import CaseView
from tunegate_reports.markup import Markup, escape, tag
from tunegate_reports.page import asset, source_hash
from tunegate_reports.provenance import provenance_section
from tunegate_reports.stages import stages_section
from tunegate_reports.tested_section import tested_section
from tunegate_reports.view import View, view

SCRIPTS = ("text.js", "diff.js", "explained.js", "detail.js", "table.js", "page.js")
BREAKS_OUT = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"}


def write_html(
    run: RunRecord, path: Path, people: Mapping[int, PeopleRate] = NOBODY, embed: Embed | None = None
) -> None:
    """Write the report of a run to `path`, with rates by people's labels; raises CannotJudge when the disk is full."""
    write_atomically(path, render(replace(view(run, people), embed=embed)))


def render(shown: View) -> str:
    """The page. Its policy allows only this style sheet and script, by hash: nothing that a model wrote can run."""
    style, script = asset("style.css"), "".join(asset(name) for name in SCRIPTS)
    sources = f"style-src {source_hash(style)}; script-src {source_hash(script)}"
    policy = f"default-src 'none'; {sources}; base-uri 'none'; form-action 'none'"
    return Template(asset("page.html")).substitute(
        policy=escape(policy),
        title=escape(shown.answer.sentence),
        style=style,
        answer=answer_section(shown),
        tested=tested_section(shown) or Markup(""),
        stages=stages_section(shown) or Markup(""),
        cards=data_section(shown.run) or Markup(""),
        people=_people(shown) or Markup(""),
        provenance=provenance_section(shown),
        data=island(shown),
        script=script,
    )


def _people(shown: View) -> Markup | None:
    """The command that writes a page on which people judge the answers of the last gate that decided."""
    gates = [gate.record for gate in shown.deciding_gates if gate.record.purpose == "gate"]
    judged = [gate for gate in gates if any(outcome.response for outcome in gate.outcomes)]
    if not judged:
        return None
    last = judged[-1]
    place = f"{shown.run.folder}@{last.stage}" if last.stage else str(shown.run.folder)
    command = shlex.join(["tunegate", "review", place, "--gate", last.key, "--out", "review.html"])
    return tag(
        "p", "To have people judge these answers without the verdicts: ", tag("code", command), class_="quiet people"
    )


def island(shown: View) -> str:
    """The cases as JSON that is safe inside a script element: no character in it can close the element."""
    explained = explained_cases(shown.run)

    def why(case: CaseView) -> dict[str, Any]:
        gate = shown.gates[case.gate].record
        found = explained.get((gate.stage, gate.attempt, gate.key, case.outcome.case_id))
        return {} if found is None or case.outcome.verdict is Verdict.PASS else {"explained": found}

    data = {
        "gates": [gate.label for gate in shown.gates],
        "cases": [{"gate": case.gate, **_case(case.outcome), **why(case)} for case in shown.cases],
    }
    return json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":")).translate(BREAKS_OUT)


def _case(outcome: Outcome) -> dict[str, Any]:
    prompt = outcome.prompt
    messages = [{"role": "prompt", "content": prompt}] if isinstance(prompt, str) else list(prompt)
    return _without_empty(
        id=outcome.case_id,
        verdict=outcome.verdict,
        reason=outcome.reason,
        prompt=[[message["role"], message["content"]] for message in messages if message["content"]],
        response=outcome.response,
        judged=outcome.judged,
        references=outcome.references,
        tags=outcome.tags,
        group=outcome.group,
        finish="" if outcome.finish_reason == "unknown" else outcome.finish_reason,
        findings=[_finding(finding, outcome.response) for finding in outcome.findings],
        samples=[[sample.verdict, sample.response, sample.reason] for sample in outcome.samples],
    )


def _finding(finding: Finding, response: str) -> dict[str, Any]:
    value = finding.value
    return {
        "check": finding.check,
        "verdict": finding.verdict,
        "value": str(value) if isinstance(value, float) and not math.isfinite(value) else value,
        **_without_empty(
            reason=finding.reason,
            version=finding.version,
            cutoff=None if finding.cutoff is None else repr(finding.cutoff),
            detail=finding.detail,
            errors=[
                [error.category, _utf16(response, error.start), _utf16(response, error.end)] for error in finding.errors
            ],
        ),
    }


def _without_empty(**values: Any) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None and value not in ("", [], ())}


def _utf16(text: str, index: int) -> int:
    """The index of a character as JavaScript counts: characters above U+FFFF count twice."""
    return index + sum(sign > "\uffff" for sign in text[:index])
