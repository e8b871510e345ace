"""The Markdown summary: nothing that a model or a file name says becomes markup."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.fake_run import HOSTILE, failed_run, gate_run, leaked_run, missing, outcomes, pipeline_run
from tunegate.record.record import RunRecord
from tunegate_reports.html import render
from tunegate_reports.markdown import UNPRINTABLE, _text, code, markdown_summary, write_markdown  # pyright: ignore
from tunegate_reports.view import view

TEXT = st.text(st.characters(codec="utf-8")) | st.text("`*_[]()<>!|~&#@:/\\ \nw.-+1x", max_size=40)


def parsed(markdown: str) -> list[tuple[str, str]]:
    """(kind, content) of every token, block and inline, as a GitHub-like Markdown reader sees them."""
    markdown_it = pytest.importorskip("markdown_it", reason="markdown-it-py is not installed")
    reader = markdown_it.MarkdownIt("gfm-like", {"linkify": False})
    tokens = []
    for token in reader.parse(markdown):
        tokens += [(token.type, token.content)] + [(child.type, child.content) for child in token.children or []]
    return tokens


def test_the_summary_of_a_passed_gate(tmp_path: Path) -> None:
    summary = markdown_summary(gate_run(tmp_path, ("facts", outcomes(93, 7, 0, seed=1))))
    assert summary.startswith("**✅ answers.jsonl passed gate facts: 93 of 100, 90 needed.**\n")
    assert "| – | – | facts | 93 of 100 | 90 | ✅ passed | 86.1% to 97.1%¹ |" in summary
    assert summary.count(" missed: ") == 7


def test_the_summary_of_a_pipeline(tmp_path: Path) -> None:
    summary = markdown_summary(pipeline_run(tmp_path))
    assert summary.startswith("**✅ gene-expert was promoted to production")
    assert summary.count("| sft |") == 4
    assert "underfit: the model has not learned" in summary


def test_faults_and_leaks_are_told(tmp_path: Path) -> None:
    assert "- Fault: attempt 2 of stage sft: the loss became infinite" in markdown_summary(failed_run(tmp_path / "a"))
    assert "1 training row also stands in suite facts" in markdown_summary(leaked_run(tmp_path / "b"))


def test_a_run_that_passed_went_on_after_its_faults(tmp_path: Path) -> None:
    run = replace(pipeline_run(tmp_path), faults=("interrupted",))
    assert "- Earlier fault: interrupted" in markdown_summary(run)
    assert "<strong>Earlier fault: </strong>interrupted" in render(view(run))


def test_the_list_of_missed_cases_is_bounded(tmp_path: Path) -> None:
    summary = markdown_summary(gate_run(tmp_path, ("facts", outcomes(20, 80, 0, seed=1))))
    assert summary.count(" missed: ") == 20
    assert "- and 60 more" in summary


def test_one_table_and_no_markup_from_a_hostile_answer(tmp_path: Path) -> None:
    run = _hostile_run(tmp_path)
    write_markdown(run, tmp_path / "summary.md")
    kinds = [kind for kind, _ in parsed((tmp_path / "summary.md").read_text(encoding="utf-8"))]
    assert kinds.count("table_open") == 1
    assert not {"link_open", "html_inline", "html_block", "image", "em_open", "s_open", "heading_open"} & set(kinds)
    assert kinds.count("strong_open") == 2  # the sentence, and the title of the list


def _hostile_run(folder: Path) -> RunRecord:
    rng = random.Random(1)
    results = [missing(f"a|b`c*{n}*", rng, response=HOSTILE) for n in range(3)]
    return gate_run(folder, ("*facts*|<b>", results), accept=1)


@given(TEXT)
def test_escaped_text_is_shown_as_it_is(text: str) -> None:
    tokens = parsed(f"x {_text(text, None)} x")
    assert [kind for kind, _ in tokens if not kind.startswith("text")] == [
        "paragraph_open",
        "inline",
        "paragraph_close",
    ]
    shown = "".join(content for kind, content in tokens if kind.startswith("text"))
    assert "".join(shown.split()) == "x" + "".join(_visible(text).split()) + "x"


@given(TEXT)
def test_code_spans_cannot_be_left(text: str) -> None:
    kinds = [kind for kind, _ in parsed(f"- {code(text)} end")]
    assert [kind for kind in kinds if not kind.startswith("text")] == [
        "bullet_list_open",
        "list_item_open",
        "paragraph_open",
        "inline",
        "code_inline",
        "paragraph_close",
        "list_item_close",
        "bullet_list_close",
    ]


@given(TEXT)
def test_escaped_text_stays_in_its_table_cell(text: str) -> None:
    kinds = [kind for kind, _ in parsed(f"| a | b |\n|---|---|\n| {_text(text)} | b |\n")]
    assert kinds.count("td_open") == 2


def test_addresses_and_mentions_do_not_become_links() -> None:
    assert _text("https://x.invalid www.x.invalid @octocat #1") == (
        "https&#58;//x.invalid www&#46;x.invalid &#64;octocat &#35;1"
    )


def _visible(text: str) -> str:
    return UNPRINTABLE.sub(" ", text)
