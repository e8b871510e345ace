"""Sampling plans: every formula against scipy, and a draw that is fair, fresh and the same everywhere."""

from __future__ import annotations

import time
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest, chisquare

from tunegate.sampling import SinglePlan, binomial_tail, draw_order, exact_interval

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
def test_interval_of_100_000_is_exact_and_quick(passed: int) -> None:
    started = time.process_time()
    interval = exact_interval(passed, 100_000)
    assert time.process_time() - started < 2.0
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
        assert plan.acceptance_probability(p) == pytest.approx(binom.sf(89, 100, p))
    assert plan.acceptance_probability(0.8) < 0.01 < 0.98 < plan.acceptance_probability(0.95)


# --- drawing -------------------------------------------------------------------------------------------------------

ids = st.sets(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), max_size=50)


@given(ids=ids, seed=st.integers())
def test_a_draw_is_a_permutation_whatever_the_order_of_the_bank(ids: set[str], seed: int) -> None:
    order = draw_order(ids, seed)
    assert sorted(order) == sorted(ids)
    assert draw_order(sorted(ids, reverse=True), seed) == order


def test_a_draw_is_the_same_on_every_machine() -> None:
    assert draw_order(map(str, range(10)), seed=1) == ["8", "2", "4", "6", "3", "9", "1", "5", "7", "0"]


def test_seeds_draw_differently_and_each_place_fairly() -> None:
    first = Counter(draw_order(map(str, range(10)), seed)[0] for seed in range(2000))
    assert chisquare(list(first.values())).pvalue > 0.001
    assert len(first) == 10
