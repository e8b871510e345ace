"""Agreement with people: every formula against sklearn, statsmodels or scipy, and how often every interval holds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunegate.stats.agreement import (
    Share,
    agreement,
    corrected_pass_rate,
    correlation,
    kappa,
    kappa_interval,
    position_bias,
    two_way_kappa_interval,
)

THREE = [[106, 10, 4], [22, 28, 10], [2, 12, 6]]
"""Table 1 of Fleiss, Cohen and Everitt (1969), n = 200."""
FEW = st.integers(1, 40)


def spelled_out(table: list[list[int]]) -> tuple[list[int], list[int]]:
    """The two lists of verdicts that a table counts."""
    pairs = [(i, j) for i, row in enumerate(table) for j, count in enumerate(row) for _ in range(count)]
    return [i for i, _ in pairs], [j for _, j in pairs]


@given(st.lists(st.lists(FEW, min_size=4, max_size=4), min_size=4, max_size=4))
def test_kappa_is_that_of_sklearn(table: list[list[int]]) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    human, judge = spelled_out(table)
    for weights in ("none", "linear", "quadratic"):
        theirs = metrics.cohen_kappa_score(human, judge, weights=None if weights == "none" else weights)
        assert kappa(table, weights) == pytest.approx(theirs, abs=1e-12)
    assert agreement(table) == pytest.approx(metrics.accuracy_score(human, judge))


@given(st.lists(st.lists(FEW, min_size=3, max_size=3), min_size=3, max_size=3))
def test_the_interval_is_that_of_statsmodels(table: list[list[int]]) -> None:
    inter_rater = pytest.importorskip("statsmodels.stats.inter_rater")
    steps = np.arange(3)
    for weights, theirs in (("none", None), ("linear", "linear"), ("quadratic", "quadratic")):
        known = {} if theirs is None else {"wt": theirs, "weights": steps}
        result = inter_rater.cohens_kappa(np.array(table, dtype=float), **known)
        wanted = np.clip([result.kappa_low, result.kappa_upp], -1, 1)
        assert kappa_interval(table, weights) == pytest.approx(tuple(wanted), abs=1e-9)


def test_the_interval_as_a_number_where_statsmodels_is_not_installed() -> None:
    assert kappa(THREE) == pytest.approx(0.4286, abs=5e-5)
    assert kappa_interval(THREE) == pytest.approx((0.32330, 0.53384), abs=5e-6)


def test_what_was_not_judged_is_a_disagreement_and_stays_in_the_denominator() -> None:
    judged, unjudged = [[40, 5, 0], [5, 50, 0]], [[40, 5, 10], [5, 50, 10]]
    assert agreement(judged) == 0.9
    assert agreement(unjudged) == 90 / 120
    assert (kappa(unjudged) or 1) < (kappa(judged) or 0) == kappa([[40, 5], [5, 50]])
    metrics = pytest.importorskip("sklearn.metrics")
    human, judge = spelled_out(unjudged)
    assert kappa(unjudged) == pytest.approx(metrics.cohen_kappa_score(human, judge))
    assert kappa([[0, 0, 10], [0, 0, 20]]) == 0.0
    # By hand: 30 of 45 agree; chance would give 30 of 45 times the mean weight of the nine cells, which is 6 of 9.
    assert kappa([[10, 0, 0, 5], [0, 10, 0, 5], [0, 0, 10, 5]], "quadratic") == pytest.approx(0.4)
    assert (kappa([[40, 5, 10], [5, 50, 10]], "quadratic") or 1) < (kappa([[40, 5], [5, 50]], "quadratic") or 0)


def test_a_judge_that_never_varies_agrees_by_chance() -> None:
    assert kappa([[90, 0], [10, 0]]) == 0.0
    assert two_way_kappa_interval([[90, 0], [10, 0]])[0] < 0.1
    assert kappa([[90, 0], [0, 0]]) is None
    assert kappa_interval([[90, 0], [0, 0]]) == (-1.0, 1.0)
    assert two_way_kappa_interval([[90, 0], [0, 0]])[0] < 0.6


def test_few_cases_without_a_disagreement_prove_little() -> None:
    assert kappa_interval([[2, 0], [0, 1]]) == (1.0, 1.0)
    lows = [two_way_kappa_interval([[n, 0], [0, n]])[0] for n in (1, 5, 10, 100)]
    assert lows == sorted(lows)
    assert lows[1] < 0.6 < lows[2] < lows[3] < 1.0
    assert two_way_kappa_interval([[50, 0], [0, 50]])[1] == 1.0
    few, many = two_way_kappa_interval([[90, 5], [5, 50]]), kappa_interval([[90, 5], [5, 50]])
    assert few == pytest.approx(many, abs=0.02)
    assert few[0] < many[0]


@pytest.mark.parametrize("cells", [(0.70, 0.07, 0.05, 0.18), (0.45, 0.05, 0.05, 0.45)])
def test_the_interval_of_kappa_covers_what_it_promises(cells: tuple[float, ...]) -> None:
    truth = kappa([list(cells[:2]), list(cells[2:])])
    draws = np.random.default_rng(0).multinomial(200, cells, size=4000)
    low, high = np.array([two_way_kappa_interval([list(map(int, d[:2])), list(map(int, d[2:]))]) for d in draws]).T
    assert np.mean((low <= truth) & (truth <= high)) > 0.93
    assert np.mean(low > truth) < 0.035


# --- biases --------------------------------------------------------------------------------------------------------


def test_position_bias() -> None:
    bias = position_bias([(1, 2)] * 6 + [(2, 1)] * 2 + [(1, 1)] * 3 + [(2, 2)])
    assert (bias.consistent, bias.first) == (Share(8, 12), Share(3, 4))
    nothing = position_bias([])
    assert nothing.consistent.rate is None
    assert nothing.consistent.interval == (0.0, 1.0)


def test_correlation_is_that_of_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    lengths = [3.0, 9.0, 1.0, 4.0, 4.0, 30.0]
    passed = [False, True, False, True, False, True]
    assert correlation(lengths, passed) == pytest.approx(stats.pointbiserialr(passed, lengths).statistic)
    assert correlation(lengths, [True] * 6) is None
    assert correlation([2.0, 2.0], [True, False]) is None


# --- the corrected pass rate ---------------------------------------------------------------------------------------


def test_the_corrected_rate_is_that_of_rogan_and_gladen() -> None:
    found = corrected_pass_rate(23, 150, Share(96, 100), Share(89, 100))
    assert found is not None
    assert found.rate == pytest.approx((23 / 150 + 0.89 - 1) / (0.96 + 0.89 - 1))
    low, high = found.interval
    assert 0 <= low < found.rate < high < 0.2


def test_a_lenient_judge_is_seen_through() -> None:
    found = corrected_pass_rate(92, 100, Share(990, 1000), Share(600, 1000))
    assert found is not None
    assert found.rate == pytest.approx((0.92 - 0.4) / 0.59)
    assert found.interval[0] < 0.80 < 0.90 < found.interval[1]


def test_an_exact_judge_with_many_labels_corrects_next_to_nothing() -> None:
    found = corrected_pass_rate(90, 100, Share(10**7, 10**7), Share(10**7, 10**7))
    assert found is not None
    assert found.rate == pytest.approx(0.9)
    wilson = pytest.importorskip("scipy.stats").binomtest(90, 100).proportion_ci(method="wilson")
    assert found.interval[0] == pytest.approx(wilson.low, abs=0.005)


@pytest.mark.parametrize(
    ("sensitivity", "specificity"),
    [
        (Share(5, 10), Share(5, 10)),
        (Share(2, 10), Share(7, 10)),
        (Share(0, 0), Share(9, 10)),
        (Share(9, 10), Share(0, 0)),
    ],
)
def test_a_judge_no_better_than_chance_corrects_nothing(sensitivity: Share, specificity: Share) -> None:
    assert corrected_pass_rate(90, 100, sensitivity, specificity) is None


@pytest.mark.parametrize("truth", [0.05, 0.6, 0.85, 0.95])
def test_the_corrected_interval_covers_what_it_promises(truth: float) -> None:
    rng = np.random.default_rng(1)
    sensitivity, specificity, n_se, n_sp, drawn = 0.95, 0.85, 770, 230, 100
    passed = rng.binomial(drawn, truth * sensitivity + (1 - truth) * (1 - specificity), size=3000)
    seen_se, seen_sp = rng.binomial(n_se, sensitivity, size=3000), rng.binomial(n_sp, specificity, size=3000)
    covered = 0
    for k, se, sp in zip(passed, seen_se, seen_sp, strict=True):
        found = corrected_pass_rate(int(k), drawn, Share(int(se), n_se), Share(int(sp), n_sp))
        assert found is not None
        covered += found.interval[0] <= truth <= found.interval[1]
    assert covered / 3000 > 0.93


def test_wrong_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="0 <= passed <= drawn"):
        corrected_pass_rate(5, 4, Share(9, 10), Share(9, 10))
