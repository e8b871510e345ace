"""Whether a miss is noise: how often a good model misses its draws as badly, exact by scipy."""

from __future__ import annotations

import pytest
from scipy.stats import binom, binomtest

from tunegate.stats.noise import NOISE, MissedDraw, Noise, lost_by_chance, on_one_draw, together
from tunegate.stats.plans import Risk, solve_sequential
from tunegate.stats.sampling import SinglePlan, acceptance_probability, as_bad_or_worse


def test_a_good_model_misses_11_of_100_with_0_011() -> None:
    chance = as_bad_or_worse(SinglePlan(100, 90), 100, 11, 0.95)
    assert chance == pytest.approx(binom.cdf(89, 100, 0.95), rel=1e-9)
    assert f"{chance:.3f}" == "0.011"
    told = MissedDraw("facts", 100, 11, chance, good=0.95).in_words
    assert told == "facts: a model that is right 95% of the time misses 11 of 100 or more with probability 0.011"


@pytest.mark.parametrize(("asked", "misses"), [(11, 11), (40, 11), (99, 11), (100, 11), (100, 40)])
def test_a_draw_that_stopped_early_is_as_bad_as_so_many_misses_so_soon(asked: int, misses: int) -> None:
    chance = as_bad_or_worse(SinglePlan(100, 90), asked, misses, 0.95)
    assert chance == pytest.approx(binom.sf(misses - 1, asked, 0.05), rel=1e-9)


def test_a_sequential_plan_has_its_own_endings() -> None:
    """The last ending that rejects is as bad as any rejection; the first is its own chance alone."""
    plan = solve_sequential(Risk(), 3)
    last = plan.draw, plan.limits(plan.draw)[1]
    assert as_bad_or_worse(plan, *last, 0.95) == pytest.approx(1 - acceptance_probability(plan, 0.95), abs=1e-12)
    asked = next(n for n in range(1, plan.draw) if plan.limits(n)[1] <= n)
    first = as_bad_or_worse(plan, asked, asked, 0.95)
    assert first == pytest.approx(0.05**asked, rel=1e-9)
    assert as_bad_or_worse(plan, *last, 0.95) < NOISE  # by its risk: what it rejects is never noise alone


def test_the_issues_drop_could_be_chance() -> None:
    """Retention went from 79 to 73 of 100 (95 %: -2.0 to 14.6): 11 lost, 5 won."""
    assert lost_by_chance(11, 5) == pytest.approx(binomtest(11, 16, alternative="greater").pvalue, rel=1e-9)
    assert round(lost_by_chance(11, 5), 4) == 0.1051
    assert lost_by_chance(0, 0) == 1.0


def test_one_bad_draw_of_many_is_less_telling_than_one_of_one() -> None:
    """89 of 100 is more than noise where it is the only draw, and noise where it is the worst of five."""
    alone = binom.cdf(89, 100, 0.95)
    assert together([alone], 1) == pytest.approx(alone)
    assert together([alone], 4) == pytest.approx(1 - (1 - alone) ** 4)
    assert together([alone], 4) < NOISE < together([alone], 5)


def test_several_bad_draws_are_more_telling_than_one() -> None:
    assert together([0.04, 0.04], 6) == pytest.approx(binom.sf(1, 6, 0.04))
    assert together([0.04, 0.04], 6) < NOISE < together([0.04], 6)
    assert together([0.0001, 0.04], 6) == pytest.approx(1 - 0.9999**6)


def test_gates_on_one_draw_count_at_most_as_if_each_were_alone() -> None:
    assert on_one_draw([0.02, 0.3], 3) == pytest.approx(0.06)
    assert on_one_draw([0.9], 3) == 1.0


def test_the_words_of_what_it_comes_to() -> None:
    one = MissedDraw("facts", 100, 12, 0.0043, good=0.95)
    assert Noise((one,), 1, 0.0043).in_words[-1] == "this is more than noise"
    told = Noise((one,), 6, 0.26).in_words[-1]
    assert told == "over its 6 draws a good model misses so badly with 0.260: this can't be told from noise"
    judged = MissedDraw("quality", 100, 11, 0.52, good=0.95, at_most=0.8)
    assert "with probability 0.520 (up to 0.800 by the judge's error rates)" in judged.in_words
    lost = MissedDraw("general (retention)", 100, 11, 0.105, won=5).in_words
    assert lost.endswith("a model that lost nothing loses 11 cases and wins 5 of 100, or worse, with probability 0.105")
    unknown = MissedDraw("facts", 100, 3, None, good=0.95)
    assert Noise((unknown,), 1, None).in_words == (unknown.in_words,)
    assert "unknown" in unknown.in_words
    assert not Noise((unknown,), 1, None).likely
    assert "less than 0.001" in MissedDraw("facts", 100, 90, 1e-90, good=0.95).in_words
