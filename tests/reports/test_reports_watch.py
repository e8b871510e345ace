"""The report of a training that was watched, repaired and mixed: a picture, and each of them in words."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.fake_run import pipeline_run
from tunegate_reports.html import render
from tunegate_reports.markdown import markdown_summary
from tunegate_reports.view import View, view


@pytest.fixture
def shown(tmp_path: Path) -> View:
    run = pipeline_run(tmp_path)
    stage = run.stages["sft"]
    number, attempt = next(iter(stage.attempts.items()))
    rates = {10: 0.5, 20: 0.9, 40: 0.8}
    looks = [{"step": step, "eval_gate": rate, "eval_gate_passed": 20 * rate} for step, rate in rates.items()]
    looks.append({"step": 30, "eval_gate": None, "eval_gate_fault": "not counted: the judge is asleep"})
    told = {
        "steps": 40,
        "data": {"rows": 96, "notes": ["repaired: answer=not inherited: 5 rows, given 19 times"]},
        "watch": {
            "gate": "facts",
            "asked": 20,
            "best_step": 20,
            "best_passed": 18,
            "kept_step": 20,
            "stopped_at": 40,
            "not_counted": {"30": "not counted: the judge is asleep"},
        },
    }
    attempt = replace(attempt, log=(*attempt.log, *looks), summary={**attempt.summary, **told})
    stage = replace(stage, attempts={**stage.attempts, number: attempt})
    return view(replace(run, stages={**run.stages, "sft": stage}))


def test_the_looks_are_a_curve_of_their_own(shown: View) -> None:
    [sft, align] = shown.stages
    assert sft.looks == ((1, ((10, 0.5), (20, 0.9), (40, 0.8))),)
    assert align.looks == ()
    page = render(shown)
    assert page.count("Pass rate of the watched gate during training") == 1
    assert "Pass rate of the gate that stage sft watched: attempt 1 from 0.5 to 0.8" in page
    assert ">100%<" in page


def test_what_was_done_is_told_in_words(shown: View) -> None:
    facts = ", ".join(shown.stages[0].attempts[0].facts)
    assert "repaired: answer=not inherited: 5 rows, given 19 times" in facts
    assert "watched gate facts: best 18 of 20 at step 20, weights of step 20 kept" in facts
    assert "stopped at step 40, because the gate did not improve, 1 look at the gate not counted" in facts
    assert "watched gate facts" in re.sub(r"<[^>]+>", " ", render(shown))


def test_a_run_without_any_of_it_is_as_before(tmp_path: Path) -> None:
    shown = view(pipeline_run(tmp_path))
    assert "watched" not in render(shown)
    assert "watched" not in markdown_summary(shown.run)
