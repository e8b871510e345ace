"""report.html as a file: its size, its escaping, its policy. What a browser makes of it is in test_reports_page.py."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import random
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.fake_run import HOSTILE, failed_run, gate_run, leaked_run, missing, outcomes, passing, pipeline_run
from tunegate.checks.outcome import ErrorSpan, Finding, Outcome, Verdict
from tunegate.exceptions import CannotJudge
from tunegate.record.record import GateRecord, RunRecord
from tunegate_reports import write_html
from tunegate_reports.html import island, render
from tunegate_reports.markup import Markup, join, tag
from tunegate_reports.view import view


def page(run: RunRecord) -> str:
    write_html(run, run.folder / "report.html")
    return (run.folder / "report.html").read_text(encoding="utf-8")


def data_of(html: str) -> Any:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def test_100_cases_stay_under_half_a_megabyte(tmp_path: Path) -> None:
    size = len(page(gate_run(tmp_path, ("facts", outcomes(89, 9, 2, seed=1)))).encode())
    assert size < 500_000, f"{size:,} bytes"


def test_nothing_in_the_page_is_fetched(tmp_path: Path) -> None:
    """No attribute names a place on a network, whatever the policy would do about it."""
    html = page(pipeline_run(tmp_path))
    outside = re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL)
    assert re.findall(r"[ <\"](?:src|srcset|action|data|poster)=", outside) == []
    assert set(re.findall(r'href="([^"#]*)', outside)) == {""}
    assert "http" not in outside.replace("http-equiv", "")
    assert "url(" not in outside.replace("url(#hatch)", "")


def test_the_policy_allows_this_style_and_this_script_alone(tmp_path: Path) -> None:
    html = page(gate_run(tmp_path, ("facts", outcomes(90, 10, 0, seed=1))))
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', html)
    assert policy is not None
    directives = policy[1].replace("&#x27;", "'")
    assert directives.startswith("default-src 'none'; ")
    assert "unsafe" not in directives
    for name in ("style", "script"):
        source = re.search(rf"<{name}>(.*?)</{name}>", html, re.DOTALL)
        assert source is not None
        digest = base64.b64encode(hashlib.sha256(source[1].encode()).digest()).decode()
        assert f"{name}-src 'sha256-{digest}'" in directives
    assert " style=" not in html.replace("</style>", "")


@pytest.mark.parametrize("make", [pipeline_run, failed_run, leaked_run])
def test_every_element_is_closed(tmp_path: Path, make: Any) -> None:
    Balanced().check(page(make(tmp_path)))


class Balanced(HTMLParser):
    """Fails on an element that is left open or closed twice, and on an id that stands twice."""

    def check(self, html: str) -> None:
        self.stack: list[str] = []
        self.ids: list[str] = []
        self.feed(html)
        assert self.stack == []
        assert len(self.ids) == len(set(self.ids))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value for name, value in attrs if name == "id" and value]
        if tag not in {"meta", "input", "link", "br"}:
            self.stack.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag


def test_every_case_is_complete_in_the_data(tmp_path: Path) -> None:
    run = pipeline_run(tmp_path, long=10_000)
    cases = data_of(page(run))["cases"]
    assert len(cases) == 500
    by_id = {case["id"]: case for case in cases}
    assert by_id["hostile-1"]["response"] == HOSTILE
    assert by_id["long-1"]["response"] == "word " * 2000
    recorded = [outcome for gate in run.all_gates() for outcome in gate.outcomes]
    assert [case["verdict"] for case in cases] == [str(outcome.verdict) for outcome in recorded]
    unjudged = next(case for case in cases if case["verdict"] == "INVALID")
    assert unjudged["findings"][1]["detail"].startswith("Traceback")


@given(st.text(st.characters(codec=None)))
def test_no_text_ends_the_data(text: str) -> None:
    """Any text comes back from the island as it went in, and holds nothing that an HTML reader would act on."""
    case = Outcome(
        "c", Verdict.FAIL, text, (Finding("m", Verdict.FAIL, text, detail=text),), text, text, (text,), (text,)
    )
    written = island(view(_run_of(case))).encode(errors="backslashreplace").decode()
    assert not set("<>&\u2028\u2029") & set(written)
    assert json.loads(written)["cases"][0].get("response", "") == text


def _run_of(*cases: Outcome) -> RunRecord:
    ids = tuple(case.case_id for case in cases)
    gate = GateRecord("g", None, None, "", None, 0, len(cases), 1, ids, outcomes=cases)
    return RunRecord(Path(), gates={"g": gate})


def test_spans_are_counted_as_the_browser_counts() -> None:
    """A character beyond U+FFFF is one place in Python and two in JavaScript."""
    response = "🧬🧬 inheritence"
    span = ErrorSpan("misspelling", 3, 14, "inheritence")
    case = Outcome("c", Verdict.FAIL, "", (Finding("errors", Verdict.FAIL, errors=(span,)),), "p", response)
    [[name, start, end]] = json.loads(island(view(_run_of(case))))["cases"][0]["findings"][0]["errors"]
    assert response.encode("utf-16-le")[2 * start : 2 * end].decode("utf-16-le") == "inheritence"
    assert name == "misspelling"


def test_hostile_names_are_text_everywhere(tmp_path: Path) -> None:
    """Not only answers: names of gates, categories, checks, tags and ids come from files and models too."""
    finding = Finding(HOSTILE, Verdict.FAIL, HOSTILE, HOSTILE, errors=(ErrorSpan(HOSTILE),))
    case = Outcome(HOSTILE, Verdict.FAIL, HOSTILE, (finding,), HOSTILE, HOSTILE, (HOSTILE,), (HOSTILE,), HOSTILE)
    html = page(gate_run(tmp_path, (HOSTILE, [case]), accept=1))
    Balanced().check(html)
    assert html.count("<script") == 2
    assert "<img" not in html
    assert "<!--" not in html
    assert "\u202e" not in re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL)


def test_a_lone_surrogate_does_not_stop_the_report(tmp_path: Path) -> None:
    run = _run_of(missing("c", random.Random(1), response="bad \ud800 half"))
    write_html(run, tmp_path / "r.html")
    case = data_of((tmp_path / "r.html").read_text(encoding="utf-8"))["cases"][0]
    assert case["response"] == "bad \ud800 half"


def test_an_empty_record_still_gives_a_page(tmp_path: Path) -> None:
    html = render(view(RunRecord(tmp_path)))
    assert "The run is not finished: nothing has been trained or asked so far." in html
    Balanced().check(html)


@pytest.mark.parametrize(("drawn", "columns"), [(1, 10), (100, 10), (250, 20), (2000, 50), (2501, 100)])
def test_grids_of_any_size(tmp_path: Path, drawn: int, columns: int) -> None:
    rng = random.Random(1)
    html = render(view(_run_of(*(passing(f"c{n}", rng) for n in range(drawn)))))
    assert html.count('href="#case-') == drawn
    assert f'class="grid wide-{columns}"' in html
    assert ("✓</a>" in html) == (columns <= 20), "a cell too small for a sign has none"


def test_the_accept_line_steps_where_the_row_is_not_full(tmp_path: Path) -> None:
    def marked(accept: int) -> tuple[list[int], list[int]]:
        html = page(gate_run(tmp_path / str(accept), ("facts", outcomes(90, 10, 0, seed=1)), accept=accept))
        cells = re.findall(r'<a href="#case-\d+" class="([^"]*)"', html)
        under, end = ([n for n, cell in enumerate(cells) if name in cell] for name in ("above-line", "line-end"))
        return under, end

    assert marked(90) == (list(range(80, 90)), [])
    assert marked(87) == (list(range(77, 87)), [86])


# --- writing -------------------------------------------------------------------------------------------------------


def test_a_report_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    run, target = (
        gate_run(tmp_path / "run", ("facts", outcomes(9, 1, 0, seed=1)), accept=9),
        tmp_path / "out/report.html",
    )
    write_html(run, target)
    before = target.read_bytes()
    write_html(run, target)
    assert target.read_bytes() == before, "the same record gives the same bytes"
    assert os.listdir(target.parent) == ["report.html"]
    assert target.stat().st_mode & 0o777 == 0o644


def test_a_report_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    run = gate_run(tmp_path / "run", ("facts", outcomes(9, 1, 0, seed=1)), accept=9)
    with pytest.raises(CannotJudge, match=r"file/report\.html: the report cannot be written: File exists"):
        write_html(run, tmp_path / "file" / "report.html")


# --- markup --------------------------------------------------------------------------------------------------------


def test_markup_is_escaped_by_construction() -> None:
    assert tag("p", "a < b", class_="x", hidden=True, open=False, aria_label='"') == (
        '<p class="x" hidden aria-label="&quot;">a &lt; b</p>'
    )
    assert tag("div", tag("br"), None, 3, Markup("<b>")) == "<div><br>3<b></div>"
    assert join(["&", "\u202e"]) == "&amp;[U+202E]"
    assert tag("line", x1=1.0, x2=0.125) == '<line x1="1" x2="0.12"></line>'
