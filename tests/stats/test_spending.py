"""Alpha spending: a risk that holds for any number of attempts, because each spends its part of it."""

from __future__ import annotations

import math

import pytest
from scipy.stats import binom

from tunegate.exceptions import ConfigError
from tunegate.stats.curve import curve
from tunegate.stats.plans import PlanRule, Risk, spent
from tunegate.stats.sampling import SinglePlan

RISK = Risk(0.05, 0.85, 0.05, 0.95)
PLAN = PlanRule("double", spending=True).resolve(1)
CONFIRMS = {1: (46, 41), 2: (88, 80), 3: (115, 105), 5: (145, 133), 10: (179, 165), 50: (260, 241)}


def test_the_parts_of_all_attempts_add_up_to_the_whole() -> None:
    parts = [spent(RISK, attempt).consumer for attempt in range(1, 100_001)]
    assert math.fsum(parts) == pytest.approx(0.05, abs=1e-6)
    assert math.fsum(parts) < 0.05


@pytest.mark.parametrize(("attempt", "confirm"), CONFIRMS.items())
def test_each_attempt_is_confirmed_by_a_larger_draw(attempt: int, confirm: tuple[int, int]) -> None:
    assert PLAN.confirmation(attempt) == SinglePlan(*confirm)
    draw, accept = confirm
    lucky = binom.sf(89, 100, 0.85) * binom.sf(accept - 1, draw, 0.85)
    assert lucky <= 0.05 * 6 / (math.pi * attempt) ** 2
    assert binom.sf(89, 100, 0.95) * binom.sf(accept - 1, draw, 0.95) >= 0.95


def test_the_risk_holds_for_any_number_of_attempts() -> None:
    assert PLAN.acceptance_within(0.85, 3) < PLAN.acceptance_within(0.85, 200) < 0.05
    fixed = PlanRule("double").resolve(3)
    assert fixed.acceptance_within(0.85, 3) <= 0.05 < fixed.acceptance_within(0.85, 10)


def by_scipy(p: float, attempt: int) -> float:
    draw, accept = CONFIRMS[attempt]
    return float(binom.sf(89, 100, p) * binom.sf(accept - 1, draw, p))


@pytest.mark.parametrize("p", [0.5, 0.85, 0.9, 0.95])
def test_any_of_several_attempts_is_any_of_their_own_plans(p: float) -> None:
    (point,) = curve(PLAN, 3, [p])
    assert point.accept == pytest.approx(by_scipy(p, 1))
    assert point.accept_any == point.promoted
    assert point.accept_any == pytest.approx(1 - math.prod(1 - by_scipy(p, attempt) for attempt in (1, 2, 3)))


def test_the_plan_does_not_depend_on_a_promised_number_of_attempts() -> None:
    assert PlanRule("double", spending=True).resolve(7) == PLAN


def test_it_is_solved_for_the_given_risk() -> None:
    plan = PlanRule("double", spending=True, risk=Risk(0.01, 0.85, 0.05, 0.95)).resolve(1)
    assert plan.confirmation(1) != PLAN.confirmation(1)


def test_a_first_draw_that_rejects_good_models_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"rejects a model at 0\.95"):
        PlanRule("double", draw=100, accept=96, spending=True).resolve(1)
