"""Krippendorff's alpha: the same numbers as the package `krippendorff`, and an interval that covers."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tunegate.stats.krippendorff import alpha, alpha_interval

peer = pytest.importorskip("krippendorff")
VERDICTS = ("right", "wrong", "can't tell")


@given(st.lists(st.lists(st.sampled_from(VERDICTS), max_size=6), min_size=1, max_size=40))
def test_alpha_is_that_of_the_package(units: list[list[str]]) -> None:
    """With any number of verdicts on each unit, also none."""
    counts = [[Counter(unit)[verdict] for verdict in VERDICTS] for unit in units]
    used = {verdict for unit in units if len(unit) > 1 for verdict in unit}
    if len(used) < 2:
        assert alpha(units) is None
        return
    assume(any(len(unit) > 1 for unit in units))
    expected = peer.alpha(value_counts=counts, value_domain=list(VERDICTS), level_of_measurement="nominal")
    assert alpha(units) == pytest.approx(expected, abs=1e-9)


def test_the_example_of_the_source() -> None:
    """Krippendorff (2011), section C: 4 observers, 12 units, missing data; nominal alpha .743."""
    table = (
        "1 2 3 3 2 1 4 1 2 . . .",
        "1 2 3 3 2 2 4 1 2 5 . 3",
        ". 3 3 3 2 3 4 2 2 5 1 .",
        "1 2 3 3 2 4 4 1 2 5 1 .",
    )
    units = [[v for v in column if v != "."] for column in zip(*map(str.split, table), strict=True)]
    assert alpha(units) == pytest.approx(0.743, abs=5e-4)


def test_the_interval_covers_the_true_agreement() -> None:
    """Three reviewers who each err on 1 of 10 of answers of which half are right: true alpha .64."""
    truth = (1 - 2 * 0.1) ** 2
    covered, rounds = 0, 60
    for seed in range(rounds):
        rng = random.Random(seed)
        units = [[(rng.random() < 0.1) != right for _ in range(3)] for right in (n % 2 == 0 for n in range(100))]
        low, high = alpha_interval(units, seed=seed)
        covered += low <= truth <= high
    assert covered / rounds >= 0.87  # .95 nominal; three standard errors of 60 rounds


def test_nothing_is_known_where_all_are_the_same() -> None:
    assert alpha_interval([["a", "a"], ["a", "a"]]) == (-1.0, 1.0)
    assert alpha([]) is None
