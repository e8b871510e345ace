"""The story of a pass in a real browser: it reads on any width, in any light, with a keyboard and without a mouse."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.fake_run import HOSTILE, gate_run
from tests.support.fake_story import story_run
from tests.support.report_page import CONTRASTS, Open, needs_chromium, status
from tunegate.checks.outcome import Finding, Outcome, Verdict
from tunegate.record.record import RunRecord
from tunegate.stats.sampling import SinglePlan
from tunegate.verdicts.slices import SliceRule
from tunegate.verdicts.terms import GapRule, Terms

pytest_plugins = ["tests.support.browser_fixtures"]
pytestmark = needs_chromium
UNFOLD_ALL = "document.querySelectorAll('details').forEach((one) => { one.open = true })"


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    return story_run(tmp_path_factory.mktemp("story") / "project")


def test_answer_waivers_and_luck_fit_the_first_screen(open_report: Open, story: RunRecord) -> None:
    page = open_report(story)
    tops = [page.locator(name).first.bounding_box()["y"] for name in ("h1", ".answer > .notice", ".luck", ".figures")]
    assert tops == sorted(tops)
    assert tops[-1] < 400


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_has_the_contrast_of_wcag_aa(open_report: Open, story: RunRecord, scheme: str) -> None:
    page = open_report(story, color_scheme=scheme)
    page.evaluate(UNFOLD_ALL)
    assert page.evaluate(CONTRASTS) == []


@pytest.mark.parametrize("width", [390, pytest.param(700, marks=pytest.mark.slow), 1280])
def test_no_width_scrolls_sideways(open_report: Open, story: RunRecord, width: int) -> None:
    page = open_report(story, viewport={"width": width, "height": 844})
    page.evaluate(UNFOLD_ALL)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_headings_and_names(open_report: Open, story: RunRecord) -> None:
    page = open_report(story)
    page.evaluate(UNFOLD_ALL)
    levels = page.locator("h1, h2, h3, h4, h5").evaluate_all("all => all.map((one) => +one.tagName[1])")
    assert all(after <= before + 1 for before, after in pairwise(levels)), levels
    nameless = "all => all.filter((one) => !(one.textContent.trim() || one.getAttribute('aria-label'))).length"
    assert page.locator("[role=img], summary, .sideways, .bars button").evaluate_all(nameless) == 0


def test_arrow_keys_stay_on_cases_that_were_asked(open_report: Open, story: RunRecord) -> None:
    page = open_report(story)
    grid = page.locator(".grid:has(.spared)").locator("visible=true").first
    grid.locator("a").first.focus()
    page.keyboard.press("End")
    assert page.evaluate("document.activeElement.nextElementSibling.className").startswith("spared")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.tagName") == "A"


def test_a_tag_shows_its_cases(open_report: Open, story: RunRecord) -> None:
    page = open_report(story)
    bar = page.locator(".gate[open] .bars li", has_text="task=gene").first
    cases = int(bar.locator(".number").inner_text().split()[2].rstrip(","))
    bar.locator("button").click()
    assert status(page).startswith(f"{cases} of ")


def test_hostile_tags_and_reasons_are_shown_not_run(open_report: Open, tmp_path: Path) -> None:
    cases = [
        Outcome(f"c{n}", verdict, HOSTILE, (Finding("judge", verdict),), "p", "r", tags=(HOSTILE, f"{HOSTILE}{n % 2}"))
        for n, verdict in enumerate([Verdict.PASS] * 40 + [Verdict.FAIL] * 10)
    ]
    terms = Terms(
        SinglePlan(50, 30),
        slices={HOSTILE: SliceRule(0.5)},
        gap=GapRule((f"{HOSTILE}0", f"{HOSTILE}1"), 50, 1),
        admissions={"judge": {"record_sha256": None, "fault": HOSTILE}},
    )
    page = open_report(gate_run(tmp_path / "run", (HOSTILE, cases), terms=terms, checks=("judge",)))
    page.evaluate(UNFOLD_ALL)
    assert page.locator(".bars button").count() == 3
    assert page.evaluate("window.pwned") is None
    assert page.locator("img, main script").count() == 0
