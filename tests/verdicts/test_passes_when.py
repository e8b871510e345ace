"""The rule of a gate as a sentence: every term that can fail it is said, with its numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.bank import write_jsonl
from tunegate.stats.anytime import AnytimePlan
from tunegate.stats.sampling import SinglePlan, wald_plan
from tunegate.suites.suite_file import load_suite
from tunegate.verdicts.diversity import DiversityRule
from tunegate.verdicts.passes_when import CONDITIONS, condition_of, conditions_of, passes_when
from tunegate.verdicts.slices import SliceRule
from tunegate.verdicts.terms import GapRule, Terms
from tunegate_suites import CHECKS, build_check

TERMS = Terms(SinglePlan(100, 90))


def test_the_sentence_of_a_suite_with_its_options(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "c.jsonl", [{"id": n, "prompt": f"{n}?", "reference": f"{n}!"} for n in range(100)])
    (tmp_path / "s.yaml").write_text(
        "cases: c.jsonl\nchecks: [exact, {errors: {forbid: [refusal], max: {too_long: 3}}}, {rougeL: {min: 0.5}}]\n"
    )
    suite = load_suite(tmp_path / "s.yaml", build_check)
    conditions = conditions_of(dict(zip(suite.check_names, suite.checks, strict=True)))
    assert passes_when(suite.terms(suite.plan, curtail=False), conditions) == (
        "Passes when at least 90 of the 100 drawn answers equal a reference (case and spaces ignored), show none of "
        "the errors refusal, run_on, unfinished_reasoning, "
        "and score >= 0.5 by rougeL, and at most 3 answers have too_long"
    )


@pytest.mark.parametrize(
    ("terms", "says"),
    [
        (TERMS, "Passes when at least 90 of the 100 drawn answers equal a reference"),
        (Terms(SinglePlan(5, 5)), "all 5 drawn answers equal a reference"),
        (
            replace(TERMS, max_errors={"refusal": 0, "too_long": 2}),
            "no answer has refusal, and at most 2 answers have",
        ),
        (replace(TERMS, slices={"task=a": SliceRule(0.8, 5)}), "task=a does not fall below 80 % (at least 5 drawn)"),
        (replace(TERMS, gap=GapRule(("a", "b"), 12)), "a and b are at most 12 points apart"),
        (replace(TERMS, admissions={"judge": {"corrected_min": 0.85}}), "the pass rate by judge, corrected"),
        (replace(TERMS, samples=3, case_passes="majority"), "each case is answered 3 times, and most of them must"),
        (
            replace(TERMS, at=0.85),
            "related cases, counted as fewer independent ones, still rule out a pass rate of 0.85",
        ),
        (replace(TERMS, diversity=DiversityRule(0.7)), "at least 70 % as diverse as the references"),
        (Terms(wald_plan(0.95, 0.85, 0.05, 0.05, 200)), "of at most 200 drawn answers"),
        (Terms(AnytimePlan(200, 0.85, 0.95, 20, 20)), "rule out a pass rate of 0.85 (evidence of 20)"),
        (replace(TERMS, purpose="retention", max_drop=5.0), "loses at most 5 points against the earlier model"),
        (replace(TERMS, purpose="baseline"), "Measured: nothing has to pass"),
    ],
)
def test_each_term_is_said(terms: Terms, says: str) -> None:
    assert says in passes_when(terms, ["equal a reference"])


def test_the_confirming_draw_is_said() -> None:
    told = passes_when(TERMS, [], SinglePlan(40, 36), after_retry=True)
    assert told.endswith("drawn answers pass, and after a retry, at least 36 of 40 sealed cases pass too")


def test_every_shipped_check_has_a_condition() -> None:
    own = {"evaluate", "ragas", "python"}  # a metric of others is only known by its name
    assert {name for name in CHECKS if condition_of(name).startswith("pass the check")} == own
    assert condition_of("exact#2") == condition_of("exact@1 min=0.6") == CONDITIONS["exact"]
