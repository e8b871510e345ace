"""Paired comparisons and gaps: against statsmodels, an independent derivation, published values, and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats
from scipy.stats import binomtest

from tunegate.checks.outcome import Outcome, Verdict
from tunegate.stats import paired
from tunegate.stats.agreement import Share
from tunegate.stats.paired import (
    PairedCounts,
    forgetting_caught,
    gap_interval,
    paired_interval,
    retention_shown,
    wilson_interval,
)
from tunegate.verdicts import comparison
from tunegate.verdicts.comparison import compare, group_gap

FEW = st.integers(0, 25)


def outcome(case_id: object, verdict: bool | Verdict, *tags: str, prompt: str = "?") -> Outcome:
    verdict = verdict if isinstance(verdict, Verdict) else (Verdict.PASS if verdict else Verdict.FAIL)
    return Outcome(str(case_id), verdict, "", (), prompt, "", tags=tags)


def pair(both: int, lost: int, won: int, neither: int) -> tuple[list[Outcome], list[Outcome]]:
    kinds = [(True, True)] * both + [(True, False)] * lost + [(False, True)] * won + [(False, False)] * neither
    return (
        [outcome(i, old) for i, (old, _) in enumerate(kinds)],
        [outcome(i, new) for i, (_, new) in enumerate(kinds)],
    )


# --- the numbers ---------------------------------------------------------------------------------------------------


@given(FEW, FEW, FEW, FEW)
def test_mcnemar_is_that_of_statsmodels(both: int, lost: int, won: int, neither: int) -> None:
    tables = pytest.importorskip("statsmodels.stats.contingency_tables")
    theirs = tables.mcnemar([[both, lost], [won, neither]], exact=True).pvalue if lost + won else 1.0
    assert PairedCounts(both, lost, won, neither).p_value == pytest.approx(min(1.0, theirs), abs=1e-12)


@given(st.integers(1, 60), st.integers(1, 60))
def test_mcnemar_is_the_binomial_test(lost: int, won: int) -> None:
    assert PairedCounts(0, lost, won, 0).p_value == pytest.approx(binomtest(lost, lost + won).pvalue, abs=1e-12)


@given(FEW, FEW)
def test_the_mid_p_value_counts_half_of_what_was_observed(lost: int, won: int) -> None:
    counts = PairedCounts(3, lost, won, 4)
    differ, more = lost + won, max(lost, won)
    by_scipy = 2 * stats.binom.sf(more, differ, 0.5) + stats.binom.pmf(more, differ, 0.5) if differ else 1.0
    assert counts.mid_p == pytest.approx(min(1.0, by_scipy), abs=1e-12)
    assert counts.mid_p <= counts.p_value + 1e-12


def test_the_mid_p_value_has_its_published_value() -> None:
    """Airway hyper-responsiveness, 1 against 7: Fagerland et al. 2013, exact 0.0703, mid-p 0.0391."""
    counts = PairedCounts(1, 7, 1, 12)
    assert (round(counts.p_value, 4), round(counts.mid_p, 4)) == (0.0703, 0.0391)


def test_the_paired_interval_has_its_published_values() -> None:
    """Airway hyper-responsiveness before and after transplantation (Bentur et al. 2009), n = 21, 1 against 7.

    As given in M. Fagerland, S. Lydersen, P. Laake, Statistics in Medicine 33 (2014) 2850-2875.
    """
    assert paired_interval(1, 7, 21) == pytest.approx((-0.517, -0.026), abs=5e-4)


def tango_by_search(more: int, less: int, n: int, difference: float) -> float:
    """Tango's statistic with the constrained maximum of the likelihood found by search, not by the formula."""

    def minus_log_likelihood(share_less: float) -> float:
        shares = (share_less + difference, share_less, 1 - 2 * share_less - difference)
        counts = (more, less, n - more - less)
        return -math.fsum(k * math.log(max(q, 1e-300)) for k, q in zip(counts, shares, strict=True) if k)

    low, high = max(0.0, -difference), (1.0 - difference) / 2.0
    found = optimize.minimize_scalar(
        minus_log_likelihood, bounds=(low, high), method="bounded", options={"xatol": 1e-12}
    )
    variance = (2 * found.x + difference - difference**2) / n
    return ((more - less) / n - difference) / math.sqrt(variance)


@pytest.mark.parametrize(("more", "less", "n"), [(1, 7, 21), (10, 4, 100), (25, 3, 60), (8, 8, 40), (5, 1, 400)])
def test_the_paired_interval_ends_where_the_score_test_rejects(more: int, less: int, n: int) -> None:
    low, high = paired_interval(more, less, n)
    assert tango_by_search(more, less, n, low) == pytest.approx(1.959964, abs=1e-3)
    assert tango_by_search(more, less, n, high) == pytest.approx(-1.959964, abs=1e-3)


