"""Which answers a reviewer sees, in which order, and what the page does not reveal."""

from __future__ import annotations

import html
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.fake_pipeline import carry_out, write_pipeline
from tests.support.reviewed import data_of, gate_to_review, page_of
from tunegate.cli import main
from tunegate.exceptions import ConfigError
from tunegate.record.read_run import read_run
from tunegate.reviewing.review_rubric import PLAIN, read_review_rubric
from tunegate.reviewing.sheet import APART, in_order, items_of, record_sha256, sheet_of
from tunegate_reports.page import source_hash

Capture = pytest.CaptureFixture[str]


@given(st.integers(0, 120), st.integers(0, 10**6), st.text(max_size=8))
def test_each_item_is_shown_and_repeats_come_later(number: int, seed: int, reviewer: str) -> None:
    wanted = round(number * 0.1)
    shown = in_order(number, seed, reviewer, wanted)
    assert sorted(one.item for one in shown if one.repeat_of is None) == list(range(number))
    again = [(turn, one) for turn, one in enumerate(shown, start=1) if one.repeat_of is not None]
    assert len(again) == min(wanted, max(0, number - APART))
    for turn, one in again:
        assert one.repeat_of is not None
        assert shown[one.repeat_of - 1].item == one.item
        assert turn - one.repeat_of > APART
    assert shown == in_order(number, seed, reviewer, wanted)


def test_the_sides_of_pairs_change_from_reviewer_to_reviewer() -> None:
    sides = [[one.swapped for one in sorted(in_order(60, 0, name, 0), key=lambda one: one.item)] for name in "ab"]
    assert sides[0] != sides[1]
    assert all(15 < sum(side) < 45 for side in sides)


def test_reviewers_see_the_same_cases_in_another_order(tmp_path: Path) -> None:
    gate = gate_to_review(tmp_path)
    ann, bob = (data_of(page_of(gate, "--n", "30", "--reviewer", name)) for name in ("ann", "bob"))
    assert ann["items"] == bob["items"]
    assert ann["showings"] != bob["showings"]
    assert ann["header"]["page_sha256"] != bob["header"]["page_sha256"]
    other = data_of(page_of(gate, "--n", "30", "--reviewer", "ann", "--seed", "1"))
    assert {one["id"] for one in other["items"]} != {one["id"] for one in ann["items"]}


def test_cases_are_drawn_at_random_from_hits_and_misses(tmp_path: Path) -> None:
    """Over many seeds each case is as likely as any other, and a miss no more than a hit."""
    [gate] = read_run(gate_to_review(tmp_path)).all_gates()
    items, missed = items_of(gate), {one.case_id for one in gate.outcomes if one.verdict == "FAIL"}
    drawn = [
        one.case_id in missed for seed in range(300) for one in sheet_of(["x"], items, PLAIN, n=20, seed=seed).items
    ]
    assert len(missed) == 10
    assert abs(sum(drawn) / len(drawn) - 0.1) < 0.02  # 6,000 draws: 5 standard errors


def test_the_page_reveals_no_verdict_model_or_attempt(tmp_path: Path) -> None:
    """Not even its source: two gates with the same answers and other verdicts give the same page."""
    gate = gate_to_review(tmp_path, checks=["exact", {"contains": "about"}])
    page = page_of(gate, "--reviewer", "ann").read_text()
    data = page.partition('id="data">')[2].partition("</script>")[0]
    for word in ("PASS", "FAIL", "exact", "about_", "facts", "gate.jsonl", str(tmp_path), "score", "verdict"):
        assert word not in data, word
    [record] = read_run(gate).all_gates()
    assert {key for one in json.loads(data)["items"] for key in one} == {
        *("id", "prompt_sha256", "prompt", "references", "answers")
    }
    others = [one for one in record.outcomes if one.verdict == "FAIL"]
    assert others
    turned = replace(record, outcomes=tuple(replace(one, verdict="PASS", findings=()) for one in record.outcomes))
    assert items_of(turned) == items_of(record)
    assert record_sha256(turned) == record_sha256(record)


def test_only_its_own_style_and_script_may_run(tmp_path: Path) -> None:
    page = page_of(gate_to_review(tmp_path, 10)).read_text()
    policy = re.search('Content-Security-Policy" content="([^"]+)"', page)
    assert policy is not None
    for kind, pattern in (("style", "<style>(.*?)</style>"), ("script", "<script>(.*?)</script>")):
        [source] = re.findall(pattern, page, re.DOTALL)
        assert f"{kind}-src {source_hash(source)}" in html.unescape(policy[1])
    assert html.unescape(policy[1]).startswith("default-src 'none';")
    body = page.partition("<body")[2].partition('<script type="application/json"')[0]
    assert not re.search(r"\s(on[a-z]+|style|src|href)=", body)


def test_a_run_with_several_gates_asks_for_one(tmp_path: Path, capsys: Capture) -> None:
    run = carry_out(write_pipeline(tmp_path / "p"))
    place = f"{run.folder}@sft#2"
    assert main(["review", place, "--out", str(tmp_path / "r.html")]) == 2
    assert "it has several gates (" in capsys.readouterr().err
    assert main(["review", place, "--gate", "fact", "--out", str(tmp_path / "r.html")]) == 2
    said = capsys.readouterr().err
    assert "has the gates" in said
    name = said.partition("has the gates ")[2].partition(",")[0].partition(" (did")[0]
    assert main(["review", place, "--gate", name, "--out", str(tmp_path / "r.html")]) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "nowhere: this is not the folder of a run or a gate"),
        (["gate", "gate"], "gate: one run or gate was expected; name the second with --against"),
        (["gate", "--n", "0"], "--n: expected at least 1, got 0"),
        (["gate", "--missing"], "gate: no answer of this gate waits for a label"),
        (["gate", "--against", "gate"], "gate: both gave the same answer to every case"),
        (["gate", "--against", "gate", "--missing"], "--missing: has no effect with --against"),
        (["gate", "--rubric", "gone.yaml"], "gone.yaml"),
        (["gate", "--adjudicate", "d.html"], "--adjudicate: has no effect without merge"),
    ],
)
def test_what_cannot_be_reviewed_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture, words: list[str], message: str
) -> None:
    gate_to_review(tmp_path, 20)
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    assert main(["review", *words]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


def test_a_rubric_is_read_and_known_by_what_it_asks(tmp_path: Path) -> None:
    path = tmp_path / "rubric.yaml"
    path.write_text("criterion: Is it right?\nmeaning: {right: complete, 2: no}\nitems: {a: one}\nshow: [prompt]\n")
    first = read_review_rubric(path)
    assert (first.items, first.show) == ({"a": "one"}, ["prompt"])
    path.write_text(f"# a comment\n{path.read_text()}")
    assert read_review_rubric(path).sha256 == first.sha256
    path.write_text("criterion: Is it right?\nlabels: [yes, no]\nmeaning: {yes: complete}\n")  # a judge's
    assert read_review_rubric(path).criterion == "Is it right?"
    assert read_review_rubric(path).sha256 != first.sha256
    for text, message in (("criterion: ''\n", "criterion"), ("criterium: x\n", "did you mean 'criterion'")):
        path.write_text(text)
        with pytest.raises(ConfigError, match=message):
            read_review_rubric(path)
    path.write_text("criterion: x\nitems: {a: ' '}\n")
    with pytest.raises(ConfigError, match="items: expected a name and a text"):
        read_review_rubric(path)
