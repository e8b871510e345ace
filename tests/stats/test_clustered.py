"""Cases of one group are worth fewer cases: correlation, effective size, the risk of a plan that is decided on it."""

from __future__ import annotations

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, binom, f

from tunegate.stats.beta import effective_interval
from tunegate.stats.clustered import (
    chance,
    correlation,
    correlation_at_most,
    design_effect,
    effective_size,
    expected_mates,
    f_quantile,
    grouped,
    mates,
    needed_size,
)
from tunegate.stats.sampling import exact_interval

ALL_OR_NOTHING = [(5, 5)] * 18 + [(0, 5)] * 2


def test_twenty_questions_in_five_spellings_are_twenty_cases() -> None:
    assert correlation(ALL_OR_NOTHING) == 1.0
    assert effective_size(ALL_OR_NOTHING) == pytest.approx(20.0)
    low, high = effective_interval(0.9, 20.0)
    assert (low, high) == pytest.approx(exact_interval(18, 20))
    assert (round(low, 3), round(high, 3)) == (0.683, 0.988)
    assert chance(0.9, 20.0, 0.85) == pytest.approx(binom.sf(17, 20, 0.85))
    assert round(chance(0.9, 20.0, 0.85), 3) == 0.405
    assert round(chance(0.9, 100.0, 0.85), 3) == 0.099


@given(st.integers(1, 30), st.integers(0, 30), st.floats(0.05, 0.95))
def test_the_chance_continues_the_binomial_tail(size: int, passed: int, p: float) -> None:
    passed = min(passed, size)
    assert chance(passed / size, size, p) == pytest.approx(binom.sf(passed - 1, size, p), abs=1e-9)


def test_the_design_effect_of_a_random_draw_and_of_a_realised_one() -> None:
    """1 + ICC (m-1)(n-1)/(N-1); a draw of the whole bank holds all m - 1 mates."""
    assert design_effect(0.5, expected_mates(5, 100, 100)) == 3.0
    assert design_effect(0.3, expected_mates(5, 100, 500)) == pytest.approx(1 + 0.3 * 4 * 99 / 499)
    assert mates([5] * 20) == 4.0
    assert mates([1] * 100) == 0.0
    assert mates([2] * 40 + [1] * 20) == pytest.approx((40 * 4 + 20) / 100 - 1)
    assert effective_size([(1, 1)] * 90 + [(0, 1)] * 10) == 100.0


def test_the_anova_estimate() -> None:
    """By hand: between 1.2, within 0.9 / 15, size 5: (1.2 - .2) / (1.2 + 4 * .2)."""
    groups = [(5, 5), (4, 5), (1, 5), (5, 5)]
    outcomes = [numpy.r_[numpy.ones(good), numpy.zeros(size - good)] for good, size in groups]
    grand = numpy.concatenate(outcomes).mean()
    between = sum(5 * (one.mean() - grand) ** 2 for one in outcomes) / 3
    within = sum(((one - one.mean()) ** 2).sum() for one in outcomes) / 16
    assert correlation(groups) == pytest.approx((between - within) / (between + 4 * within))


@pytest.mark.parametrize("groups", [[(90, 100)], [(1, 1)] * 9 + [(0, 1)], [(5, 5)] * 20, [(0, 5)] * 20, []])
def test_where_nothing_can_be_estimated_the_worst_is_assumed(groups: list[tuple[int, int]]) -> None:
    assert correlation(groups) is None
    assert correlation_at_most(groups) == 1.0


def test_misses_in_one_group_say_nothing_of_the_others() -> None:
    assert correlation([(4, 5)] + [(5, 5)] * 19) == pytest.approx(0.0)
    assert correlation_at_most([(4, 5)] + [(5, 5)] * 19) == 1.0
    assert correlation_at_most([(4, 5)] * 2 + [(5, 5)] * 18) < 1.0


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(1, 6)), min_size=1, max_size=30))
def test_a_draw_is_worth_its_groups_at_least_and_its_cases_at_most(found: list[tuple[int, int]]) -> None:
    groups = [(min(passed, size), size) for passed, size in found]
    cases = sum(size for _, size in groups)
    size = effective_size(groups)
    assert cases / (1 + mates([size for _, size in groups])) - 1e-9 <= size <= cases + 1e-9
    estimate = correlation(groups)
    assert estimate is None or 0.0 <= estimate <= correlation_at_most(groups) + 1e-9


