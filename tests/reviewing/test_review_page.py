"""The page of `tunegate review` in a real browser: a person judges 20 answers, and downloads what they said."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.report_page import CONTRASTS, Open, needs_chromium
from tests.support.reviewed import data_of, gate_to_review, page_of, rows_of, saved
from tunegate.cli import main
from tunegate.gates.people import people_rate, read_people
from tunegate.record.read_run import read_run

pytest_plugins = ["tests.support.browser_fixtures"]
pytestmark = needs_chromium


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    return gate_to_review(tmp_path)


def shown(page: Any) -> tuple[str, str]:
    """The prompt and the answer that are on the screen."""
    texts = page.locator("#shown .text").all_inner_texts()
    return texts[0], texts[-1]


def is_right(page: Any) -> bool:
    prompt, answer = shown(page)
    return answer == str(2 * int(re.findall(r"\d+", prompt)[0]))


def judge_the_rest(page: Any) -> None:
    while page.locator("#case").is_visible():
        page.keyboard.press("1" if is_right(page) else "2")


def test_a_person_judges_twenty_answers(open_page: Open, gate: Path, tmp_path: Path) -> None:
    """By keys alone: undo, a comment, can't tell, a reload in the middle, and the file at the end."""
    page = open_page(page_of(gate, "--n", "20"), accept_downloads=True)
    page.keyboard.press("1")  # nobody is judging yet
    page.locator("#reviewer").fill("Ann Lee")
    page.keyboard.press("Enter")
    assert page.locator("h1:visible").inner_text() == "Answer 1 of 22"
    truth: list[tuple[str, bool]] = []
    for turn in range(7):
        truth.append((shown(page)[0], is_right(page)))
        if turn == 3:
            page.keyboard.press("2" if truth[-1][1] else "1")  # a slip
            assert "Answer 5" in page.locator("h1:visible").inner_text()
            page.keyboard.press("u")
            assert page.locator("#status").inner_text() == "Undone. Answer 4 of 22"
            assert shown(page)[0] == truth[-1][0]
        if turn == 5:
            page.keyboard.press("c")
            page.keyboard.type("12 units? <b>no</b> u")  # no key of these judges, or undoes
            page.keyboard.press("Escape")
        page.keyboard.press("0" if turn == 6 else "1" if truth[-1][1] else "2")
    page.wait_for_timeout(300)
    page.reload()
    assert page.locator("h1:visible").inner_text() == "Answer 8 of 22"
    assert page.locator("#status").inner_text() == "Resumed: 7 of 22 were judged before."
    judge_the_rest(page)
    assert page.locator("h1:visible").inner_text() == "All are judged. Thank you."
    header, rows = rows_of(saved(page, tmp_path / "ann.jsonl"))

    data = data_of(tmp_path / "review.html")
    assert header == {**data["header"], "reviewer": "Ann Lee", "showings": 22, "saved": header["saved"]}
    assert set(rows[0]) == {
        *(
            "case_id",
            "prompt_sha256",
            "response_sha256",
            "reviewer",
            "label",
            "comment",
            "seconds",
            "order",
            "repeat_of",
        )
    }
    assert [row["order"] for row in rows] == list(range(1, 23))
    assert [row["label"] for row in rows[:6]] == ["right" if right else "wrong" for _, right in truth[:6]]
    assert rows[6]["label"] == "can't tell"
    assert [row["comment"] for row in rows if row["comment"]] == ["12 units? <b>no</b> u"]
    assert {row["reviewer"] for row in rows} == {"Ann Lee"}
    assert all(row["seconds"] >= 0 for row in rows)
    assert rows[7]["seconds"] >= 0.3  # it was on the screen before and after the reload
    repeats = [row for row in rows if row["repeat_of"]]
    assert len(repeats) == 2
    for row in repeats:
        first = rows[row["repeat_of"] - 1]
        assert (first["case_id"], first["response_sha256"]) == (row["case_id"], row["response_sha256"])
        assert row["order"] - first["order"] > 5
    [record] = read_run(gate).all_gates()
    by_id = {one.case_id: one for one in record.outcomes}
    for row in rows:
        assert row["response_sha256"] == hashlib.sha256(by_id[row["case_id"]].response.encode()).hexdigest()
    found = read_people(tmp_path / "ann.jsonl")  # one reviewer's file is a file of labels
    assert len(found.votes) == 20
    assert all(
        found.verdict(one.case_id, one.prompt, one.response) for one in map(by_id.get, {r["case_id"] for r in rows})
    )
    assert all(found.verdict(row["case_id"], "another prompt", by_id[row["case_id"]].response) is None for row in rows)
    rate = people_rate(record, found)
    assert rate is None or rate.rate.labels >= 19


def test_time_counts_only_while_the_page_is_visible(open_page: Open, gate: Path, tmp_path: Path) -> None:
    page = open_page(page_of(gate, "--n", "5", "--reviewer", "ann"), accept_downloads=True)
    hide = "(state) => { Object.defineProperty(document, 'visibilityState', {value: state, configurable: true});"
    hide += "document.dispatchEvent(new Event('visibilitychange')); }"
    page.evaluate(hide, "hidden")
    page.wait_for_timeout(1500)
    page.evaluate(hide, "visible")
    page.keyboard.press("1")
    page.wait_for_timeout(600)
    page.keyboard.press("1")
    _, rows = rows_of(saved(page, tmp_path / "ann.jsonl"))
    assert rows[0]["seconds"] < 1.5
    assert rows[1]["seconds"] >= 0.6


