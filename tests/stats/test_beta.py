"""Beta and Student's t against scipy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, binomtest, t

from tunegate.stats.beta import beta_cdf, beta_quantile, effective_interval, t_quantile

sizes = st.floats(0.05, 3000)


@given(x=st.floats(0, 1), a=sizes, b=sizes)
def test_cdf_is_scipys(x: float, a: float, b: float) -> None:
    assert beta_cdf(x, a, b) == pytest.approx(float(beta.cdf(x, a, b)), abs=1e-10)


@given(p=st.floats(0.001, 0.999), a=st.floats(0.5, 3000), b=st.floats(0.5, 3000))
def test_quantile_is_scipys(p: float, a: float, b: float) -> None:
    assert beta_quantile(p, a, b) == pytest.approx(float(beta.ppf(p, a, b)), abs=1e-8)


@pytest.mark.parametrize("freedom", [1, 2, 5, 49, 199, 499, 5000])
@pytest.mark.parametrize("p", [0.6, 0.9, 0.975, 0.995])
def test_students_t_is_scipys(p: float, freedom: int) -> None:
    assert t_quantile(p, freedom) == pytest.approx(float(t.ppf(p, freedom)), rel=1e-6)


@pytest.mark.parametrize(("passed", "drawn"), [(0, 20), (20, 20), (18, 20), (90, 100), (1, 3)])
def test_of_whole_counts_it_is_clopper_and_pearsons(passed: int, drawn: int) -> None:
    expected = binomtest(passed, drawn).proportion_ci(method="exact")
    assert effective_interval(passed / drawn, drawn) == pytest.approx((expected.low, expected.high), abs=1e-9)
