"""Explanations on pages: the page of one case, and the missed cases of a report; read as people do, and kept small."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.explanations import made_explanation
from tests.support.fake_run import HOSTILE, gate_run, outcomes, pipeline_run
from tests.support.report_page import CONTRASTS, Open, needs_chromium, unfold
from tunegate.attribution.explained_file import write_explained
from tunegate.attribution.explanation import QUICK, Explanation, MethodFault
from tunegate.checks.outcome import Verdict
from tunegate.record.event_log import EventLog
from tunegate.record.read_run import read_run
from tunegate.record.record import RunRecord
from tunegate_reports import write_explanations
from tunegate_reports.explain_page import render
from tunegate_reports.explained import compact
from tunegate_reports.html import render as render_report
from tunegate_reports.strips import levels
from tunegate_reports.view import view

pytest_plugins = ["tests.support.browser_fixtures"]
BUDGET = 500_000


# --- the page of one case ------------------------------------------------------------------------------------------


@pytest.fixture
def open_case(browser: Any, tmp_path: Path) -> Iterator[Any]:
    """Opens the page of explanations from file://; it may ask for nothing else, log nothing and raise nothing."""
    told: list[str] = []
    asked: list[str] = []
    contexts: list[Any] = []

    def opened(*found: Explanation, **options: Any) -> Any:
        path = tmp_path / "case.html"
        write_explanations(found, path)
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: told.append(message.text))
        page.on("pageerror", lambda error: told.append(str(error)))
        page.goto(path.as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()
    assert told == []
    assert set(asked) == {(tmp_path / "case.html").as_uri()}


@needs_chromium
def test_words_come_first_then_tokens_then_strips(open_case: Any) -> None:
    page = open_case(made_explanation())
    text = page.locator("main").inner_text()
    said = "The answer and the reference first differ at token 2: “dominant” (p 0.71) instead of “recessive” (p 0.12)."
    assert said in text
    assert text.index(said) < text.index("first difference") < text.index("Feature ablation") < text.index("Layers and")
    assert page.locator("article h3").all_inner_texts() == [
        *("Feature ablation", "Shapley sampling", "LIME", "Integrated gradients", "Input x gradient"),
        "Attention rollout",
    ]


@needs_chromium
def test_colour_is_not_the_only_carrier(open_case: Any) -> None:
    """The five highest pieces are numbered and listed; levels differ in the width of a line, signs in its kind."""
    page = open_case(made_explanation())
    article = page.locator("article").first
    numbered = article.locator(".strip sup")
    assert numbered.count() == 5
    assert sorted(numbered.all_inner_texts()) == ["1", "2", "3", "4", "5"]
    highest = article.locator(".strip span", has=page.locator("sup", has_text=re.compile("^1$")))
    assert article.locator(".ranking li").first.inner_text().split('"')[0].strip("“”")[:6] in highest.inner_text()
    widths = {
        name: page.evaluate(f"getComputedStyle(document.querySelector('.strip .{name}')).borderBottomStyle")
        for name in ("s5", "n1")
    }
    assert widths == {"s5": "solid", "n1": "dashed"}


@needs_chromium
def test_the_page_is_walked_by_keyboard(open_case: Any) -> None:
    page = open_case(made_explanation())
    reached: list[str] = []
    for _ in range(12):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate("document.activeElement.getAttribute('aria-label') || document.activeElement.tagName")
        )
    assert "Prompt by feature ablation, models/expert" in reached
    assert "SUMMARY" in reached
    page.locator("summary").first.focus()
    page.keyboard.press("Enter")
    assert page.locator("details").first.evaluate("one => one.open")


