"""The bound that decides whether weights contradict their record, compared with scipy, and the table in the docs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tests.support.places import ROOT
from tunegate.stats.asked_again import (
    CONFIDENCE,
    FEWEST_ASKED,
    LARGEST_LOSS,
    chance_of_contradiction,
    contradicts,
    fewest_lost,
    lower_bound,
)


@given(st.integers(FEWEST_ASKED, 400), st.data())
def test_the_bound_is_that_of_clopper_and_pearson(asked: int, data: st.DataObject) -> None:
    lost = data.draw(st.integers(0, asked))
    expected = stats.binomtest(lost, asked, alternative="greater").proportion_ci(CONFIDENCE, "exact").low
    assert abs(lower_bound(lost, asked) - expected) < 1e-9
    assert contradicts(lost, asked) == (expected > LARGEST_LOSS)


@given(st.integers(FEWEST_ASKED, 200))
def test_the_fewest_lost_are_the_fewest(asked: int) -> None:
    fewest = fewest_lost(asked)
    assert contradicts(fewest, asked)
    assert not contradicts(fewest - 1, asked)
    assert stats.binom.sf(fewest - 1, asked, LARGEST_LOSS) <= 1 - CONFIDENCE, "an honest machine is seldom accused"


def test_one_case_alone_contradicts_nothing() -> None:
    assert abs(lower_bound(1, FEWEST_ASKED - 1) - LARGEST_LOSS) < 1e-12, "it is at the limit, and never above it"


ASKED, RIGHT = (10, 20, 40, 100), (0.6, 0.7, 0.8, 0.9, 0.95)


def test_the_table_of_the_docs_is_computed() -> None:
    """How likely a model that is right so often is caught behind a record in which every case passed."""
    page = (ROOT / "docs" / "evidence.md").read_text(encoding="utf-8")
    for asked in ASKED:
        chances = " | ".join(f"{chance_of_contradiction(1 - right, asked):.3f}" for right in RIGHT)
        assert f"| {asked} | {fewest_lost(asked)} | {chances} |" in page
    for right in RIGHT:
        exact = stats.binom.sf(fewest_lost(20) - 1, 20, 1 - right)
        assert abs(chance_of_contradiction(1 - right, 20) - exact) < 1e-9
    assert f"below {stats.binom.sf(fewest_lost(20) - 1, 20, 0.005) * 1.001:.0e}".replace("e-0", "e-") in page
