"""The search for a rule: against brute force and scipy, on planted rules, and on data where there is none."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tunegate.stats.rule_search import FEWEST_HITS, Hits, distinct, find_rule, log_tail

Columns = dict[str, list[bool]]


def noise(rng: random.Random, cases: int, features: int) -> Columns:
    shares = [rng.choice((0.08, 0.15, 0.25, 0.4, 0.5, 0.6)) for _ in range(features)]
    return {f"f{n}": [rng.random() < share for _ in range(cases)] for n, share in enumerate(shares)}


def planted(seed: int, cases: int = 100) -> tuple[Columns, list[bool]]:
    """Twelve of fourteen misses have both a and b, among fifty other features."""
    rng = random.Random(seed)
    columns = noise(rng, cases, 50)
    columns["a"], columns["b"] = ([rng.random() < 0.38 for _ in range(cases)] for _ in range(2))
    both = [n for n in range(cases) if columns["a"][n] and columns["b"][n]]
    rest = [n for n in range(cases) if n not in both]
    missed = {*rng.sample(both, min(12, len(both))), *rng.sample(rest, 2)}
    return columns, [n in missed for n in range(cases)]


def single(seed: int) -> tuple[Columns, list[bool]]:
    """Half of the cases with a feature are missed, and few others: a pair with noise often looks purer by chance."""
    rng = random.Random(seed)
    columns = noise(rng, 100, 50)
    columns["a"] = [n < 24 for n in range(100)]
    missed = {*rng.sample(range(24), 12), *rng.sample(range(24, 100), 4)}
    return columns, [n in missed for n in range(100)]


def null(seed: int, cases: int = 100) -> tuple[Columns, list[bool]]:
    rng = random.Random(seed)
    missed = rng.sample(range(cases), 14 * cases // 100)
    return noise(rng, cases, 50), [n in missed for n in range(cases)]


def shown(make: Callable[[int], tuple[Columns, list[bool]]], searches: int, permutations: int = 299) -> int:
    found = (find_rule(*make(seed), seed, 0.02, permutations) for seed in range(searches))
    return sum(rule is not None and rule.p_value <= 0.02 for rule in found)


@given(st.integers(2, 60), st.data())
def test_the_tail_is_that_of_scipy(cases: int, data: st.DataObject) -> None:
    size, missed = data.draw(st.integers(1, cases)), data.draw(st.integers(1, cases))
    hits = data.draw(st.integers(max(0, size + missed - cases), min(size, missed)))
    expected = stats.hypergeom.logsf(hits - 1, cases, size, missed) if hits * cases > size * missed else 0.0
    assert log_tail(hits, size, missed, cases) == pytest.approx(expected, abs=1e-7)


@st.composite
def searches(draw: st.DrawFn) -> tuple[Columns, list[bool], int]:
    cases = draw(st.integers(14, 60))
    row = st.lists(st.booleans(), min_size=cases, max_size=cases)
    columns = draw(st.dictionaries(st.sampled_from("abcdef"), row, min_size=1))
    return columns, draw(row), draw(st.integers(0, 99))


@given(searches())
def test_the_counts_of_a_rule_are_those_of_brute_force(search: tuple[Columns, list[bool], int]) -> None:
    columns, missed, seed = search
    rule = find_rule(columns, missed, seed, permutations=5)
    if rule is None:
        return
    holds = [all(columns[name][n] for name in rule.features) for n in range(len(missed))]
    both = [one and other for one, other in zip(holds, missed, strict=True)]
    assert rule.found.cases + rule.tested.cases == sum(holds)
    assert rule.found.missed + rule.tested.missed == sum(both)
    assert 1 / 6 <= rule.p_value <= 1
    assert rule == find_rule(columns, missed, seed, permutations=5)


def brute_force(columns: Columns, half: Sequence[int], missed: Sequence[bool]) -> dict[frozenset[str], float]:
    """The score of every rule of one or two features on these cases, by scipy."""
    own = {name: frozenset(n for n in half if column[n]) for name, column in columns.items()}
    single = {frozenset([name]): at for name, at in own.items() if FEWEST_HITS <= len(at) < len(half)}
    pairs = {
        one | other: at
        for one, other in combinations(single, 2)
        if FEWEST_HITS <= len(at := single[one] & single[other]) < min(len(single[one]), len(single[other]))
    }
    lost = {n for n in half if missed[n]}
    return {
        rule: stats.hypergeom.logsf(len(at & lost) - 1, len(half), len(at), len(lost)) + math.log(len(level))
        for level in (single, pairs)
        for rule, at in level.items()
        if len(at & lost) >= FEWEST_HITS and len(at & lost) * len(half) > len(at) * len(lost)
    }


@pytest.mark.parametrize("make", [planted, single])
@pytest.mark.parametrize("seed", range(8))
def test_no_rule_is_better_than_the_one_found(make: Callable[[int], tuple[Columns, list[bool]]], seed: int) -> None:
    columns, missed = make(seed)
    rule = find_rule(columns, missed, seed, permutations=1)
    assert rule is not None
    rng = random.Random(seed)
    half: list[int] = []
    for verdict in (True, False):  # the split of the search
        own = [n for n, one in enumerate(missed) if one is verdict]
        rng.shuffle(own)
        half += own[::2]
    at = {n for n in half if all(columns[name][n] for name in rule.features)}
    assert rule.found == Hits(sum(missed[n] for n in at), len(at))
    scores = brute_force(columns, half, missed)
    assert scores[frozenset(rule.features)] == pytest.approx(min(scores.values()), abs=1e-6)


def test_a_planted_pair_is_found_with_sixty_permutations() -> None:
    """54 of 60 at least: the pair itself, or a rule that overlaps with it, with p <= 0.02."""
    assert shown(planted, 60, permutations=60) >= 54
    pairs = [rule.features for seed in range(20) if (rule := find_rule(*planted(seed), seed, 0.02))]
    assert sum(set(features) == {"a", "b"} for features in pairs) >= 14


def test_chance_alone_is_seldom_told() -> None:
    assert shown(null, 100) <= 5


@pytest.mark.slow
def test_the_share_of_false_rules_is_below_its_level() -> None:
    """Of 3,000 searches without any rule, 2 % or fewer tell one, up to the error of the simulation."""
    false = shown(null, 3000)
    low, high = stats.binomtest(false, 3000).proportion_ci(method="exact")
    told = f"{false} of 3000 searches on null data tell a rule: {low:.2%} to {high:.2%}"
    assert low <= 0.02, told
    assert high < 0.03, told


def test_the_p_value_is_uniform_or_higher_on_null_data() -> None:
    """Without early stopping, p is at most x in at most about x of the searches, for any x."""
    p_values = [rule.p_value for seed in range(120) if (rule := find_rule(*null(seed), seed, permutations=19))]
    assert len(p_values) > 80
    for level in (0.1, 0.25, 0.5):
        below = sum(p <= level for p in p_values)
        assert stats.binomtest(below, len(p_values), level, alternative="greater").pvalue > 0.001


@pytest.mark.parametrize(("missed", "passed"), [(5, 95), (95, 5), (0, 100)])
def test_too_few_misses_or_passes_find_nothing(missed: int, passed: int) -> None:
    verdicts = [True] * missed + [False] * passed
    assert find_rule({"a": verdicts}, verdicts, seed=1) is None


def test_a_feature_that_few_have_or_lack_is_left_out_and_so_is_its_double() -> None:
    columns = {"few": [True] * 3 + [False] * 17, "all": [True] * 20, "a": [True] * 9 + [False] * 11}
    columns |= {"same as a": columns["a"], "b": [False] * 9 + [True] * 11}
    assert list(distinct(columns, fewest=4, most=9)) == ["a", "b"]
    assert list(distinct(columns, fewest=4, most=1)) == ["a"]