@needs_chromium
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_marked_text_can_be_read(open_case: Any, scheme: str) -> None:
    page = open_case(made_explanation(), color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert page.evaluate(CONTRASTS) == []


@needs_chromium
def test_a_narrow_window_does_not_scroll_sideways(open_case: Any) -> None:
    page = open_case(made_explanation(layers=12, heads=12), viewport={"width": 320, "height": 600})
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_two_models_are_shown_strip_under_strip() -> None:
    page = render([made_explanation(model="tuned"), made_explanation(model="base", seed=1)])
    article = page[page.index("<article>") : page.index("</article>")]
    assert article.count('class="strip"') == 2
    assert article.index("The model that answered: tuned") < article.index("The other model: base")


def test_a_method_no_better_than_random_says_so() -> None:
    assert "NOT shown to be better than random" in render([made_explanation(good=False)])
    assert "NOT shown to be better than random" not in render([made_explanation()])


def test_several_groups_are_named_in_the_plural() -> None:
    """Of a prompt with more pieces than may be left out one by one, words are put together in groups."""
    one = made_explanation(prompt=" ".join(f"word{n}" for n in range(60)) + ".")
    assert one.strips[0].unit == "group of words"
    page = render([one])
    assert "without its 2 highest groups of words, the log-probability" in page
    assert "The answer depends most on the groups of words" in page
    assert "wordss" not in page


def test_a_method_without_a_result_is_named() -> None:
    page = render([made_explanation(faults=(MethodFault("lime", "out of memory"),))])
    assert "LIME gave no result: out of memory." in page


def test_nothing_of_a_prompt_becomes_markup() -> None:
    page = render([made_explanation(prompt=HOSTILE)])
    assert "<script" not in page
    assert "<img" not in page


def test_the_page_of_a_large_model_and_a_long_prompt_is_small() -> None:
    prompt = " ".join(f"word{n}" for n in range(2_000))
    page = render([made_explanation(prompt=prompt, layers=80, heads=64), made_explanation(prompt=prompt, layers=80)])
    assert len(page.encode()) < BUDGET


@pytest.mark.parametrize(
    ("weights", "expected"), [((2.0, -1.0, 0.1), [5, -2, 0]), ((0.0, 0.0), [0, 0]), ((), []), ((-3.0,), [-5])]
)
def test_levels(weights: tuple[float, ...], expected: list[int]) -> None:
    assert levels(weights) == expected


# --- the missed cases of a report ----------------------------------------------------------------------------------


def explained_run(folder: Path, *, count: int = 10, faults: dict[str, str] | None = None) -> RunRecord:
    """A run whose second attempt of `sft` has explanations of its missed cases."""
    run = pipeline_run(folder)
    gate = run.stages["sft"].attempts[1].gates["facts"]
    missed = [one.case_id for one in gate.outcomes if one.verdict is Verdict.FAIL][:count]
    found = [made_explanation(one, stage="sft", attempt=1, methods=QUICK) for one in missed]
    sha256 = write_explained(found, folder / "sft" / "explanations-1.json")
    event = {"event": "cases_explained", "stage": "sft", "attempt": 1, "file": "sft/explanations-1.json"}
    with EventLog.open(folder) as log:
        log.append({**event, "sha256": sha256, "cases": missed, "faults": faults or {}})
    return read_run(folder)


@needs_chromium
def test_a_missed_case_of_a_report_says_why(open_report: Open, tmp_path: Path) -> None:
    run = explained_run(tmp_path / "run")
    page = open_report(run)
    row = unfold(page, run.explained[0].cases[0])
    why = row.locator("details.explained")
    assert not why.evaluate("one => one.open")
    why.locator("summary").click()
    why.locator(".strip").first.wait_for()
    assert "first differ at token 2" in why.inner_text()
    assert why.locator(".strip").count() == 2
    assert why.locator(".strip").first.inner_text().replace("1", "").startswith("Wolfram")
    why.locator("summary").click()
    why.locator("summary").click()
    assert why.locator(".strip").count() == 2


def test_changed_explanations_are_not_shown(tmp_path: Path) -> None:
    run = explained_run(tmp_path / "run")
    path = tmp_path / "run" / "sft" / "explanations-1.json"
    path.write_text(path.read_text().replace("dominant", "recessive"))
    page = render_report(view(run))
    assert "its hash is not the one on record" in page
    assert "first differ at token 2" not in page


def test_a_case_that_could_not_be_explained_says_so(tmp_path: Path) -> None:
    run = explained_run(tmp_path / "run", count=1, faults={"long-1": "out of memory"})
    assert '"fault":"out of memory"' in render_report(view(run))


def test_the_report_stays_small_with_every_miss_explained(tmp_path: Path) -> None:
    """100 missed cases, each explained from a prompt of 150 words."""
    run = gate_run(tmp_path / "alone", ("facts", outcomes(0, 100, 0, seed=1)))
    without = len(render_report(view(run)).encode())
    prompt = " ".join(f"word{n}" for n in range(150))

    shown = [compact(made_explanation(f"c{n}", prompt, methods=QUICK)) for n in range(100)]
    assert without + len(json.dumps(shown, ensure_ascii=False, separators=(",", ":")).encode()) < BUDGET
