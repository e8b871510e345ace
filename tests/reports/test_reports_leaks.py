"""The report of leaked tests: row and case side by side, shared words marked, nothing unescaped."""

from __future__ import annotations

from pathlib import Path

from tests.pipeline.test_leak_guard import DROP, leaky
from tests.support.fake_pipeline import PIPELINE, carry_out, write_pipeline
from tunegate.record.record import RunRecord
from tunegate_reports import write_html
from tunegate_reports.leaks import leak_notices, marked


def page(run: RunRecord) -> str:
    return "".join(leak_notices(run))


def test_what_stopped_the_run_stands_side_by_side(tmp_path: Path) -> None:
    said = page(carry_out(leaky(tmp_path, PIPELINE)))
    assert "3 training rows are also in a suite, so nothing was trained." in said
    assert "<small>train.jsonl:2</small><p><mark>CASE 7</mark></p>" in said
    assert "<small>facts/7</small><p><mark>case 7?</mark></p>" in said
    assert "exact 1.00" in said


def test_what_was_dropped_is_told(tmp_path: Path) -> None:
    run = carry_out(leaky(tmp_path, DROP))
    assert "Stage sft: 2 of 10 training rows were dropped before training; they reveal the answers of 4 cases." in page(
        run
    )
    write_html(run, tmp_path / "report.html")
    assert "were dropped before training" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_run_without_leaks_says_nothing(tmp_path: Path) -> None:
    assert page(carry_out(write_pipeline(tmp_path))) == ""


def test_shared_words_are_marked_and_all_is_escaped() -> None:
    row, case = marked("Read <b>this: The river ends, in the sea.", "the river ends in THE sea")
    assert row == "Read &lt;b&gt;this: <mark>The river ends, in the sea.</mark>"
    assert case == "<mark>the river ends in THE sea</mark>"
    assert marked("nothing in common", "other words are here")[0] == "nothing in common"