@given(FEW, FEW, FEW)
def test_the_paired_interval_holds_the_difference_and_is_symmetric(more: int, less: int, rest: int) -> None:
    n = more + less + rest
    if not n:
        return
    low, high = paired_interval(more, less, n)
    assert -1.0 <= low <= (more - less) / n + 1e-9
    assert (more - less) / n - 1e-9 <= high <= 1.0
    assert paired_interval(less, more, n) == pytest.approx((-high, -low), abs=1e-9)


def test_two_models_that_agree_on_every_case_may_still_differ_elsewhere() -> None:
    z2 = stats.norm.ppf(0.975) ** 2
    assert paired_interval(0, 0, 100) == pytest.approx((-z2 / (100 + z2), z2 / (100 + z2)))


@pytest.mark.parametrize(("n", "lose", "win"), [(50, 0.1, 0.05), (100, 0.05, 0.05), (100, 0.15, 0.05), (100, 0.02, 0)])
def test_the_paired_interval_covers_as_often_as_it_says(n: int, lose: float, win: float) -> None:
    truth, covered = lose - win, 0.0
    for lost, won, chance in paired._trinomial(n, lose, win):
        if chance > 1e-7:
            low, high = paired_interval(lost, won, n)
            covered += chance * (low <= truth <= high)
    assert 0.93 <= covered <= 0.99


@given(st.integers(0, 80), st.integers(0, 60))
def test_intervals_of_rates_and_gaps_are_those_of_statsmodels(first: int, second: int) -> None:
    proportion = pytest.importorskip("statsmodels.stats.proportion")
    theirs = proportion.proportion_confint(first, 80, method="wilson")
    assert wilson_interval(Share(first, 80)) == pytest.approx(theirs, abs=1e-12)
    theirs = proportion.confint_proportions_2indep(first, 80, second, 60, method="newcomb")
    assert gap_interval(Share(first, 80), Share(second, 60)) == pytest.approx(theirs, abs=1e-9)


def test_the_gap_interval_has_its_published_values() -> None:
    """Newcombe 1998, table II, method 10: 56/70 - 48/80 and 9/10 - 3/10."""
    assert gap_interval(Share(56, 70), Share(48, 80)) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert gap_interval(Share(9, 10), Share(3, 10)) == pytest.approx((0.1705, 0.8090), abs=5e-5)
    assert gap_interval(Share(0, 0), Share(3, 10)) == (-1.0, 1.0)


# --- the retention verdict -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counts", "verdict", "shown", "words"),
    [
        ((90, 5, 0, 5), Verdict.PASS, False, "5 points fewer"),
        ((84, 6, 0, 10), Verdict.FAIL, False, "is likely but not shown"),
        ((80, 12, 6, 2), Verdict.FAIL, False, "from 92 to 86 of 100 cases: 12 lost, 6 won, 6 points fewer"),
        ((50, 30, 2, 18), Verdict.FAIL, True, "forgetting: from 80 to 52 of 100 cases"),
        ((90, 1, 1, 8), Verdict.PASS, True, "from 91 to 91 of 100 cases: 1 lost, 1 won, 0 points fewer"),
        ((70, 5, 15, 10), Verdict.PASS, True, "from 75 to 85 of 100 cases: 5 lost, 15 won, 10 points more"),
        ((76, 2, 2, 20), Verdict.PASS, False, "100 cases are too few to show it; a few more could"),
        ((70, 10, 10, 10), Verdict.PASS, False, "100 cases are too few to show it; about 308 could"),
    ],
)
def test_a_net_loss_beyond_the_margin_is_forgetting(
    counts: tuple[int, int, int, int], verdict: Verdict, shown: bool, words: str
) -> None:
    result = compare(*pair(*counts), max_drop=5)
    assert (result.verdict, result.shown) == (verdict, shown)
    assert words in result.reason
    strict = compare(*pair(*counts), max_drop=5, prove=True)
    unproven = verdict is Verdict.PASS and not shown
    assert strict.verdict is (Verdict.INCONCLUSIVE if unproven else verdict)


