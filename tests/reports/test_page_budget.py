"""Pages of 100 cases stay below half a megabyte, with everything on; the report can be read on a phone."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.support.full_report import EXPLAINED, full_run
from tests.support.report_page import Open, needs_chromium
from tests.support.reviewed import data_of
from tunegate.attribution.explained_file import read_explained
from tunegate.attribution.explanation import METHODS
from tunegate.checks.outcome import Verdict
from tunegate.cli import main
from tunegate.record.record import RunRecord
from tunegate_reports import write_html

pytest.importorskip("captum", reason="the extra attribution is not installed")
pytest.importorskip("datasketch", reason="the extra leakage is not installed")
pytest_plugins = ["tests.support.browser_fixtures"]
BUDGET = 500_000
SHOWN = (
    "What was tested, and what was not",
    "Personal data in answers",
    "Gap between the groups",
    "Pass rate by tag, 95 % intervals",
    "What they have in common",
    "Diversity of the answers",
    "Limits on serving",
    "Compared with the base model, case by case",
    "agrees with people",
    "Training rows near the 11 missed cases of facts",
    "Leaked tests:",
    "Most common answers",
    "To have people judge these answers",
    '"explained":{"words":',
)
"""What the page must show before its size means anything."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    return full_run(tmp_path_factory.mktemp("full") / "project")


def test_the_report_of_100_cases_with_everything_on_fits_its_budget(run: RunRecord, tmp_path: Path) -> None:
    assert run.verdict is Verdict.PASS
    explained = read_explained(run.folder, run.explained[0])
    assert len(explained) == EXPLAINED
    assert all({strip.method for strip in one.strips} | {"logit_lens"} == {*METHODS} for one in explained)
    write_html(run, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert [words for words in SHOWN if words not in page] == []
    assert page.count('"explained":{"words":') == EXPLAINED
    assert len(page.encode()) < BUDGET, f"{len(page.encode()):,} bytes"


def test_its_command_writes_the_page_for_people_which_fits_too(
    run: RunRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_html(run, tmp_path / "report.html")
    told = re.search(r"<code>tunegate (review .*?)</code>", (tmp_path / "report.html").read_text(encoding="utf-8"))
    assert told is not None
    monkeypatch.chdir(tmp_path)
    assert main(shlex.split(told[1])) == 0
    page = tmp_path / "review.html"
    assert len(data_of(page)["items"]) == 100
    assert page.stat().st_size < BUDGET


@needs_chromium
@pytest.mark.parametrize("width", [320, 1200])
def test_it_can_be_read_on_a_phone_and_on_a_desk(open_report: Open, run: RunRecord, width: int) -> None:
    page = open_report(run, viewport={"width": width, "height": 900})
    heading = page.locator("h1")
    assert (
        heading.inner_text().removeprefix("✓\n")
        == "everything was promoted to production: every gate of every stage passed."
    )
    assert heading.bounding_box()["y"] < 200
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true })")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    narrow = page.evaluate(
        """() => [...document.querySelectorAll('.leaks p, .panel-rule, .near li, .tested td')]
            .map((one) => [one.getBoundingClientRect().width, one.textContent.slice(0, 40)])
            .filter(([wide]) => wide < 150)"""
    )
    assert narrow == []
