"""Banks: a draw that is fair, fresh and the same everywhere; a sealed part that no group straddles."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, chisquare, hypergeom

from tunegate.cases.bank import draw, draw_order, short_of, split
from tunegate.cases.case import Case, group_of, question_of

ids = st.sets(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), max_size=50)


@given(ids=ids, seed=st.integers())
def test_a_draw_is_a_permutation_whatever_the_order_of_the_bank(ids: set[str], seed: int) -> None:
    order = draw_order(ids, seed)
    assert sorted(order) == sorted(ids)
    assert draw_order(sorted(ids, reverse=True), seed) == order


def test_a_draw_is_the_same_on_every_machine() -> None:
    assert draw_order(map(str, range(10)), seed=1) == ["8", "2", "4", "6", "3", "9", "1", "5", "7", "0"]


def test_seeds_draw_differently_and_each_place_fairly() -> None:
    first = Counter(draw_order(map(str, range(10)), seed)[0] for seed in range(2000))
    assert chisquare(list(first.values())).pvalue > 0.001
    assert len(first) == 10


# --- sealing -------------------------------------------------------------------------------------------------------

cases = st.lists(
    st.builds(
        Case, id=st.uuids().map(str), prompt=st.sampled_from("abc"), group=st.sampled_from([None, "g", "h", "i"])
    ),
    max_size=30,
    unique_by=lambda case: case.id,
)


@given(cases=cases, share=st.floats(0, 1))
def test_a_split_loses_nothing_and_no_group_straddles_it(cases: list[Case], share: float) -> None:
    bank = split(cases, share)
    assert sorted(case.id for case in (*bank.working, *bank.sealed)) == sorted(case.id for case in cases)
    assert not {case.group for case in bank.working if case.group} & {case.group for case in bank.sealed}


def test_equal_cases_under_two_ids_are_on_one_side() -> None:
    twins = [Case(f"{number}-{twin}", f"question {number}") for number in range(200) for twin in "ab"]
    bank = split(twins, 0.5)
    assert not {case.prompt for case in bank.working} & {case.prompt for case in bank.sealed}


@pytest.mark.parametrize("share", [0.1, 1 / 3, 0.5])
def test_the_sealed_share_is_what_was_asked_for(share: float) -> None:
    sealed = len(split([Case(str(number), f"What is {number}?") for number in range(3000)], share).sealed)
    assert binomtest(sealed, 3000, share).pvalue > 0.001


@given(cases=cases, later=cases)
def test_a_case_added_later_moves_no_other(cases: list[Case], later: list[Case]) -> None:
    known = {case.id for case in cases}
    before, after = split(cases, 0.5), split([*cases, *(case for case in later if case.id not in known)], 0.5)
    assert {case.id for case in before.sealed} == {case.id for case in after.sealed} & known


def test_a_draw_leaves_out_what_was_used() -> None:
    bank = [Case(str(number), f"{number}?") for number in range(10)]
    first = draw(bank, 4, seed=1)
    second = draw(bank, 4, seed=1, used=frozenset(map(question_of, first)))
    assert len(first) == len(second) == 4
    assert not {case.id for case in first} & {case.id for case in second}
    assert [*first, *second] == list(draw(bank, 8, seed=1))


grouped = st.lists(
    st.builds(Case, id=st.uuids().map(str), prompt=st.text("abc", max_size=3), group=st.sampled_from([None, *"ghijk"])),
    max_size=40,
    unique_by=(lambda case: case.id, lambda case: case.prompt),
)


@given(cases=grouped, n=st.integers(0, 40), seed=st.integers())
def test_a_group_waits_for_its_second_case_until_every_group_has_one(cases: list[Case], n: int, seed: int) -> None:
    drawn = draw(cases, n, seed)
    assert len(drawn) == min(n, len(cases))
    assert draw(cases[::-1], n, seed) == drawn
    have = Counter(map(group_of, drawn))
    ids = {case.id for case in drawn}
    left = {group_of(case) for case in cases if case.id not in ids}
    assert all(have[group] >= max(have.values(), default=0) - 1 for group in left)


@given(cases=grouped, first=st.integers(0, 10), second=st.integers(0, 10), seed=st.integers())
def test_while_groups_last_the_next_draw_goes_on_where_the_last_one_ended(
    cases: list[Case], first: int, second: int, seed: int
) -> None:
    groups = len(set(map(group_of, cases)))
    first, second = min(first, groups), max(0, min(second, groups - first))
    one = draw(cases, first, seed)
    other = draw(cases, second, seed, used=frozenset(map(question_of, one)))
    assert (*one, *other) == draw(cases, first + second, seed)
    assert len(set(map(group_of, (*one, *other)))) == first + second


def test_cases_without_a_group_are_drawn_in_the_order_of_the_seed() -> None:
    bank = [Case(str(number), f"{number}?") for number in range(10)]
    assert [case.id for case in draw(bank, 10, seed=1)] == draw_order(map(str, range(10)), seed=1)


def test_twenty_questions_in_five_spellings_give_twenty_groups_first() -> None:
    bank = [Case(f"{q}-{s}", f"{q} {s}", group=str(q)) for q in range(20) for s in range(5)]
    drawn = draw(bank, 100, seed=7)
    rounds = [{case.group for case in drawn[start : start + 20]} for start in range(0, 100, 20)]
    assert [len(groups) for groups in rounds] == [20] * 5


# --- quotas ---------------------------------------------------------------------------------------------------------

tagged = st.lists(
    st.builds(
        Case,
        id=st.uuids().map(str),
        prompt=st.text(max_size=3),
        group=st.sampled_from([None, "g", "h"]),
        tags=st.lists(st.sampled_from("xyz"), max_size=2).map(tuple),
    ),
    max_size=30,
    unique_by=(lambda case: case.id, lambda case: case.prompt),
)
quotas = st.dictionaries(st.sampled_from("xyz"), st.integers(1, 8))


@given(cases=tagged, n=st.integers(0, 30), seed=st.integers(), quotas=quotas)
def test_a_draw_meets_its_quotas_where_the_bank_and_its_size_allow(
    cases: list[Case], n: int, seed: int, quotas: dict[str, int]
) -> None:
    drawn = draw(cases, n, seed, quotas=quotas)
    assert len(drawn) == min(n, len(cases))
    assert draw(cases[::-1], n, seed, quotas=dict(reversed(quotas.items()))) == drawn or sum(quotas.values()) > n
    if sum(quotas.values()) <= n:
        for tag, at_least in quotas.items():
            assert sum(tag in case.tags for case in drawn) >= min(at_least, sum(tag in case.tags for case in cases))
    plain = draw(cases, n, seed)
    assert [case for case in draw(cases, len(cases), seed) if case in drawn] == list(drawn), "the order stays"
    assert short_of(plain, quotas) or drawn == plain, "a draw that meets its quotas anyway is not changed"


def test_400_random_draws_too_small_for_a_slice_are_none_with_a_quota() -> None:
    """Of 400 cases 42 carry the tag; a random draw of 100 holds fewer than 10 of them in about a third of draws."""
    bank = [Case(str(at), f"{at}?", tags=("rare",) if at < 42 else ()) for at in range(400)]
    small = sum(bool(short_of(draw(bank, 100, seed), {"rare": 10})) for seed in range(400))
    assert binomtest(small, 400, float(hypergeom.cdf(9, 400, 42, 100))).pvalue > 0.001
    assert small > 100
    filled = [draw(bank, 100, seed, quotas={"rare": 10}) for seed in range(400)]
    assert not any(short_of(drawn, {"rare": 10}) for drawn in filled)
    asked = Counter(case.id for drawn in filled for case in drawn if case.tags)
    assert chisquare(list(asked.values())).pvalue > 0.001, "each case of the slice has the same chance"
    assert len(asked) == 42


def test_a_draw_says_what_its_quotas_lack() -> None:
    bank = [Case(str(at), f"{at}?", tags=("a", "a", "b") if at < 3 else ()) for at in range(10)]
    assert short_of(bank, {"a": 3, "b": 5, "c": 1}) == {"b": 2, "c": 1}


TWINS = [Case("a", "same"), Case("b", "same"), Case("c", "other"), Case("d", "third")]


def _questions(*ids: str) -> frozenset[str]:
    return frozenset(question_of(case) for case in TWINS if case.id in ids)


def test_one_test_under_two_ids_is_drawn_once_and_used_once() -> None:
    for seed in range(20):
        drawn = draw(TWINS, 4, seed)
        assert sorted(str(case.prompt) for case in drawn) == ["other", "same", "third"]
        assert [case.id for case in draw(TWINS, 2, seed, used=_questions("a", "c"))] == ["d"]
        assert draw(TWINS, 1, seed, used=_questions("b", "c", "d")) == ()


def test_a_bank_says_how_many_tests_it_holds() -> None:
    bank = split(TWINS, 0.0)
    assert (bank.distinct("working"), bank.distinct("sealed")) == (3, 0)
    assert bank.in_words("working") == "3 distinct tests (4 cases, but 'a', 'b' are the same test)"
    assert split(TWINS[1:], 0.0).in_words("working") == "3 cases"
