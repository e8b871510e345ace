"""The operating characteristic of a gate that a judge decides: an audit's figures, exact by scipy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from tunegate.exceptions import ConfigError
from tunegate.stats.agreement import Share
from tunegate.stats.judged import Judged, Scale, judged_scale
from tunegate.stats.luck import lucky_pass
from tunegate.stats.plans import GatePlan, PlanRule, Risk, SinglePlan, solve_single

SHIPPED = Scale(right=0.931, wrong=1 - 0.849)
LENIENT = judged_scale([(Share(500, 500), Share(330, 500))])
"""An admitted judge that passes a third of what people fail: kappa's lower end is .615."""


def on(scale: Scale) -> Judged:
    return Judged(scale, scale, scale)


@pytest.mark.parametrize(
    ("scale", "at", "good", "draw", "accept"),
    [
        (SHIPPED, 0.8140, 0.8920, 292, 252),
        (Scale(1.0, 1 - 0.66), 0.9010, 0.9670, 202, 191),
        (Scale(1.0, 0.0), 0.85, 0.95, 123, 113),
    ],
    ids=["shipped", "lenient", "perfect"],
)
def test_a_risk_is_solved_on_the_judges_scale(scale: Scale, at: float, good: float, draw: int, accept: int) -> None:
    assert scale.passes(0.85) == pytest.approx(at, abs=5e-5)
    assert scale.passes(0.95) == pytest.approx(good, abs=5e-5)
    assert solve_single(Risk(0.05, at, 0.05, good), 3) == SinglePlan(draw, accept)
    plan = PlanRule("single", risk=Risk()).resolve(3, on(scale))
    assert plan.first == SinglePlan(draw, accept)
    assert plan.acceptance_within(0.85, 3) <= 0.05
    assert plan.acceptance(0.95) >= 0.95


def test_a_lenient_judge_lets_a_model_through_that_people_would_stop() -> None:
    assert LENIENT is not None
    plan = GatePlan(SinglePlan(100, 90), judged=LENIENT)
    assert plan.acceptance(0.85) == pytest.approx(binom.sf(89, 100, 0.85 + 0.15 * 0.34))
    assert plan.acceptance(0.85) == pytest.approx(0.596, abs=5e-4)
    assert GatePlan(SinglePlan(100, 90)).acceptance(0.85) == pytest.approx(0.099, abs=5e-4)
    retried = GatePlan(SinglePlan(100, 90), SinglePlan(100, 90), "after_retry", judged=LENIENT)
    truth = GatePlan(SinglePlan(100, 90), SinglePlan(100, 90), "after_retry")
    assert retried.acceptance_within(0.85, 10) == pytest.approx(0.992, abs=5e-4)
    assert truth.acceptance_within(0.85, 10) == pytest.approx(0.177, abs=1e-3)


def test_the_shipped_judge_turns_good_models_away() -> None:
    plan = GatePlan(SinglePlan(100, 90), judged=on(SHIPPED))
    assert plan.acceptance(0.95) == pytest.approx(0.478, abs=5e-4)
    assert GatePlan(SinglePlan(100, 90)).acceptance(0.95) == pytest.approx(0.989, abs=5e-4)


@pytest.mark.parametrize("kind", ["double", "sequential"])
def test_other_plans_are_solved_there_too(kind: str) -> None:
    scale = Scale(0.97, 0.1)
    risk = Risk(0.05, 0.8, 0.1, 0.97)
    plan = PlanRule(kind, risk=risk).resolve(2, on(scale))  # pyright: ignore[reportArgumentType]
    assert plan.acceptance_within(risk.at, 2) <= 0.05 + 1e-9
    assert plan.acceptance(risk.good) >= 0.9 - 1e-9


def test_a_judge_that_can_hardly_tell_has_no_plan() -> None:
    with pytest.raises(ConfigError, match="no draw of up to 2000 cases"):
        PlanRule("single", risk=Risk()).resolve(3, on(Scale(0.6, 0.5)))


def test_the_ends_are_those_of_clopper_and_pearson() -> None:
    found = judged_scale([(Share(931, 1000), Share(849, 1000))])
    assert found is not None
    se, sp = (binomtest(k, 1000).proportion_ci(method="exact") for k in (931, 849))
    assert (found.lenient.right, found.lenient.wrong) == pytest.approx((se.high, 1 - sp.low))
    assert (found.strict.right, found.strict.wrong) == pytest.approx((se.low, 1 - sp.high))
    assert (found.point.right, found.point.wrong) == pytest.approx((0.931, 0.151))


@given(
    judges=st.lists(
        st.tuples(*[st.tuples(st.integers(0, 60), st.integers(1, 60)).map(lambda k: Share(min(k), max(k)))] * 2),
        min_size=1,
        max_size=3,
    ),
    p=st.floats(0, 1),
)
def test_the_measured_scale_is_between_its_ends(judges: list[tuple[Share, Share]], p: float) -> None:
    found = judged_scale(judges)
    assert found is not None
    assert 0 <= found.strict.passes(p) <= found.point.passes(p) + 1e-12
    assert found.point.passes(p) <= found.lenient.passes(p) + 1e-12 <= 1 + 1e-9


def test_of_an_unmeasured_judge_nothing_is_known() -> None:
    assert judged_scale([]) is None
    assert judged_scale([(Share(10, 10), Share(0, 0))]) is None


def test_luck_is_told_with_its_worse_end() -> None:
    assert LENIENT is not None
    luck = lucky_pass(GatePlan(SinglePlan(100, 90), judged=LENIENT), 1, 1)
    assert luck.so_far == pytest.approx(0.596, abs=5e-4)
    assert luck.at_most is not None
    assert 0.6 < luck.at_most < 1
    assert lucky_pass(GatePlan(SinglePlan(100, 90)), 1, 1).at_most is None


def test_promotions_simulated() -> None:
    """Answers are right or wrong, a judge errs on each: the share of gates passed is what the plan says."""
    rng = np.random.default_rng(7)
    plan = GatePlan(SinglePlan(100, 90), judged=on(SHIPPED))
    for p in (0.85, 0.9, 0.95, 0.99):
        right = rng.random((20_000, 100)) < p
        passed = rng.random((20_000, 100)) < np.where(right, SHIPPED.right, SHIPPED.wrong)
        share = (passed.sum(axis=1) >= 90).mean()
        assert share == pytest.approx(plan.acceptance(p), abs=4 * np.sqrt(0.25 / 20_000))
