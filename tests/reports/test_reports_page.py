"""What a real browser makes of report.html: headless Chromium driven by playwright; skipped where one is missing."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.fake_run import HOSTILE, gate_run, large_run, outcomes, pipeline_run
from tests.support.report_page import CONTRASTS, Open, needs_chromium, rows, status, unfold
from tunegate.checks.outcome import ErrorSpan, Finding, Outcome, Verdict, of_samples
from tunegate.record.record import RunRecord

pytest_plugins = ["tests.support.browser_fixtures"]
pytestmark = needs_chromium


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    return pipeline_run(tmp_path_factory.mktemp("pipeline"), long=10_000)


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    return gate_run(tmp_path_factory.mktemp("gate"), ("facts", outcomes(89, 9, 2, seed=1)))


# --- reading -------------------------------------------------------------------------------------------------------


def test_the_answer_stands_above_the_fold(open_report: Open, pipeline: RunRecord) -> None:
    page = open_report(pipeline)
    heading = page.locator("h1")
    assert heading.inner_text().endswith("gene-expert was promoted to production: every stage passed its gates.")
    assert heading.bounding_box()["y"] < 200
    stops = page.locator(".line .stop").all_inner_texts()
    assert len(stops) == 5
    assert "underfit" in stops[1]
    assert "num_train_epochs" in stops[2]


def test_a_miss_is_explained_before_its_evidence(open_report: Open, pipeline: RunRecord) -> None:
    """People look for the diagnosis: it stands above the gates it explains, and the loss curves come last."""
    page = open_report(pipeline)
    stage = page.locator(".stage").first
    diagnosis, gate_, losses = (
        stage.locator(name).first.bounding_box()["y"] for name in (".diagnosis", ".gate", ".losses")
    )
    last_gate = stage.locator(".gate").last.bounding_box()["y"]
    assert diagnosis < gate_ < last_gate < losses


def test_a_stage_that_is_called_as_its_method_says_so_once(open_report: Open, pipeline: RunRecord) -> None:
    page = open_report(pipeline)
    assert page.locator(".stage h3").all_inner_texts() == ["sft", "align dpo"]


@pytest.mark.parametrize("width", [390, 1280])
def test_names_of_error_categories_are_whole(open_report: Open, tmp_path: Path, width: int) -> None:
    names = ("unsupported_entity", "a_category_with_a_name_that_is_far_too_long_for_any_one_line")
    finding = Finding("errors", Verdict.FAIL, errors=tuple(map(ErrorSpan, names)))
    case = Outcome("c", Verdict.FAIL, "", (finding,), "p", "r")
    run = gate_run(tmp_path / "run", ("facts", [case]), accept=1, max_errors=dict.fromkeys(names, 3))
    page = open_report(run, viewport={"width": width, "height": 800})
    cut = "all => all.filter(one => one.scrollWidth > one.clientWidth).map(one => one.textContent)"
    assert page.locator(".bars button").evaluate_all(cut) == []
    lefts = page.locator(".bars svg").evaluate_all("all => all.map(one => one.getBoundingClientRect().left)")
    assert len(set(lefts)) == 1, "bars begin in one line, or they could not be compared"
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_grid_shows_every_case_and_its_verdict(open_report: Open, gate: RunRecord) -> None:
    page = open_report(gate)
    grid = page.locator(".grid")
    assert [grid.locator(f"a.{verdict}").count() for verdict in ("PASS", "FAIL", "INVALID")] == [89, 9, 2]
    assert {
        verdict: set(grid.locator(f"a.{verdict}").all_inner_texts()) for verdict in ("PASS", "FAIL", "INVALID")
    } == {
        "PASS": {"✓"},
        "FAIL": {"×"},
        "INVALID": {"?"},
    }
    assert grid.evaluate("grid => getComputedStyle(grid).gridTemplateColumns.split(' ').length") == 10
    assert "89 passed, 9 missed, 2 not judged" in grid.get_attribute("aria-label")


def test_failures_come_first_and_ten_cases_fit_a_screen(open_report: Open, gate: RunRecord) -> None:
    page = open_report(gate)
    verdicts = rows(page).locator(".badge").all_inner_texts()
    assert [verdict[1:].strip() for verdict in verdicts[:12]] == ["missed"] * 9 + ["not judged"] * 2 + ["passed"]
    page.locator("#cases").evaluate("section => section.scrollIntoView()")
    visible = "all => all.filter(row => row.getBoundingClientRect().bottom <= innerHeight).length"
    assert rows(page).evaluate_all(visible) >= 10


def test_hovering_a_cell_tells_its_case(open_report: Open, gate: RunRecord) -> None:
    page = open_report(gate)
    page.locator(".grid a.FAIL").first.hover()
    tip = page.locator("#tip")
    assert tip.is_visible()
    assert "missed" in tip.inner_text()
    assert "exact: is not" in tip.inner_text()


def test_clicking_a_cell_goes_to_its_case(open_report: Open, gate: RunRecord) -> None:
    page = open_report(gate)
    page.locator("select[name=category]").select_option("repetition")  # a filter that hides the case is lifted
    cell = page.locator(".grid a.PASS").last
    name = cell.get_attribute("aria-label").partition(":")[0]
    cell.click()
    unfolded = page.locator("tr.case:has(button[aria-expanded=true])")
    assert unfolded.locator("button").inner_text() == name
    assert page.evaluate("document.activeElement.textContent") == name
    unfolded.locator("button").click()
    assert page.locator("tr.unfolded").count() == 0
    cell.click()  # the address is the same as before, and it goes there again
    page.locator("tr.unfolded").wait_for()


def test_a_case_can_be_linked_to(open_report: Open, pipeline: RunRecord) -> None:
    page = open_report(pipeline, fragment="#case-499")
    assert page.locator("tr.unfolded").count() == 1
    assert page.locator("button[aria-expanded=true]").get_attribute("id") == "case-499"


# --- finding -------------------------------------------------------------------------------------------------------


def test_filters_and_search_narrow_the_cases(open_report: Open, pipeline: RunRecord) -> None:
    page = open_report(pipeline)
    assert status(page) == "500 of 500 cases"
    page.locator(".verdicts label", has_text="not judged").click()
    assert status(page) == "3 of 500 cases"
    page.locator(".clear").click()
    page.locator("select[name=gate]").select_option("sft, attempt 2, facts")
    assert status(page) == "100 of 500 cases"
    page.locator(".verdicts label", has_text="missed").click()
    assert status(page) == "3 of 500 cases"
    page.locator(".clear").click()
    page.locator("input[type=search]").fill("HOSTILE-1 reversed")
    assert status(page) == "1 of 500 cases"
    page.locator("input[type=search]").fill("no such words anywhere")
    assert status(page) == "0 of 500 cases"
    page.locator(".clear").click()
    page.locator("select[name=tag]").select_option("gene")
    assert status(page) == "3 of 500 cases"


def test_a_category_bar_filters_the_cases_of_its_gate(open_report: Open, gate: RunRecord) -> None:
    page = open_report(gate)
    bar = page.locator(".bars li").first
    count = int(bar.locator(".number").inner_text())
    bar.locator("button").click()
    assert status(page) == f"{count} of 100 cases"


def test_rows_are_drawn_as_the_reader_scrolls(open_report: Open, pipeline: RunRecord) -> None:
    page = open_report(pipeline)
    assert rows(page).count() < 200
    while page.locator(".more").is_visible():
        page.mouse.wheel(0, 5_000)
        page.wait_for_timeout(20)
    assert rows(page).count() == 500


# --- a case unfolded -----------------------------------------------------------------------------------------------


def test_what_a_model_wrote_is_shown_not_run(open_report: Open, pipeline: RunRecord) -> None:
    page = open_report(pipeline)
    unfolded = unfold(page, "hostile-1")
    text = unfolded.locator("section", has_text="Response").locator(".text").first.inner_text()
    assert text.startswith("</script><script>window.pwned = 1</script><img src=x onerror='window.pwned = 2'>")
    assert "U+2028" in text
    assert "U+202E" in text
    assert page.evaluate("window.pwned") is None
    assert page.locator("img").count() == 0


def test_hostile_names_are_shown_not_run(open_report: Open, tmp_path: Path) -> None:
    finding = Finding(HOSTILE, Verdict.FAIL, HOSTILE, HOSTILE, errors=(ErrorSpan(HOSTILE),), detail=HOSTILE)
    case = Outcome(HOSTILE, Verdict.FAIL, HOSTILE, (finding,), HOSTILE, HOSTILE, (HOSTILE,), (HOSTILE,), HOSTILE)
    page = open_report(gate_run(tmp_path / "run", (HOSTILE, [case]), accept=1))
    page.locator(".grid a").first.hover()
    rows(page).first.locator("button").click()
    page.locator("details").evaluate_all("all => all.forEach(one => { one.open = true })")
    assert page.evaluate("window.pwned") is None
    assert page.locator("img, main script").count() == 0


def test_the_difference_to_the_reference_is_marked(open_report: Open, tmp_path: Path) -> None:
    case = Outcome("c", Verdict.FAIL, "", (), "p", "the gene is PIK3CD today", references=("the gene was PIK3CD",))
    page = open_report(gate_run(tmp_path / "run", ("facts", [case]), accept=1))
    unfolded = unfold(page, "")
    shown = unfolded.locator("section", has_text="Reference").locator(".text").nth(1)
    assert shown.locator("del").all_inner_texts() == ["was"]
    assert shown.locator("ins").all_inner_texts() == ["is", " today"]


def test_every_answer_to_a_case_that_was_answered_several_times_is_shown(open_report: Open, tmp_path: Path) -> None:
    def answered(text: str, verdict: Verdict) -> Outcome:
        return Outcome("c", verdict, f"said {text}", (Finding("exact", verdict),), "p", text)

    answers = [answered("one", Verdict.PASS), answered("two", Verdict.FAIL), answered("three", Verdict.PASS)]
    page = open_report(gate_run(tmp_path / "run", ("facts", [of_samples(answers, "all")]), accept=1))
    unfolded = unfold(page, "")
    assert unfolded.locator("section", has_text="Response").locator(".text").first.inner_text() == "two"
    shown = unfolded.locator("section", has_text="of 3").all_inner_texts()
    assert [text.split("\n")[0] for text in shown] == ["Answer 1 of 3", "Answer 2 of 3", "Answer 3 of 3"]
    assert "said three" in shown[2]


def test_errors_are_marked_where_they_stand(open_report: Open, tmp_path: Path) -> None:
    response = "🧬🧬 inheritence is wrong"
    span = ErrorSpan("misspelling", 3, 14, "inheritence")
    case = Outcome("c", Verdict.FAIL, "", (Finding("errors", Verdict.FAIL, errors=(span,)),), "p", response)
    page = open_report(gate_run(tmp_path / "run", ("facts", [case]), accept=1))
    assert unfold(page, "").locator("mark").inner_text() == "inheritencemisspelling"


def test_a_long_answer_is_cut_for_display_and_complete_on_demand(open_report: Open, tmp_path: Path) -> None:
    response = "x y " * 25_000
    case = Outcome("c", Verdict.FAIL, "", (), "p", response, references=("x y",))
    page = open_report(gate_run(tmp_path / "run", ("facts", [case]), accept=1))
    text = unfold(page, "").locator("section", has_text="Response").locator(".text").first
    assert len(text.inner_text()) < 5_000
    text.locator("button", has_text="Show all 100,000 characters").click()
    assert len(text.evaluate("box => box.textContent")) == 100_000


def test_a_judge_that_broke_shows_its_raw_answer(open_report: Open, gate: RunRecord) -> None:
    page = open_report(gate)
    page.locator(".verdicts label", has_text="not judged").click()
    rows(page).first.locator("button").click()
    detail = page.locator("tr.unfolded details")
    detail.locator("summary").click()
    assert 'raw "five!"' in detail.inner_text()


# --- keyboard, screen reader, colours, paper -----------------------------------------------------------------------


def test_the_keyboard_reaches_every_cell(open_report: Open, gate: RunRecord) -> None:
    page = open_report(gate)
    stops = page.locator(".grid a").evaluate_all("cells => cells.filter(cell => cell.tabIndex === 0).length")
    assert stops == 1, "a grid is one stop of the tab key"
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.closest('.grid') !== null"):
            break
    at = "[...document.activeElement.parentNode.children].indexOf(document.activeElement)"
    places = []
    for key in ("ArrowRight", "ArrowDown", "ArrowLeft", "End", "ArrowUp", "Home", "ArrowUp"):
        page.keyboard.press(key)
        places.append(page.evaluate(at))
    assert places == [1, 11, 10, 99, 89, 0, 0]
    assert page.locator("#tip").is_visible()
    assert page.locator(".grid a").first.get_attribute("aria-describedby") == "tip"
    page.keyboard.press("Escape")
    assert page.locator("#tip").is_hidden()
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    page.locator("tr.unfolded").wait_for()


def test_landmarks_headings_and_names(open_report: Open, pipeline: RunRecord) -> None:
    page = open_report(pipeline)
    assert [page.locator(name).count() for name in ("main", "h1", "body > header", "[role=search]")] == [1, 1, 1, 1]
    levels = page.locator("h1, h2, h3, h4, h5").evaluate_all(
        "all => all.filter(one => one.checkVisibility()).map(one => +one.tagName[1])"
    )
    assert all(after <= before + 1 for before, after in pairwise(levels)), levels
    named = "one.textContent.trim() || one.getAttribute('aria-label') || one.closest('label')?.textContent.trim()"
    nameless = f"all => all.filter(one => !({named})).map(one => one.outerHTML)"
    assert page.locator("a, button, input, select, svg[role=img]").evaluate_all(nameless) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_the_contrast_of_wcag_aa(open_report: Open, pipeline: RunRecord, scheme: str) -> None:
    page = open_report(pipeline, color_scheme=scheme)
    page.locator("details").evaluate_all("all => all.forEach(one => { one.open = true })")
    for words in ("hostile-1", "inheritence"):
        unfold(page, words)
        assert page.evaluate(CONTRASTS) == []
    page.locator(".grid a").first.hover()
    assert page.evaluate(CONTRASTS) == []


def test_dark_and_light_follow_the_system_and_the_button(open_report: Open, gate: RunRecord) -> None:
    page = open_report(gate, color_scheme="dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    dark, toggle = page.evaluate(ground), page.locator("#theme")
    assert toggle.get_attribute("aria-pressed") == "true"
    toggle.click()
    light = page.evaluate(ground)
    assert toggle.get_attribute("aria-pressed") == "false"
    assert (dark, light) == ("rgb(20, 23, 26)", "rgb(255, 255, 255)")


@pytest.mark.parametrize("width", [390, pytest.param(700, marks=pytest.mark.slow), 1280])
def test_no_width_scrolls_sideways(open_report: Open, pipeline: RunRecord, width: int) -> None:
    page = open_report(pipeline, viewport={"width": width, "height": 844})
    unfold(page, "hostile-1")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_paper_shows_every_gate_and_unfolds_what_missed(open_report: Open, pipeline: RunRecord) -> None:
    page = open_report(pipeline, color_scheme="dark")
    assert page.locator("details.gate[open]").count() == 3
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    assert page.locator("details.gate[open]").count() == 5
    assert page.locator("tr.unfolded").count() == 40
    assert page.locator(".print-note").inner_text().startswith("The first 400 of 500 cases")
    assert page.locator(".filters").is_hidden()
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(28, 33, 38)", "dark ink on paper"
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    page.emulate_media(media="screen")
    assert page.locator("details.gate[open]").count() == 3
    assert page.locator("tr.unfolded").count() == 0
    assert page.pdf(format="A4").startswith(b"%PDF")


def test_without_javascript_the_verdict_stands(open_report: Open, gate: RunRecord) -> None:
    page = open_report(gate, java_script_enabled=False)
    assert "could not be judged" in page.locator("h1").inner_text()
    assert page.locator(".grid a").count() == 100
    assert page.locator("noscript").is_visible()


# --- size ----------------------------------------------------------------------------------------------------------


def test_of_2000_cases_only_what_is_in_sight_is_drawn(open_report: Open, tmp_path: Path) -> None:
    """What makes it open fast (`make bench` says how fast): a case costs a cell, and a row when it is looked at."""
    page = open_report(large_run(tmp_path / "run"))
    assert page.locator(".grid a").count() == 2000
    assert 60 <= rows(page).count() <= 180, "a chunk, and what an observer asks for at the start"
    assert page.evaluate("document.querySelectorAll('*').length") < 2000 + 180 * 8 + 400
    longest = "Math.max(...[...document.querySelectorAll('body *:not(script)')].map((one) => one.textContent.length))"
    assert page.evaluate(longest) < 200_000, "of 2 MB of answers only snippets are in the document"
    size, answers = (tmp_path / "report.html").stat().st_size, 200 * 10_000
    assert size < answers + 2000 * 1_200, "each answer stands in the file once"
    unfold(page, "word199")
    assert status(page) == "1 of 2,000 cases"
