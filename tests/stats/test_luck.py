"""What a pass is worth: the pass rate that it shows, an audit's figures exact by scipy; and the sentence about it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.stats import binom

from tunegate.stats.judged import Judged, Scale
from tunegate.stats.luck import LuckyPass, lucky_pass, shown_rate
from tunegate.stats.plans import GatePlan, PlanKind, PlanRule
from tunegate.stats.sampling import SinglePlan
from tunegate.verdicts.luck_words import in_words
from tunegate.verdicts.words import probability

SHOWN = [
    *(("single", 1, 0.8363), ("single", 3, 0.8347), ("single", 5, 0.8334), ("single", 10, 0.8311)),
    *(("double", 1, 0.8511), ("double", 10, 0.8501), ("sequential", 1, 0.8520), ("sequential", 10, 0.8500)),
]


@pytest.mark.parametrize(("kind", "attempts", "rate"), SHOWN)
def test_what_a_pass_shows(kind: PlanKind, attempts: int, rate: float) -> None:
    """The plans are made for the attempts that were allowed, and all of these were made."""
    assert shown_rate(PlanRule(kind).resolve(attempts), attempts) == pytest.approx(rate, abs=5e-5)


@pytest.mark.parametrize("attempts", [1, 3, 5, 10])
def test_the_shown_rate_against_scipy(attempts: int) -> None:
    def passes(p: float) -> float:
        once = binom.sf(89, 100, p)
        return 1 - (1 - once) * (1 - once**2) ** (attempts - 1)

    expected = brentq(lambda p: passes(p) - 0.05, 0.5, 0.99, xtol=1e-12)
    assert shown_rate(PlanRule().resolve(10), attempts) == pytest.approx(expected, abs=1e-9)


@given(draw=st.integers(1, 120), missed=st.integers(0, 30), attempts=st.integers(1, 10))
def test_a_model_below_it_passes_rarely(draw: int, missed: int, attempts: int) -> None:
    plan = GatePlan(SinglePlan(draw, max(1, draw - missed)))
    rate = shown_rate(plan, attempts)
    assert plan.acceptance_within(rate, attempts) == pytest.approx(0.05, abs=1e-6)
    assert plan.acceptance_within(rate / 2, attempts) <= 0.05 + 1e-9


def test_it_is_a_rate_of_right_answers_not_of_what_a_judge_passes() -> None:
    """The judge passes 34 % of wrong answers: seen are 83.63 %, of which 75.2 % are right."""
    scale, worse = Scale(1.0, 0.34), Scale(1.0, 0.4)
    luck = lucky_pass(GatePlan(SinglePlan(), judged=Judged(scale, worse, scale)), 1, 1)
    assert luck.shows == pytest.approx((0.8363 - 0.34) / 0.66, abs=1e-4)
    assert luck.shows_at_least == pytest.approx((0.8363 - 0.4) / 0.6, abs=1e-4)
    assert "shows a pass rate above 75.1 % (above 72.7 % by the judge's error rates): " in in_words(luck)


@pytest.mark.parametrize(
    "scale", [Scale(1.0, 0.9), Scale(0.7, 0.1), Scale(0.1, 0.9)], ids=["lenient", "strict", "wrong"]
)
def test_a_judge_that_hardly_tells_shows_nothing(scale: Scale) -> None:
    luck = lucky_pass(GatePlan(SinglePlan()).on(scale), 1, 1)
    assert (luck.shows, luck.shows_at_least) == (0.0, 0.0)
    assert "this PASS shows no pass rate, because the judge errs too much" in in_words(luck)


def test_the_sentence() -> None:
    assert in_words(lucky_pass(GatePlan(SinglePlan()), 1, 1)) == (
        "a model that is right only 85% of the time would have passed this gate within one attempt "
        "with probability 0.099; this PASS shows a pass rate above 83.6 %: a model below would have passed with at "
        "most 5 %"
    )
    assert "within 2 attempts with probability 0.108, within all 3 allowed with 0.117; this PASS" in in_words(
        lucky_pass(PlanRule().resolve(10), 2, 3)
    )


def test_an_older_record_does_not_know_what_it_shows() -> None:
    assert in_words(LuckyPass(0.85, 1, 0.099, 1, 0.099)).endswith("within one attempt with probability 0.099")


def test_a_small_probability_is_not_printed_as_none() -> None:
    assert [probability(p) for p in (1e-12, 0.00049, 0.0005, 0.05, 1.0)] == [
        *("< 0.001", "< 0.001", "0.001", "0.050", "1.000")
    ]
    assert "with probability < 0.001; this PASS" in in_words(lucky_pass(GatePlan(SinglePlan(400, 390)), 1, 1))
