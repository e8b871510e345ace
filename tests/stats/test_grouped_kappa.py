"""Kappa of labels that are of groups: how often a judge is admitted that should not be, and what its record holds."""

from __future__ import annotations

import numpy
import pytest

from tunegate.checks.judge_admission import Agreement, Counts
from tunegate.stats.agreement import grouped_kappa_interval, kappa, kappa_interval, two_way_kappa_interval

BALANCED = (0.4, 0.1, 0.1, 0.4)
"""Kappa .6: both pass, people only, judge only, neither."""
MOSTLY_PASS = (0.736, 0.064, 0.064, 0.136)


def groups_of(rng: numpy.random.Generator, number: int, size: int, cells: tuple[float, ...], together: float) -> list:  # type: ignore[type-arg]
    """Counts of cells by group; `together` is the correlation of the labels of a group, 1: they are all alike."""
    if together == 1.0:
        return (size * rng.multinomial(1, cells, number)).tolist()
    if together == 0.0:
        return rng.multinomial(size, cells, number).tolist()
    rates = rng.dirichlet([cell * (1 - together) / together for cell in cells], number)
    return [rng.multinomial(size, rate / rate.sum()).tolist() for rate in rates]


def table(cells: list[int]) -> Counts:
    both, people, judge, neither = cells
    return (both, people, 0), (judge, neither, 0)


def measured(groups: list[list[int]]) -> Agreement:
    total = [sum(column) for column in zip(*groups, strict=True)]
    return Agreement(table(total), tuple((1, table(one)) for one in groups))


def admitted(number: int, cells: tuple[float, ...], together: float, runs: int) -> tuple[float, float]:
    """How often a judge of kappa .6 is admitted at .6: by groups, and as if the labels were independent."""
    rng = numpy.random.default_rng(1)
    found = [measured(groups_of(rng, number, 5, cells, together)) for _ in range(runs)]
    plain = [Agreement(one.counts).reaches(0.6) for one in found]
    return sum(one.reaches(0.6) for one in found) / runs, sum(plain) / runs


def test_five_labels_of_each_group_admitted_six_times_too_often() -> None:
    assert kappa([[40, 10], [10, 40]]) == pytest.approx(0.6)
    by_group, plain = admitted(40, BALANCED, 1.0, runs=500)
    assert 0.11 < plain < 0.21  # .16 in 20,000 runs, where .025 is promised
    assert by_group <= 0.04


@pytest.mark.slow
@pytest.mark.parametrize("cells", [BALANCED, MOSTLY_PASS])
@pytest.mark.parametrize("together", [0.0, 0.2, 0.5, 0.8, 1.0])
def test_it_is_admitted_as_seldom_as_promised(together: float, cells: tuple[float, ...]) -> None:
    by_group, _ = admitted(40, cells, together, runs=4000)
    assert by_group <= 0.032


def test_a_good_judge_is_still_admitted() -> None:
    rng = numpy.random.default_rng(2)
    found = [measured(groups_of(rng, 100, 5, (0.47, 0.03, 0.03, 0.47), 0.3)) for _ in range(100)]
    assert sum(one.reaches(0.6) for one in found) > 95


def test_labels_that_are_all_alike_in_their_group_count_as_their_groups() -> None:
    groups = [(18, table([5, 0, 0, 0])), (2, table([0, 5, 0, 0])), (2, table([0, 0, 5, 0])), (18, table([0, 0, 0, 5]))]
    low, high = grouped_kappa_interval([[90, 10, 0], [10, 90, 0]], groups)
    alone = two_way_kappa_interval([[18, 2, 0], [2, 18, 0]])
    assert low < alone[0]
    assert low == pytest.approx(alone[0], abs=0.02)
    assert high == pytest.approx(alone[1], abs=0.02)


def test_one_group_proves_nothing() -> None:
    assert grouped_kappa_interval([[40, 0, 0], [0, 40, 0]], [(1, [[40, 0, 0], [0, 40, 0]])]) == (-1.0, 1.0)


def test_the_influence_gives_the_variance_of_fleiss_cohen_and_everitt() -> None:
    """The number of `test_agreement.py`, by the delete-one jackknife, which is another way to it."""
    cells = [[400, 100], [100, 400]]
    estimates = []
    for i in range(2):
        for j in range(2):
            less = [[count - (a == i and b == j) for b, count in enumerate(row)] for a, row in enumerate(cells)]
            estimates.append((cells[i][j], kappa(less)))
    mean = sum(n * value for n, value in estimates if value is not None) / 1000
    variance = 999 / 1000 * sum(n * (value - mean) ** 2 for n, value in estimates if value is not None)
    low, high = kappa_interval(cells)
    assert ((high - low) / 2 / 1.959964) ** 2 == pytest.approx(variance, rel=0.01)
