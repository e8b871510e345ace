"""The terms of a draw: what they say of its outcomes, and that a record brings them back."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from tunegate.checks.outcome import Finding, Outcome, Verdict
from tunegate.stats.sampling import SinglePlan, exact_interval, wald_plan
from tunegate.verdicts.slices import SliceRule
from tunegate.verdicts.terms import GapRule, Terms, conclude, terms_from_json

PASS, FAIL, INVALID = Verdict.PASS, Verdict.FAIL, Verdict.INVALID


def outcomes(*groups: tuple[str, int, int]) -> list[Outcome]:
    """(tag, passed, missed) for each group."""
    verdicts = [(tag, verdict) for tag, good, bad in groups for verdict in [PASS] * good + [FAIL] * bad]
    return [
        Outcome(str(number), verdict, "", (Finding("x", verdict),), "?", "!", tags=(tag,))
        for number, (tag, verdict) in enumerate(verdicts)
    ]


def test_ten_misses_in_one_group_are_not_ten_misses_anywhere() -> None:
    """A model that fails 10 % evenly and one that fails one group wholly are different models."""
    even, lopsided = outcomes(("a", 45, 5), ("b", 45, 5)), outcomes(("a", 80, 0), ("b", 10, 10))
    plain = Terms(SinglePlan(100, 90))
    held = Terms(SinglePlan(100, 90), slices={"a": SliceRule(0.8), "b": SliceRule(0.8)})
    assert [conclude(plain, one).verdict for one in (even, lopsided)] == [PASS, PASS]
    assert [conclude(held, one).verdict for one in (even, lopsided)] == [PASS, FAIL]
    assert conclude(held, lopsided).reason == "90 of 100, 90 needed, but b: 10 of 20, 16 of 20 needed"


def test_groups_must_pass_alike() -> None:
    terms = Terms(SinglePlan(100, 90), gap=GapRule(("a", "b"), max=10))
    assert conclude(terms, outcomes(("a", 45, 5), ("b", 46, 4))).verdict is PASS
    apart = conclude(terms, outcomes(("a", 50, 0), ("b", 40, 10)))
    assert apart.verdict is FAIL
    assert "20 points apart" in apart.reason
    assert conclude(terms, outcomes(("a", 90, 0), ("b", 10, 0))).verdict is Verdict.INCONCLUSIVE


def test_older_records_call_an_undersized_slice_invalid() -> None:
    terms = Terms(SinglePlan(100, 90), slices={"b": SliceRule(0.8, 20)})
    older = terms.to_json()
    assert older.pop("undersized") == "INCONCLUSIVE"
    few = outcomes(("a", 90, 0), ("b", 10, 0))
    assert conclude(terms, few).verdict is Verdict.INCONCLUSIVE
    assert conclude(terms_from_json(older), few).verdict is INVALID
    assert "undersized" not in Terms(SinglePlan(100, 90)).to_json()


@pytest.mark.parametrize(("draw", "cap"), [(100, 3), (50, 1), (41, 1), (33, 0), (200, 6), (199, 5)])
def test_error_caps_scale_with_the_confirming_draw_rounded_down(draw: int, cap: int) -> None:
    confirming = Terms(SinglePlan(100, 90), max_errors={"too_long": 3}).confirming(SinglePlan(draw, draw))
    assert (confirming.max_errors, confirming.purpose) == ({"too_long": cap}, "confirm")


def test_a_slice_does_not_rescue_what_the_plan_rejects() -> None:
    terms = Terms(SinglePlan(100, 90), slices={"a": SliceRule(0.1)})
    assert conclude(terms, outcomes(("a", 80, 20))).verdict is FAIL


def test_a_baseline_measures_and_decides_nothing() -> None:
    terms = Terms(SinglePlan(100, 90), "baseline")
    low = conclude(terms, outcomes(("a", 20, 80)))
    assert (low.verdict, low.passed, low.reason) == (PASS, 20, "measured: 20 of 100")
    assert conclude(terms, outcomes(("a", 99, 0))).verdict is INVALID


@pytest.mark.parametrize(("lost", "verdict"), [(0, PASS), (5, PASS), (6, FAIL)])
def test_retention_is_a_paired_comparison(lost: int, verdict: Verdict) -> None:
    before = outcomes(("a", 60, 40))
    after = outcomes(("a", 60 - lost, 40 + lost))
    decision = conclude(Terms(SinglePlan(100, 90), "retention", max_drop=5), after, before)
    assert decision.verdict is verdict
    assert ("forgetting" in decision.reason) == (verdict is FAIL)
    assert conclude(Terms(SinglePlan(100, 90), "retention", max_drop=5), after, ()).verdict is INVALID


plans = st.sampled_from([SinglePlan(100, 90), wald_plan(0.95, 0.85, 0.05, 0.05, 140)])
terms = st.builds(
    Terms,
    plan=plans,
    purpose=st.sampled_from(["gate", "confirm", "baseline", "retention"]),
    curtail=st.booleans(),
    max_errors=st.dictionaries(st.text(), st.integers(0, 9), max_size=2),
    slices=st.dictionaries(st.text(), st.builds(SliceRule, st.floats(0.1, 1), st.integers(1, 9)), max_size=2),
    gap=st.none() | st.builds(GapRule, st.lists(st.text(), min_size=2, max_size=3).map(tuple)),
    max_drop=st.none() | st.floats(0, 100),
)


@given(terms=terms)
def test_terms_survive_the_record(terms: Terms) -> None:
    assert terms_from_json(json.loads(json.dumps(terms.to_json()))) == terms


# --- several cases of a group ---------------------------------------------------------------------------------------


def spellings(known: int, missed: int, each: int = 5) -> list[Outcome]:
    """Questions in `each` spellings, all right or all wrong, asked one spelling of each after the other."""
    verdicts = ([PASS] * known + [FAIL] * missed) * each
    return [
        Outcome(str(at), verdict, "", (Finding("x", verdict),), "?", "!", group=str(at % (known + missed)))
        for at, verdict in enumerate(verdicts)
    ]


def test_twenty_questions_in_five_spellings_do_not_pass_as_a_hundred() -> None:
    """18 known of 20: 90 of 100 by count, but a model that is right .85 does that with .405, not .099."""
    terms = Terms(SinglePlan(100, 90), at=0.85)
    found = conclude(terms, spellings(18, 2))
    assert (found.verdict, found.passed, found.drawn) == (Verdict.INCONCLUSIVE, 90, 100)
    assert found.interval == pytest.approx(exact_interval(18, 20))
    assert dict(found.reasons[-1].facts) == {
        "cases": 100,
        "groups": 20,
        "independent": 20.0,
        "at": 0.85,
        "luck": pytest.approx(binom.sf(17, 20, 0.85)),
        "allowed": pytest.approx(binom.sf(89, 100, 0.85)),
        "needed": 100,
    }
    assert found.reason == (
        "90 of 100, 90 needed, but 100 cases of 20 groups count as 20 independent ones, 100 are needed: add groups (a "
        "model that passes 85.0% of cases reaches this rate with probability 0.405, 0.099 is allowed)"
    )


def test_all_twenty_known_is_enough() -> None:
    found = conclude(Terms(SinglePlan(100, 90), at=0.85), spellings(20, 0))
    assert found.verdict is PASS
    assert found.interval == pytest.approx((0.025 ** (1 / 20), 1.0))
    assert found.reason == "100 of 100, 90 needed; 100 cases of 20 groups count as 20 independent ones"


def test_what_misses_its_count_fails_with_the_wider_interval() -> None:
    found = conclude(Terms(SinglePlan(100, 90), at=0.85), spellings(17, 3))
    assert found.verdict is FAIL
    assert found.interval == pytest.approx(exact_interval(17, 20))


def test_a_slice_below_its_minimum_still_fails_before_that() -> None:
    tagged = [replace(one, tags=("t",)) for one in spellings(18, 2)]
    held = Terms(SinglePlan(100, 90), slices={"t": SliceRule(0.95)}, at=0.85)
    assert conclude(held, tagged).verdict is FAIL


def test_a_sequential_draw_of_few_groups_stops_and_is_not_believed() -> None:
    plan = wald_plan(0.95, 0.85, 0.05, 0.05, 200)
    one_question = [replace(one, group="g") for one in spellings(20, 0)]
    assert conclude(Terms(plan), one_question).verdict is PASS
    assert conclude(Terms(plan, at=0.85), one_question).verdict is Verdict.INCONCLUSIVE


def test_older_records_and_cases_of_different_groups_are_decided_as_before() -> None:
    terms = Terms(SinglePlan(100, 90), at=0.85)
    assert conclude(replace(terms, at=None), spellings(18, 2)).verdict is PASS
    different = [replace(one, group=one.case_id) for one in spellings(18, 2)]
    found = conclude(terms, different)
    assert (found.verdict, found.reason) == (PASS, "90 of 100, 90 needed")
    assert found.interval == exact_interval(90, 100)
    assert terms_from_json(json.loads(json.dumps(terms.to_json()))) == terms
    assert "at" not in replace(terms, at=None).to_json()
