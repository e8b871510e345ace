"""Weighted pass rates: by hand, against the interval of one stratum, and how often the interval covers."""

from __future__ import annotations

import numpy
import pytest

from tunegate.stats.sampling import exact_interval
from tunegate.stats.stratified import Stratum, stratified_rate


def test_one_stratum_is_the_exact_interval() -> None:
    found = stratified_rate([Stratum(90, 100, 1.0)])
    assert found is not None
    assert found.rate == 0.9
    assert found.interval == pytest.approx(exact_interval(90, 100))


def test_the_shares_weigh() -> None:
    found = stratified_rate([Stratum(45, 50, 0.2), Stratum(35, 50, 0.8)])
    assert found is not None
    assert found.rate == pytest.approx(0.2 * 0.9 + 0.8 * 0.7)
    assert found.interval[0] < found.rate < found.interval[1]


def test_fewer_independent_cases_widen_it() -> None:
    wide, narrow = (
        stratified_rate([Stratum(45, 50, 0.5, worth), Stratum(35, 50, 0.5, worth)]) for worth in (20.0, None)
    )
    assert wide is not None
    assert narrow is not None
    assert wide.rate == narrow.rate
    assert wide.interval[0] < narrow.interval[0] < narrow.interval[1] < wide.interval[1]


def test_a_stratum_without_cases_leaves_the_rate_unknown() -> None:
    assert stratified_rate([Stratum(45, 50, 0.5), Stratum(0, 0, 0.5)]) is None
    assert stratified_rate([]) is None


def coverage(sizes: list[int], shares: list[float], rates: list[float], runs: int) -> float:
    rng = numpy.random.default_rng(1)
    passed = rng.binomial(sizes, rates, (runs, len(sizes)))
    truth = sum(share * rate for share, rate in zip(shares, rates, strict=True))
    known: dict[tuple[int, ...], bool] = {}
    covered = 0
    for row in passed.tolist():
        if tuple(row) not in known:
            found = stratified_rate([Stratum(*one) for one in zip(row, sizes, shares, strict=True)])
            assert found is not None
            known[tuple(row)] = found.interval[0] <= truth <= found.interval[1]
        covered += known[tuple(row)]
    return covered / runs


DESIGNS = [
    ([50, 50], [0.2, 0.8], [0.9, 0.9]),
    ([50, 50], [0.5, 0.5], [0.5, 0.98]),
    ([90, 10], [0.5, 0.5], [0.99, 0.99]),
    ([60, 30, 10], [0.9, 0.05, 0.05], [0.95, 0.95, 0.95]),
    ([20] * 5, [0.2] * 5, [0.99] * 5),
    ([10] * 5, [0.9] + [0.025] * 4, [0.5, 0.62, 0.74, 0.86, 0.98]),
]


@pytest.mark.parametrize(("sizes", "shares", "rates"), DESIGNS)
def test_the_interval_covers(sizes: list[int], shares: list[float], rates: list[float]) -> None:
    assert coverage(sizes, shares, rates, runs=800) >= 0.94


@pytest.mark.slow
@pytest.mark.parametrize(("sizes", "shares", "rates"), DESIGNS)
def test_the_interval_covers_in_95_of_100(sizes: list[int], shares: list[float], rates: list[float]) -> None:
    assert coverage(sizes, shares, rates, runs=20_000) >= 0.95