@given(FEW, FEW, FEW, FEW, st.sampled_from([0, 0.5, 2.5, 5, 7, 10]))
def test_the_verdict_is_the_count(both: int, lost: int, won: int, neither: int, max_drop: float) -> None:
    if not both + lost + won + neither:
        return
    result = compare(*pair(both, lost, won, neither), max_drop=max_drop)
    assert result.counts == PairedCounts(both, lost, won, neither)
    assert (result.verdict is Verdict.FAIL) == (1000 * (lost - won) > round(10 * max_drop) * result.counts.n)
    low, high = result.counts.drop_interval
    assert result.shown == (low > max_drop if result.verdict is Verdict.FAIL else high <= max_drop)
    assert result.counts.drop == pytest.approx(100 * (result.counts.before - result.counts.after))


def test_the_cases_that_could_show_it_do() -> None:
    assert compare(*pair(70 * 4, 10 * 4, 10 * 4, 10 * 4)).shown  # 308 were said to suffice
    assert not compare(*pair(70 * 2, 10 * 2, 10 * 2, 10 * 2)).shown


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("other", [Verdict.INVALID, Verdict.INCONCLUSIVE])
def test_an_unjudged_case_is_neither_kept_nor_lost(side: int, other: Verdict) -> None:
    sides = pair(90, 0, 10, 0)
    sides[side][3] = outcome(3, other)
    result = compare(*sides)
    assert (result.verdict, result.counts) == (Verdict.INVALID, None)
    assert "1 of 100 cases were not judged" in result.reason
    assert "'3'" in result.reason


def test_only_the_same_cases_are_compared() -> None:
    before, after = pair(90, 0, 10, 0)
    for old, new, words in (
        (before, after[1:], "1 are on one side only, for example '0'"),
        (before[:-1], after, "for example '99'"),
        ([], [], "nothing to compare"),
        (before, [], "nothing to compare"),
        ([*before, before[0]], [*after, after[0]], "duplicated"),
        (before, [outcome(0, True, prompt="easier?"), *after[1:]], "1 have another prompt now, for example '0'"),
    ):
        result = compare(old, new)
        assert result.verdict is Verdict.INVALID
        assert words in result.reason
    assert compare(before, after[::-1]).verdict is Verdict.PASS


def test_a_large_jump_is_flagged_and_changes_no_verdict() -> None:
    flagged = compare(*pair(60, 2, 30, 8))
    assert flagged.verdict is Verdict.PASS
    assert "28 points more than before" in flagged.suspicious
    assert "training data" in flagged.suspicious
    assert not compare(*pair(80, 0, 14, 6)).suspicious  # 14 points
    assert not compare(*pair(5, 0, 5, 10)).suspicious  # 25 points, but five cases may be luck
    assert not compare(*pair(60, 30, 2, 8)).suspicious


def test_without_a_true_gain_a_jump_is_rarely_flagged() -> None:
    chance = math.fsum(
        probability
        for lost, won, probability in paired._trinomial(100, 0.25, 0.25)
        if probability > 1e-12 and comparison._suspicion(PairedCounts(100 - lost - won, lost, won, 0))
    )
    assert 0 < chance <= 0.0005


# --- what the rule does --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("differ", "fail", "shown"),
    [
        (0.10, (0.040, 0.428, 0.942), (0.289, 0.018, 0.000)),
        (0.20, (0.109, 0.453, 0.850, 0.990, 1.000), (0.179, 0.022, 0.001, 0.000, 0.000)),
        (0.30, (0.157, 0.463, 0.799, 0.965, 0.998), ()),
    ],
)
def test_the_table_in_the_module_is_right(differ: float, fail: tuple[float, ...], shown: tuple[float, ...]) -> None:
    drops = (0, 5, 10, 15, 20)
    assert [round(forgetting_caught(100, 5, drop, differ), 3) for drop, _ in zip(drops, fail, strict=False)] == list(
        fail
    )
    assert [round(retention_shown(100, 5, drop, differ), 3) for drop, _ in zip(drops, shown, strict=False)] == list(
        shown
    )
    written = " ".join((comparison.__doc__ or "").split())
    for name, numbers in (("chance to FAIL", fail), ("a pass is shown", shown)):
        words = ", ".join([name, f"{differ:.0%}".replace("%", " %")])
        row = f"{words} differ" if name == "chance to FAIL" else words
        assert not numbers or f"{row} {' '.join(f'{number:.3f}' for number in numbers)}" in written


