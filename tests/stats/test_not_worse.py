"""The exact test that a model is not worse by a margin: against the multinomial of scipy, and its level."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from tunegate.stats.not_worse import LEVEL, MISSED, cases_to_show, more_cases_to_show, p_not_worse


def chance_of_showing(n: int, margin: float, differ: float) -> float:
    """How often a model that lost exactly the margin is taken for one that is not worse."""
    lose, win = (differ + margin) / 2, max(0.0, (differ - margin) / 2)
    total = 0.0
    for lost in range(n + 1):
        for won in range(n + 1 - lost):
            chance = stats.multinomial.pmf([lost, won, n - lost - won], n, [lose, win, 1 - lose - win])
            if chance > 1e-9 and lost - won < margin * n and p_not_worse(lost, won, n, margin) <= LEVEL:
                total += chance
    return total


@pytest.mark.parametrize(("margin", "differ"), [(0.2, 0.2), (0.2, 0.3), (0.2, 0.6), (0.2, 1.0), (0.1, 0.1)])
def test_a_model_that_lost_the_margin_is_shown_with_at_most_five_percent(margin: float, differ: float) -> None:
    assert chance_of_showing(30, margin, differ) <= LEVEL


@pytest.mark.parametrize(("lost", "won", "n", "margin"), [(0, 0, 10, 0.02), (3, 1, 60, 0.1), (0, 5, 40, 0.05)])
def test_the_p_value_is_the_largest_over_the_shares(lost: int, won: int, n: int, margin: float) -> None:
    differing = lost + won
    upper = stats.beta.ppf(1 - MISSED, differing + 1, n - differing)
    worst = 0.0
    for differ in np.linspace(margin, upper, 25):
        k = np.arange(n + 1)
        part = stats.binom.cdf((k + lost - won) // 2, k, min(1, (1 + margin / differ) / 2))
        worst = max(worst, float((stats.binom.pmf(k, n, differ) * part).sum()))
    assert p_not_worse(lost, won, n, margin) == pytest.approx(MISSED + worst, abs=1e-9)


def test_ten_equal_pairs_show_nothing() -> None:
    """An interval of width 0 would pass them; a model that newly breaks 20 % loses none of ten with .8 ** 10 = .11."""
    assert pytest.approx(0.107, abs=5e-4) == 0.8**10
    assert p_not_worse(0, 0, 10, 0.02) > 0.5
    assert p_not_worse(0, 0, 10, 0.20) > LEVEL


def test_how_many_equal_pairs_show_something() -> None:
    for margin in (0.02, 0.05, 0.20):
        needed = cases_to_show(margin)
        assert needed is not None
        assert p_not_worse(0, 0, needed, margin) <= LEVEL < p_not_worse(0, 0, needed - 1, margin)
    assert cases_to_show(0.0) is None


@pytest.mark.parametrize(("lost", "won", "n", "margin"), [(4, 0, 400, 0.02), (14, 8, 400, 0.03), (6, 6, 300, 0.02)])
def test_so_many_more_cases_show_it_where_the_models_differ_as_often(
    lost: int, won: int, n: int, margin: float
) -> None:
    more = more_cases_to_show(lost, won, n, margin)
    assert more is not None

    def p_value(cases: int) -> float:
        return p_not_worse(math.ceil(lost * cases / n), won * cases // n, cases, margin)

    assert p_value(n + more) <= LEVEL < p_value(n + more - 1)


def test_no_number_of_cases_shows_it_where_the_margin_is_lost() -> None:
    assert more_cases_to_show(8, 0, 400, 0.02) is None
    assert more_cases_to_show(7, 0, 1, 0.02) is None