def test_what_a_model_wrote_is_text(open_page: Open, tmp_path: Path) -> None:
    hostile = (
        "</script><script>window.pwned = 1</script><img src=x onerror='window.pwned = 2'>\u202e \u2028 \ud83d\ude00"
    )
    gate = gate_to_review(tmp_path, 10, lambda n: hostile)
    page = open_page(page_of(gate, "--reviewer", "<i>ann</i>"))
    assert "window.pwned = 1</script>" in shown(page)[1]
    assert page.evaluate("window.pwned") is None
    assert page.locator(".unseen").count() == 2


def test_pairs_are_side_by_side(open_page: Open, gate: Path, tmp_path: Path) -> None:
    other = gate_to_review(tmp_path, 100, lambda n: f"It is {2 * n}.", name="other")
    path = page_of(gate, "--against", str(other), "--n", "20", "--reviewer", "ann")
    page = open_page(path, accept_downloads=True)
    sides: list[bool] = []
    while page.locator("#case").is_visible():
        left, right = page.locator("#shown .answer").all_inner_texts()
        assert page.locator("#shown .sides h2").all_inner_texts() == ["Left", "Right"]
        assert left != right
        sides.append(left.startswith("It is"))
        page.keyboard.press("1" if sides[-1] else "2")
    assert 0 < sum(sides) < len(sides)  # neither is always on one side
    header, rows = rows_of(saved(page, tmp_path / "pairs.jsonl"))
    assert header["kind"] == "pairs"
    assert {row["label"] for row in rows} == {"left is better", "right is better"}
    preferred = {row["response_sha256" if row["label"].startswith("left") else "other_sha256"] for row in rows}
    [record] = read_run(other).all_gates()
    assert preferred <= {hashlib.sha256(one.response.encode()).hexdigest() for one in record.outcomes}


def test_the_items_of_a_rubric_are_judged_one_by_one(open_page: Open, gate: Path, tmp_path: Path) -> None:
    rubric = tmp_path / "rubric.yaml"
    rubric.write_text(
        "criterion: Is it good?\nitems: {facts: Every fact is right., tone: It is polite.}\nshow: [prompt]\n"
    )
    page = open_page(page_of(gate, "--n", "5", "--rubric", str(rubric), "--reviewer", "ann"), accept_downloads=True)
    assert page.locator("#shown h2").all_inner_texts() == ["Prompt", "Answer"]
    page.keyboard.press("1")
    assert page.locator("#parts li").all_inner_texts() == ["Every fact is right.: right", "It is polite."]
    assert page.locator("#parts [aria-current=step]").inner_text() == "It is polite."
    page.keyboard.press("2")
    assert "Answer 2" in page.locator("h1:visible").inner_text()
    page.keyboard.press("u")  # takes back the last item, not both
    assert page.locator("#parts li").first.inner_text() == "Every fact is right.: right"
    page.keyboard.press("0")
    page.keyboard.press("1")
    page.keyboard.press("1")
    header, rows = rows_of(saved(page, tmp_path / "ann.jsonl"))
    assert header["items"] == ["facts", "tone"]
    assert [row["items"] for row in rows] == [
        {"facts": "right", "tone": "can't tell"},
        {"facts": "right", "tone": "right"},
    ]
    assert [row["label"] for row in rows] == ["can't tell", "right"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1280])
def test_it_can_be_read_and_used_by_all(open_page: Open, tmp_path: Path, width: int, scheme: str) -> None:
    """At 320 px nothing is cut off; texts have contrast; every control has a name, and is reached by the keyboard."""
    gate = gate_to_review(tmp_path, 10, lambda n: f"{'word ' * 80}{'x' * 300}")
    page = open_page(page_of(gate, "--reviewer", "ann"), viewport={"width": width, "height": 640}, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(CONTRASTS) == []
    for name in ("Right 1", "Wrong 2", "Can't tell 0"):
        button = page.get_by_role("button", name=name)
        assert button.bounding_box()["height"] >= 44
        assert button.bounding_box()["y"] < 640  # in view without scrolling
    assert page.get_by_role("textbox", name="Comment").is_visible()
    assert page.get_by_role("progressbar", name="Judged so far").is_visible()
    assert page.get_by_role("group", name="Your verdict").is_visible()
    page.get_by_role("button", name="Right 1").focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "case-title"  # where a screen reader begins
    assert page.get_by_role("status").inner_text() == "right. Answer 2 of 11"


def test_a_browser_that_keeps_nothing_says_so(open_page: Open, gate: Path) -> None:
    page = open_page(page_of(gate, "--n", "5", "--reviewer", "ann"))
    page.evaluate("() => { Storage.prototype.setItem = () => { throw new Error('full'); }; }")
    page.keyboard.press("1")
    assert "download the file before you close it" in page.locator("#notice").inner_text()


def test_the_page_is_refused_where_it_is_too_large(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A hundred long answers fit; where they are longer, one line says how many do."""
    long = "Many words of an answer that goes on for long. " * 60
    gate = gate_to_review(tmp_path, 100, lambda n: f"{n} {long}")
    assert 300_000 < page_of(gate).stat().st_size < 500_000
    (tmp_path / "longer").mkdir()
    gate = gate_to_review(tmp_path / "longer", 100, lambda n: f"{n} {long * 3}")
    capsys.readouterr()
    assert main(["review", str(gate)]) == 2
    said = capsys.readouterr().err
    found = re.search(r"--n 100: the page would be \d+ kB, and at most 500 kB are allowed; --n (\d+) fits\n$", said)
    assert found is not None, said
    fits = int(found[1])
    assert page_of(gate, "--n", str(fits)).stat().st_size <= 500_000
    assert main(["review", str(gate), "--n", str(fits + 1)]) == 2