@pytest.mark.parametrize(("drop", "differ"), [(0, 0.1), (5, 0.2), (10, 0.1), (10, 0.3)])
def test_the_rule_does_in_simulation_what_is_computed(drop: float, differ: float) -> None:
    lose, win = (differ + drop / 100) / 2, (differ - drop / 100) / 2
    draws = np.random.default_rng(3).multinomial(100, [lose, win, 1 - differ], size=20_000)
    verdicts = {
        (lost, won): compare(*pair(0, lost, won, 100 - lost - won), max_drop=5)
        for lost, won in {(int(lost), int(won)) for lost, won, _ in draws}
    }
    runs = [verdicts[int(lost), int(won)] for lost, won, _ in draws]
    failed = sum(run.verdict is Verdict.FAIL for run in runs) / len(runs)
    shown = sum(run.verdict is Verdict.PASS and run.shown for run in runs) / len(runs)
    assert failed == pytest.approx(forgetting_caught(100, 5, drop, differ), abs=0.012)
    assert shown == pytest.approx(retention_shown(100, 5, drop, differ), abs=0.012)


@pytest.mark.parametrize("differ", [0.05, 0.1, 0.3])
def test_a_loss_at_the_margin_is_seldom_called_shown(differ: float) -> None:
    """The non-inferiority test keeps about the 2.5 % that it promises."""
    assert retention_shown(100, 5, 5, differ) <= 0.03
    assert retention_shown(400, 5, 5, differ) <= 0.03


def test_more_cases_make_the_gate_sharper() -> None:
    for differ, slips, false_alarm in ((0.1, 0.001, 0.002), (0.2, 0.013, 0.012), (0.3, 0.036, 0.032)):
        assert 1 - forgetting_caught(400, 5, 10, differ) <= slips
        assert forgetting_caught(400, 5, 0, differ) <= false_alarm


def test_more_cannot_be_lost_than_differ() -> None:
    with pytest.raises(ValueError, match=r"at least 0\.2"):
        forgetting_caught(100, 5, 20, 0.1)
    assert forgetting_caught(50, 5, 100, 1.0) == 1.0


# --- gaps between groups -------------------------------------------------------------------------------------------


def two_groups(first: int, second: int, of: int = 50) -> list[Outcome]:
    return [outcome(f"a{i}", i < first, "sex=f") for i in range(of)] + [
        outcome(f"b{i}", i < second, "sex=m", "old") for i in range(of)
    ]


def test_groups_must_pass_alike() -> None:
    result = group_gap(two_groups(45, 40), ["sex=f", "sex=m"], max_gap=10)
    assert (result.verdict, result.better, result.worse) == (Verdict.PASS, "sex=f", "sex=m")
    assert result.gap == pytest.approx(10)
    assert result.interval == pytest.approx(tuple(100 * b for b in gap_interval(Share(45, 50), Share(40, 50))))
    result = group_gap(two_groups(39, 45), ["sex=f", "sex=m"], max_gap=10)
    assert result.verdict is Verdict.FAIL
    assert "sex=m passes 45 of 50, sex=f 39 of 50: 12 points apart" in result.reason


def test_equal_groups_have_no_gap() -> None:
    result = group_gap(two_groups(40, 40), ["sex=f", "sex=m"], max_gap=0)
    assert (result.verdict, result.gap) == (Verdict.PASS, 0)
    assert {result.better, result.worse} == {"sex=f", "sex=m"}


def test_the_widest_of_several_gaps_counts_and_its_interval_is_wider() -> None:
    outcomes = two_groups(45, 40) + [outcome(f"c{i}", i < 42, "sex=x") for i in range(50)]
    two, three = (group_gap(outcomes, tags) for tags in (["sex=f", "sex=m"], ["sex=f", "sex=m", "sex=x"]))
    assert (three.better, three.worse, three.gap) == (two.better, two.worse, two.gap)
    assert three.interval[0] < two.interval[0] < two.interval[1] < three.interval[1]


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        (["sex=f"], "a gap needs at least two groups"),
        (["sex=f", "sex=f"], "a gap needs at least two groups"),
        (["sex=f", "odd"], "1 of 30 cases of odd were not judged"),
    ],
)
def test_a_gap_that_cannot_be_measured_is_invalid(tags: list[str], words: str) -> None:
    outcomes = two_groups(50, 50) + [outcome(f"o{i}", Verdict.INVALID if i == 4 else True, "odd") for i in range(30)]
    result = group_gap(outcomes, tags)
    assert result.verdict is Verdict.INVALID
    assert words in result.reason


def test_a_group_that_is_too_small_says_nothing_yet() -> None:
    result = group_gap(two_groups(50, 50), ["sex=f", "sex=x"])
    assert (result.verdict, result.reason) == (Verdict.INCONCLUSIVE, "sex=x has 0 cases, 20 needed")
    assert group_gap(two_groups(50, 50), ["sex=f", "sex=x"], undersized="INVALID").verdict is Verdict.INVALID
