"""Gates held to the pass rate that is left without the judge's errors: a PASS may become a FAIL, nothing else moves."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.check_helpers import AGREES, admitted_judge
from tunegate.checks.judge_admission import Admission
from tunegate.checks.outcome import Finding, Outcome, Verdict
from tunegate.stats.agreement import corrected_pass_rate
from tunegate.stats.sampling import SinglePlan
from tunegate.verdicts.corrected import admissions_of, corrected_rates
from tunegate.verdicts.decision import decide
from tunegate.verdicts.terms import Terms, conclude
from tunegate_suites import build_check
from tunegate_suites.options import LocalModels

FACTS = {**Admission(Path("r.json"), "j" * 64, AGREES, "s" * 64).facts(), "admit": 0.6, "corrected_min": None}


def outcomes(passed: int, failed: int, invalid: int = 0) -> list[Outcome]:
    verdicts = [Verdict.PASS] * passed + [Verdict.FAIL] * failed + [Verdict.INVALID] * invalid
    return [
        Outcome(f"c{n}", verdict, "", (Finding("exact", Verdict.PASS), Finding("judge", verdict)), "?", "x")
        for n, verdict in enumerate(verdicts)
    ]


def held(passed: int, failed: int, invalid: int = 0, **facts: Any) -> Any:
    plan, found = SinglePlan(100, 90), outcomes(passed, failed, invalid)
    return conclude(Terms(plan, admissions={"judge": {**FACTS, **facts}}), found)


def test_the_rate_is_that_of_the_judge_alone() -> None:
    rate = corrected_rates({"judge": FACTS}, outcomes(95, 5), 100)["judge"]
    assert rate == corrected_pass_rate(95, 100, AGREES.sensitivity, AGREES.specificity)
    assert rate.interval[0] < 0.95 < rate.interval[1]


def test_a_pass_stands_or_falls_with_the_lower_end() -> None:
    assert held(95, 5).verdict is Verdict.PASS
    assert held(95, 5, corrected_min=0.85).verdict is Verdict.PASS
    fallen = held(95, 5, corrected_min=0.95)
    assert fallen.verdict is Verdict.FAIL
    assert "corrected for the judge's errors, a lower end of at least 95% needed" in fallen.reason
    assert (fallen.passed, fallen.drawn) == (95, 100)


@pytest.mark.parametrize(("passed", "failed", "invalid"), [(80, 20, 0), (95, 0, 5), (0, 0, 100)])
def test_what_was_no_pass_is_left_alone(passed: int, failed: int, invalid: int) -> None:
    found = outcomes(passed, failed, invalid)
    assert held(passed, failed, invalid, corrected_min=0.99) == decide(SinglePlan(100, 90), found)


def test_a_judge_that_cannot_be_corrected_for_passes_nothing() -> None:
    for facts in ({"sensitivity": [5, 10], "specificity": [5, 10]}, {"record_sha256": None}):
        assert held(95, 5, **facts).verdict is Verdict.PASS
        fallen = held(95, 5, **facts, corrected_min=0.5)
        assert fallen.verdict is Verdict.FAIL
        assert "cannot be corrected" in fallen.reason


def test_the_facts_of_a_suites_judges_survive_the_record(tmp_path: Path) -> None:
    (tmp_path / "rubric.yaml").write_text("criterion: Right?\nlabels: [yes, no]\n")
    models = LocalModels(sha256=lambda spec: "weights")
    options = {"rubric": "rubric.yaml", "model": "m", "accept": ["yes"], "corrected_min": 0.8}
    judge = admitted_judge(options, tmp_path, models)
    facts = admissions_of([build_check("exact", tmp_path), judge, judge])
    assert list(facts) == ["judge", "judge#2"]
    assert facts["judge"]["corrected_min"] == 0.8
    assert facts["judge"]["fault"] is None
    assert facts["judge"]["sensitivity"] == [90, 93]
    found = outcomes(95, 5)
    again = json.loads(json.dumps(facts))
    terms = Terms(SinglePlan(100, 90), admissions={"judge": again["judge"]})
    assert conclude(terms, found).verdict is Verdict.PASS
    renamed = [replace(one, findings=()) for one in found]
    assert conclude(terms, renamed).verdict is Verdict.FAIL
