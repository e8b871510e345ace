"""One draw: operating characteristic, average sample number and intervals, every formula against scipy."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, binom, binomtest, hypergeom, nbinom

from tunegate.stats.binomial import binomial_tail, hypergeometric
from tunegate.stats.sampling import (
    DrawPlan,
    SequentialPlan,
    SinglePlan,
    acceptance_probability,
    average_sample_number,
    bank_acceptance_probability,
    endings,
    exact_interval,
    from_bank,
    independent,
    plan_from_json,
    stopped_interval,
    wald_plan,
)

counts = st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
rates = st.floats(1e-6, 1.0 - 1e-6)


@given(counts=counts, p=rates)
def test_binomial_tail_is_scipys(counts: tuple[int, int], p: float) -> None:
    k, n = counts
    assert binomial_tail(k, n, p) == pytest.approx(binom.sf(k - 1, n, p), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(
    ("k", "n", "p", "tail"),
    [
        (0, 10, 0.3, 1.0),
        (-1, 10, 0.3, 1.0),
        (11, 10, 0.3, 0.0),
        (5, 10, 0.0, 0.0),
        (5, 10, 1.0, 1.0),
        (1, 1, 0.25, 0.25),
    ],
)
def test_ends_of_the_binomial_tail(k: int, n: int, p: float, tail: float) -> None:
    assert binomial_tail(k, n, p) == pytest.approx(tail)


@given(counts=counts, confidence=st.sampled_from([0.8, 0.95, 0.99]))
def test_interval_is_clopper_and_pearsons(counts: tuple[int, int], confidence: float) -> None:
    k, n = counts
    expected = binomtest(k, n).proportion_ci(confidence, method="exact")
    assert exact_interval(k, n, confidence) == pytest.approx((expected.low, expected.high), abs=1e-9)


@pytest.mark.parametrize("passed", [89, 90, 99, 100, 0])
def test_interval_of_a_gate_of_100(passed: int) -> None:
    expected = binomtest(passed, 100).proportion_ci(method="exact")
    assert exact_interval(passed, 100) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize("passed", [1, 10_000, 50_000, 90_000, 99_999])
def test_interval_of_100_000_is_exact(passed: int) -> None:
    interval = exact_interval(passed, 100_000)
    expected = binomtest(passed, 100_000).proportion_ci(method="exact")
    assert interval == pytest.approx((expected.low, expected.high), abs=1e-8)


@pytest.mark.parametrize(("passed", "drawn"), [(-1, 10), (11, 10), (0, 0)])
def test_counts_that_cannot_be_are_refused(passed: int, drawn: int) -> None:
    with pytest.raises(ValueError, match="passed"):
        exact_interval(passed, drawn)


# --- plans ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("draw", "accept"), [(0, 0), (10, 0), (10, 11), (-1, -1), (1, 2)])
def test_a_plan_that_accepts_all_or_nothing_is_refused(draw: int, accept: int) -> None:
    with pytest.raises(ValueError, match="accept"):
        SinglePlan(draw, accept)


def test_what_90_of_100_says_about_a_model() -> None:
    plan = SinglePlan()
    assert (plan.draw, plan.accept, plan.allowed_misses) == (100, 90, 10)
    for p in (0.8, 0.85, 0.9, 0.95):
        assert acceptance_probability(plan, p) == pytest.approx(binom.sf(89, 100, p))
    assert acceptance_probability(plan, 0.8) < 0.01 < 0.98 < acceptance_probability(plan, 0.95)


# --- when a draw stops ---------------------------------------------------------------------------------------------

singles = st.integers(1, 60).flatmap(lambda n: st.builds(SinglePlan, st.just(n), st.integers(1, n)))
sequentials = st.builds(
    wald_plan,
    good=st.floats(0.9, 0.99),
    at=st.floats(0.5, 0.85),
    producer=st.floats(0.01, 0.2),
    consumer=st.floats(0.01, 0.2),
    draw=st.just(40),
)


@given(plan=singles | sequentials)
def test_limits_ask_on_only_while_the_verdict_is_open(plan: DrawPlan) -> None:
    """Once rejected, no answer to what is left could have accepted; at the last case nothing stays open."""
    allowed = plan.draw - plan.accept
    for asked in range(1, plan.draw + 1):
        accept_up_to, reject_from = plan.limits(asked)
        assert -1 <= accept_up_to < reject_from <= allowed + 1
    assert plan.limits(plan.draw) == (allowed, allowed + 1)


@given(plan=singles | sequentials, p=rates)
def test_the_ways_to_end_sum_to_one(plan: DrawPlan, p: float) -> None:
    assert sum(ending.probability for ending in endings(plan, independent(p))) == pytest.approx(1.0, abs=1e-12)


@given(plan=singles, p=rates)
def test_the_recursion_is_the_binomial_tail(plan: SinglePlan, p: float) -> None:
    accepted = sum(ending.probability for ending in endings(plan, independent(p)) if ending.accepted)
    assert accepted == pytest.approx(binom.sf(plan.accept - 1, plan.draw, p), abs=1e-12)


@given(plan=singles, p=st.floats(0.01, 0.99))
def test_average_sample_number_of_a_curtailed_draw(plan: SinglePlan, p: float) -> None:
    """It ends with the miss too many, a negative binomial waiting time, or with the last case."""
    too_many = plan.allowed_misses + 1
    waits = [(n, nbinom.pmf(n - too_many, too_many, 1 - p)) for n in range(too_many, plan.draw)]
    expected = sum(n * chance for n, chance in waits) + plan.draw * (1 - sum(chance for _, chance in waits))
    assert average_sample_number(plan, p) == pytest.approx(expected, rel=1e-9)


def test_a_coin_needs_22_tests_not_100() -> None:
    assert average_sample_number(SinglePlan(100, 90), 0.5) == pytest.approx(22, abs=0.01)


@pytest.mark.parametrize("passing", [0, 50, 170, 180, 190, 200])
def test_a_draw_from_a_finite_bank_is_hypergeometric(passing: int) -> None:
    expected = hypergeom.sf(89, 200, passing, 100)
    assert bank_acceptance_probability(SinglePlan(100, 90), 200, passing) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("size", "passing", "draw"), [(7, 0, 3), (7, 7, 7), (60, 41, 30), (6000, 5400, 2000)])
def test_the_hypergeometric_distribution(size: int, passing: int, draw: int) -> None:
    chances = hypergeometric(draw, size, passing)
    assert math.fsum(chances.values()) == pytest.approx(1.0, abs=1e-14)
    for k in range(draw + 1):
        assert chances.get(k, 0.0) == pytest.approx(hypergeom.pmf(k, size, passing, draw), rel=1e-9, abs=1e-28)


@given(plan=singles, confirm=st.none() | singles, data=st.data())
@settings(max_examples=40)
def test_a_finite_bank_by_the_recursion_over_all_endings(
    plan: SinglePlan, confirm: SinglePlan | None, data: st.DataObject
) -> None:
    """As it was reckoned before it was reckoned in closed form."""
    size = plan.draw + (confirm.draw if confirm else 0) + data.draw(st.integers(0, 40))
    passing = data.draw(st.integers(0, size))

    def chance(plan: SinglePlan, confirm: SinglePlan | None, size: int, passing: int) -> float:
        return math.fsum(
            end.probability
            * (chance(confirm, None, size - end.asked, passing - end.asked + end.misses) if confirm else 1)
            for end in endings(plan, from_bank(size, passing))
            if end.accepted
        )

    told = bank_acceptance_probability(plan, size, passing, confirm)
    assert told == pytest.approx(chance(plan, confirm, size, passing), abs=1e-12)


def test_a_bank_drawn_whole_leaves_nothing_to_chance() -> None:
    assert bank_acceptance_probability(SinglePlan(100, 90), 100, 90) == pytest.approx(1.0)
    assert bank_acceptance_probability(SinglePlan(100, 90), 100, 89) == 0.0


def test_walds_lines() -> None:
    """Wald (1947), section 5.3, worked with p0 = 0.05, p1 = 0.15 misses, alpha = beta = 0.05."""
    plan = wald_plan(good=0.95, at=0.85, producer=0.05, consumer=0.05, draw=200)
    g = math.log(0.15 / 0.05) - math.log(0.85 / 0.95)
    assert plan.slope == pytest.approx(math.log(0.95 / 0.85) / g)
    assert plan.accept_intercept == pytest.approx(math.log(0.95 / 0.05) / g)
    assert plan.reject_intercept == pytest.approx(math.log(0.95 / 0.05) / g)
    assert [plan.limits(n)[0] for n in (26, 27, 37, 38)] == [-1, 0, 0, 1]


def test_walds_test_simulated() -> None:
    """The exact recursion against 100,000 draws, played out case by case."""
    plan, rng = wald_plan(0.95, 0.85, 0.05, 0.05, 140), np.random.default_rng(1)
    for p in (0.85, 0.9, 0.95):
        misses = np.cumsum(rng.random((100_000, plan.draw)) >= p, axis=1)
        limits = np.array([plan.limits(n) for n in range(1, plan.draw + 1)])
        accepts, rejects = misses <= limits[:, 0], misses >= limits[:, 1]
        stops = np.argmax(accepts | rejects, axis=1)
        accepted = accepts[np.arange(len(stops)), stops]
        assert acceptance_probability(plan, p) == pytest.approx(accepted.mean(), abs=0.005)
        assert average_sample_number(plan, p) == pytest.approx((stops + 1).mean(), rel=0.01)


# --- the interval of a draw that stopped ---------------------------------------------------------------------------


def test_the_interval_of_a_rejected_draw_in_closed_form() -> None:
    """11 misses in 22: at most 11 of 22 right is as likely as the upper end allows; 10 misses in 21 the lower."""
    low, high = stopped_interval(SinglePlan(100, 90), 22, 11)
    assert binom.cdf(11, 22, high) == pytest.approx(0.025, abs=1e-6)
    assert binom.sf(10, 21, low) == pytest.approx(0.025, abs=1e-6)


@pytest.mark.parametrize("misses", [0, 4, 10])
def test_the_interval_of_an_accepted_draw_is_clopper_and_pearsons(misses: int) -> None:
    expected = binomtest(100 - misses, 100).proportion_ci(method="exact")
    assert stopped_interval(SinglePlan(100, 90), 100, misses) == pytest.approx((expected.low, expected.high), abs=1e-6)


def rejections(draw: int) -> Iterator[tuple[SinglePlan, int, int]]:
    for accept in range(1, draw + 1):
        plan = SinglePlan(draw, accept)
        yield from ((plan, asked, plan.allowed_misses + 1) for asked in range(plan.allowed_misses + 1, draw + 1))


def test_the_interval_of_a_rejected_draw_is_that_of_the_beta_distribution() -> None:
    for plan, asked, misses in rejections(25):
        low = beta.ppf(0.025, asked - misses, misses) if asked > misses else 0.0
        high = beta.ppf(0.975, asked - misses + 1, misses)
        assert stopped_interval(plan, asked, misses) == pytest.approx((low, high), abs=1e-12)


@pytest.mark.parametrize("draw", [1, 2, 7, 12])
def test_the_closed_form_is_what_the_recursion_over_all_endings_gives(draw: int) -> None:
    for plan, asked, misses in rejections(draw):
        observed = asked * 1_000_000 - misses

        def chance(p: float, least: int, plan: SinglePlan = plan) -> float:
            ranked = (
                (e.accepted, e.asked * 1_000_000 - e.misses, e.probability) for e in endings(plan, independent(p))
            )
            return math.fsum(chance for accepted, rank, chance in ranked if accepted or rank >= least)

        low, high = stopped_interval(plan, asked, misses)
        assert low == 0.0 if asked == misses else chance(low, observed) == pytest.approx(0.025, abs=1e-9)
        assert chance(high, observed + 1) == pytest.approx(0.975, abs=1e-9)


def test_the_interval_of_a_large_draw_that_was_rejected_late() -> None:
    low, high = beta.ppf((0.025, 0.975), (1791, 1792), 201)
    assert stopped_interval(SinglePlan(2000, 1800), 1992, 201) == pytest.approx((low, high), abs=1e-12)


@pytest.mark.parametrize(
    "plan", [SinglePlan(30, 27), wald_plan(0.95, 0.7, 0.05, 0.05, 40)], ids=["curtailed", "sequential"]
)
@pytest.mark.parametrize("p", [0.6, 0.8, 0.9, 0.97])
def test_the_interval_covers_the_truth_as_often_as_it_says(plan: DrawPlan, p: float) -> None:
    covered = 0.0
    for ending in endings(plan, independent(p)):
        low, high = stopped_interval(plan, ending.asked, ending.misses)
        covered += ending.probability if low <= p <= high else 0.0
    assert covered >= 0.95


@given(plan=singles | sequentials)
def test_a_plan_survives_the_record(plan: SinglePlan | SequentialPlan) -> None:
    assert plan_from_json(json.loads(json.dumps(asdict(plan)))) == plan