@pytest.mark.parametrize(("upper", "lower"), [(19, 80), (1, 98), (49, 50), (9, 1)])
def test_the_f_quantile_is_that_of_scipy(upper: int, lower: int) -> None:
    for probability in (0.001, 0.05, 0.5, 0.95):
        assert f_quantile(probability, upper, lower) == pytest.approx(f.ppf(probability, upper, lower), rel=1e-6)


def test_how_many_independent_cases_would_do() -> None:
    allowed = float(binom.sf(89, 100, 0.85))
    assert needed_size(0.9, 0.85, allowed, 100) == 100
    assert needed_size(0.95, 0.85, allowed, 100) == next(
        n for n in range(1, 101) if beta.cdf(0.85, 0.95 * n, 0.05 * n + 1) <= allowed
    )
    assert needed_size(0.8, 0.85, allowed, 100) is None


def test_cases_are_counted_by_group() -> None:
    assert grouped(["a", "b", "a", None], lambda at: at < 2) == [(1, 2), (1, 1), (0, 1)]


# --- the risk of a plan that is decided on the effective size -------------------------------------------------------

Outcomes = numpy.ndarray


def passes(groups: list[tuple[int, int]], accept: int, at: float = 0.85) -> bool:
    """The rule of `verdicts/grouped.py`: enough cases, and no luckier than the plan claims."""
    passed, cases = (sum(column) for column in zip(*groups, strict=True))
    allowed = float(binom.sf(accept - 1, cases, at))
    size = effective_size(groups, min(0.05, allowed))
    return passed >= accept and chance(passed / cases, size, at) <= allowed + 1e-12


def simulated(number: int, size: int, p: float, icc: float, runs: int) -> Outcomes:
    """Passed cases by group: beta-binomial, all or nothing at correlation 1."""
    rng = numpy.random.default_rng(1)
    shape = (runs, number)
    if icc == 0.0:
        rates = numpy.full(shape, p)
    elif icc == 1.0:
        rates = (rng.random(shape) < p).astype(float)
    else:
        rates = rng.beta(p * (1 - icc) / icc, (1 - p) * (1 - icc) / icc, shape)
    return rng.binomial(size, rates)


def rate_of_passes(number: int, size: int, accept: int, icc: float, runs: int, p: float = 0.85) -> float:
    known: dict[tuple[int, ...], bool] = {}

    def one(row: Outcomes) -> bool:
        key = tuple(sorted(int(passed) for passed in row))
        if key not in known:
            known[key] = sum(key) >= accept and passes([(passed, size) for passed in key], accept)
        return known[key]

    return sum(map(one, simulated(number, size, p, icc, runs))) / runs


@pytest.mark.parametrize("icc", [0.0, 0.2, 1.0])
def test_a_bad_model_passes_no_oftener_than_the_plan_claims(icc: float) -> None:
    assert rate_of_passes(20, 5, 90, icc, runs=1000) <= 0.099


DRAWS = [(20, 5, 90), (10, 10, 90), (50, 2, 93), (20, 5, 93), (5, 20, 90)]


@pytest.mark.slow
@pytest.mark.parametrize("icc", [0.0, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0])
@pytest.mark.parametrize(
    ("number", "size", "accept"), [(20, 5, 90), (10, 10, 90), (50, 2, 93), (20, 5, 93), (5, 20, 90)]
)
def test_over_20_000_runs_too(number: int, size: int, accept: int, icc: float) -> None:
    claimed = float(binom.sf(accept - 1, number * size, 0.85))
    assert rate_of_passes(number, size, accept, icc, runs=20_000) <= claimed


def test_a_good_model_still_passes_where_its_answers_go_together_little() -> None:
    assert rate_of_passes(50, 2, 90, 0.1, runs=1000, p=0.95) > 0.93
    assert rate_of_passes(20, 5, 90, 0.0, runs=1000, p=0.95) > 0.88
