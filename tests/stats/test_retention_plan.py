"""The plan of a retention test: sizes, largest net losses and risks, against the multinomial of scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from tunegate.exceptions import ConfigError
from tunegate.stats.paired import forgetting_caught
from tunegate.stats.retention import (
    RetentionRisk,
    fails_although_equal,
    gets_through,
    largest_allowed,
    net_loss_of,
    solve_retention,
)


def exact(cases: int, drop: float, differ: float) -> dict[int, float]:
    """The net loss by scipy: a difference of the two parts of a binomial number of differing cases."""
    found: dict[int, float] = {}
    share = (differ + drop / 100) / 2 / differ
    for differing, chance in enumerate(stats.binom.pmf(np.arange(cases + 1), cases, differ)):
        for lost, part in enumerate(stats.binom.pmf(np.arange(differing + 1), differing, share)):
            found[2 * lost - differing] = found.get(2 * lost - differing, 0.0) + chance * part
    return found


@pytest.mark.parametrize(
    ("margin", "differ", "attempts", "plan"),
    [
        (5, 0.10, 1, (445, 11)),
        (5, 0.20, 1, (885, 22)),
        (10, 0.10, 1, (105, 5)),
        (10, 0.20, 1, (225, 11)),
        (5, 0.10, 5, (630, 13)),
        (5, 0.20, 5, (1265, 26)),
        (10, 0.10, 5, (145, 6)),
        (10, 0.20, 5, (315, 13)),
    ],
)
def test_the_smallest_draw_that_keeps_both_risks(
    margin: float, differ: float, attempts: int, plan: tuple[int, int]
) -> None:
    assert solve_retention(margin, RetentionRisk(differ=differ), attempts) == plan
    cases, net_loss = plan
    lossy, equal = exact(cases, margin, differ), exact(cases, 0, differ)
    through = sum(chance for loss, chance in lossy.items() if loss <= net_loss)
    assert 1 - (1 - through) ** attempts <= 0.05
    assert 1 - (1 - through - lossy[net_loss + 1]) ** attempts > 0.05
    assert sum(chance for loss, chance in equal.items() if loss > net_loss) <= 0.05
    assert gets_through(cases, net_loss, margin, differ, attempts) == pytest.approx(1 - (1 - through) ** attempts)


@pytest.mark.parametrize(("cases", "drop", "differ"), [(100, 0, 0.1), (100, 10, 0.1), (60, 5, 0.3), (1, 100, 1.0)])
def test_the_net_loss_is_that_of_scipy(cases: int, drop: float, differ: float) -> None:
    loss, expected = net_loss_of(cases, drop, differ), exact(cases, drop, differ)
    for net_loss in range(-cases, cases + 1):
        below = sum(chance for found, chance in expected.items() if found <= net_loss)
        assert loss.at_most(net_loss) == pytest.approx(below, abs=1e-12)
        assert loss.above(net_loss) == pytest.approx(1 - below, abs=1e-12)


@pytest.mark.parametrize("drop", [0, 5, 10])
def test_a_count_without_a_risk_does_what_the_comparison_does(drop: float) -> None:
    allowed = largest_allowed(100, 5)
    caught = forgetting_caught(100, 5, drop, 0.2)
    assert 1 - gets_through(100, allowed, drop, 0.2) == pytest.approx(caught, abs=1e-12)


def test_what_a_count_of_100_cases_lets_through() -> None:
    """A model that lost 10 points at `max_drop: 5`, over ten attempts, where the models differ on 15 to 16 %."""
    assert gets_through(100, 5, 10, 0.155, attempts=10) == pytest.approx(0.71, abs=0.005)
    assert gets_through(100, 5, 10, 0.155) == pytest.approx(0.116, abs=0.001)


def test_an_equal_model_fails_worth_nearly_every_second_time() -> None:
    """No point may be lost: .41 where the models differ on 5 % of 100 cases, .46 where they differ on 30 %."""
    chances = [fails_although_equal(100, largest_allowed(100, 0), differ) for differ in (0.05, 0.10, 0.20, 0.30)]
    assert [round(chance, 2) for chance in chances] == [0.41, 0.44, 0.46, 0.46]


def test_a_reference_that_was_chosen_because_it_passed_accuses_an_equal_model() -> None:
    """Two models right 88 % of the time, independently, on 100 cases, `max_drop: 5`: .115 fail. If the first one is
    held to the draw with which it passed 90 of 100, .28 do: why both are asked fresh cases."""
    before = stats.binom.pmf(np.arange(101), 100, 0.88)
    fails = stats.binom.cdf(np.arange(101) - 6, 100, 0.88)
    assert (before * fails).sum() == pytest.approx(0.115, abs=5e-4)
    assert (before * fails)[90:].sum() / before[90:].sum() == pytest.approx(0.278, abs=5e-4)
    assert fails_although_equal(100, 5, 2 * 0.88 * 0.12) == pytest.approx(0.115, abs=5e-4)


def test_an_impossible_plan_is_refused_in_one_line() -> None:
    with pytest.raises(ConfigError, match="`differ` at least `max_drop` / 100"):
        solve_retention(20, RetentionRisk(differ=0.1), 1)
    with pytest.raises(ConfigError, match="`differ` at least `max_drop` / 100"):
        solve_retention(0, RetentionRisk(), 1)
    with pytest.raises(ConfigError, match="no draw of up to 4000 cases"):
        solve_retention(1, RetentionRisk(differ=0.3), 5)
    with pytest.raises(ValueError, match="must be at least"):
        net_loss_of(10, 20, 0.1)
