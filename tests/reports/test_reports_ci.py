"""What GitHub and GitLab show of a gate: annotations, summaries and comments within their limits, metrics."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.ci_log import commands_in
from tests.support.fake_run import HOSTILE, gate_run, outcomes
from tunegate_reports.github import COMMENT_BYTES, annotation, comment, gate_annotation, mark, step_summary, within
from tunegate_reports.metrics import metrics_lines


@pytest.mark.parametrize(("right", "level", "words"), [(93, "notice", "passed"), (20, "error", "failed")])
def test_a_gate_has_one_annotation(tmp_path: Path, right: int, level: str, words: str) -> None:
    run = gate_run(tmp_path, ("facts", outcomes(right, 100 - right, 0, seed=1)))
    line = gate_annotation(run, "gate facts", "suites/facts.yaml")
    assert line.startswith(f"::{level} file=suites/facts.yaml,title=gate facts::answers.jsonl {words} gate facts")
    assert "\n" not in line


@given(st.sampled_from(HOSTILE) | st.text())
def test_no_text_begins_another_command(text: str) -> None:
    [command] = commands_in(annotation("error", text, text, text))
    assert command.startswith("::error ")
    _, _, message = command.removeprefix("::").partition("::")
    assert not commands_in(message)


@given(st.text(max_size=300), st.integers(100, 300))
def test_a_text_is_cut_at_a_limit(text: str, limit: int) -> None:
    shown = within(text, limit)
    assert len(shown.encode()) <= limit
    assert shown == text or "shortened" in shown


def test_a_comment_and_a_summary_stay_below_their_limits() -> None:
    parts = ["- `ü` missed\n" * 400] * 300
    assert comment(parts, ["facts"]).startswith("<!-- tunegate gate facts -->\n")
    assert len(comment(parts, ["facts"]).encode()) <= COMMENT_BYTES < 65_536
    assert 900_000 < len(step_summary(parts).encode()) <= 1_000_000


@given(st.text())
def test_the_mark_is_one_comment_whatever_the_name(name: str) -> None:
    line = mark([name])
    assert (line.count("-->"), line.count("\n"), line.endswith(" -->")) == (1, 0, True)


def test_metrics_are_lines_of_openmetrics(tmp_path: Path) -> None:
    lines = list(metrics_lines(gate_run(tmp_path, ("facts", outcomes(93, 7, 0, seed=1)))))
    assert lines[:3] == [
        'tunegate_passed{gate="facts"} 93',
        'tunegate_drawn{gate="facts"} 100',
        'tunegate_accept{gate="facts"} 90',
    ]
    assert lines[-1] == 'tunegate_exit_code{gate="facts"} 0'
