"""What slices and gaps cost a good model, exactly."""

from __future__ import annotations

from itertools import product

import pytest
from scipy.stats import binom

from tunegate.stats.requirements import any_failed, gap_failed, slice_failed


def test_five_slices_fail_a_good_model_a_third_of_the_time() -> None:
    one = slice_failed(0.9, 10, 0.95)
    assert one == pytest.approx(binom.cdf(8, 10, 0.95))
    assert any_failed([one] * 5) == pytest.approx(1 - binom.sf(8, 10, 0.95) ** 5)
    assert round(any_failed([one] * 5), 2) == 0.36


def test_a_minimum_that_floats_cannot_hold_asks_for_no_case_more() -> None:
    assert slice_failed(0.07, 100, 0.1) == pytest.approx(binom.cdf(6, 100, 0.1))


@pytest.mark.parametrize("groups", [2, 3])
@pytest.mark.parametrize(("size", "max_gap"), [(20, 10.0), (7, 0.0), (10, 30.0), (5, 100.0)])
def test_a_gap_is_the_range_of_counts(groups: int, size: int, max_gap: float) -> None:
    chances = binom.pmf(range(size + 1), size, 0.9)
    apart = 0.0
    for counts in product(range(size + 1), repeat=groups):
        if 100 * (max(counts) - min(counts)) / size > max_gap + 1e-9:
            weight = 1.0
            for count in counts:
                weight *= chances[count]
            apart += weight
    assert gap_failed(max_gap, groups, size, 0.9) == pytest.approx(apart, abs=1e-9)
