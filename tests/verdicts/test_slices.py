"""Slices: rates, minima, and where the misses lie, against scipy and statsmodels and in simulation."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tunegate.cases.case import Case
from tunegate.checks.outcome import Outcome, Verdict
from tunegate.reading.chats import Message
from tunegate.stats.agreement import Share
from tunegate.stats.holm import holm
from tunegate.verdicts.slices import (
    Slice,
    SliceRule,
    fisher_greater,
    judge_slices,
    slices,
    slices_out_of_reach,
    where_missed,
)

PASS, FAIL, INVALID, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INVALID, Verdict.INCONCLUSIVE


def outcomes(passed: int, failed: int, *tags: str, invalid: int = 0, **more: object) -> list[Outcome]:
    verdicts = [PASS] * passed + [FAIL] * failed + [INVALID] * invalid
    facts = {"prompt": "?", "response": "", "tags": tags, **more}
    return [Outcome(f"{tags}{more}{i}", verdict, "", (), **facts) for i, verdict in enumerate(verdicts)]


# --- rates and minima ----------------------------------------------------------------------------------------------


def test_every_tag_is_a_slice() -> None:
    found = slices(outcomes(8, 2, "task=gene", "long") + outcomes(3, 0, "task=carrier", invalid=1))
    assert found == (Slice("long", 8, 2, 0), Slice("task=carrier", 3, 0, 1), Slice("task=gene", 8, 2, 0))
    assert found[1].share == Share(3, 4)
    low, high = stats.binomtest(8, 10).proportion_ci(method="exact")
    assert found[0].share.interval == pytest.approx((low, high), abs=1e-9)
    assert slices([]) == ()


@pytest.mark.parametrize(
    ("passed", "failed", "invalid", "verdict", "words"),
    [
        (8, 2, 0, PASS, "task=carrier: 8 of 10, 8 needed"),
        (80, 20, 0, PASS, "80 of 100, 80 needed"),
        (7, 3, 0, FAIL, "task=carrier: 7 of 10, 8 of 10 needed"),
        (0, 0, 0, INCONCLUSIVE, "task=carrier: no case was drawn, at least 10 expected"),
        (9, 0, 0, INCONCLUSIVE, "task=carrier: 9 of 9 passed, but at least 10 cases must be drawn"),
        (0, 2, 0, INCONCLUSIVE, "at least 10 cases must be drawn"),
        (0, 3, 0, FAIL, "0 of 3, 8 of 10 needed"),
        (9, 0, 1, INVALID, "9 of 10, 1 not judged, 8 needed"),
        (6, 2, 2, INVALID, "6 of 10, 2 not judged, 8 needed"),
        (6, 3, 1, FAIL, "6 of 10, 8 of 10 needed"),
        (0, 0, 10, INVALID, "0 of 10, 10 not judged"),
    ],
)
def test_a_slice_has_a_minimum(passed: int, failed: int, invalid: int, verdict: Verdict, words: str) -> None:
    rules = {"task=carrier": SliceRule(0.8, at_least=10)}
    drawn = outcomes(passed, failed, "task=carrier", invalid=invalid) + outcomes(50, 0, "task=gene")
    result = judge_slices(drawn, rules)
    assert result.verdict is verdict
    assert words in result.reason
    assert result.slices == (Slice("task=carrier", passed, failed, invalid),)


def test_the_worst_slice_counts() -> None:
    drawn = outcomes(10, 0, "good") + outcomes(1, 9, "bad") + outcomes(2, 0, "few")
    rules = {"good": SliceRule(0.8), "few": SliceRule(0.8, 10), "bad": SliceRule(0.8)}
    result = judge_slices(drawn, rules)
    assert (result.verdict, result.reason) == (FAIL, "bad: 1 of 10, 8 of 10 needed")
    del rules["bad"]
    assert judge_slices(drawn, rules).verdict is INCONCLUSIVE
    assert judge_slices(drawn, rules, "INVALID").verdict is INVALID
    assert judge_slices(drawn, {"none": SliceRule(0.8)}).verdict is INCONCLUSIVE
    assert judge_slices(drawn, {"none": SliceRule(0.8)}, "INVALID").verdict is FAIL, "as older records were decided"
    del rules["few"]
    assert judge_slices(drawn, rules).verdict is PASS
    assert judge_slices(drawn, {}).verdict is PASS


@given(st.integers(1, 50), st.integers(1, 100), st.data())
def test_the_count_needed_is_the_rate(cases: int, percent: int, data: st.DataObject) -> None:
    passed = data.draw(st.integers(0, cases))
    said = judge_slices(outcomes(passed, cases - passed, "t"), {"t": SliceRule(percent / 100)}).verdict
    assert said is (PASS if 100 * passed >= percent * cases else FAIL)


def test_a_rate_that_floats_cannot_hold_asks_for_no_case_more() -> None:
    assert 0.07 * 100 > 7
    assert judge_slices(outcomes(7, 93, "t"), {"t": SliceRule(0.07)}).verdict is PASS


def test_holm_pays_for_every_kind_that_is_tested() -> None:
    drawn = outcomes(10, 10, "a") + outcomes(30, 2, "b") + outcomes(48, 0, "c")
    found = where_missed(drawn)
    assert len(found.tested) == 3
    assert found.tested[0].adjusted == pytest.approx(3 * found.tested[0].p_value)
    assert found.concentrated == found.tested[:1]


@pytest.mark.parametrize(("minimum", "at_least"), [(0, 1), (1.1, 1), (80, 1), (0.8, 0)])
def test_a_rule_that_means_nothing_is_refused(minimum: float, at_least: int) -> None:
    with pytest.raises(ValueError, match="a slice needs"):
        SliceRule(minimum, at_least)


def test_a_rule_that_no_draw_can_meet_is_known_before_training() -> None:
    cases = [Case(str(i), "?", tags=("few",) if i < 9 else ("many",)) for i in range(100)]
    rules = {"few": SliceRule(0.8, 10), "many": SliceRule(0.8, 10), "none": SliceRule(0.8)}
    assert slices_out_of_reach(cases, rules) == [
        "slice few: the suite has 9 such cases, but at least 10 must be drawn",
        "slice none: the suite has 0 such cases, but at least 1 must be drawn",
    ]


# --- the tests -----------------------------------------------------------------------------------------------------


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 30), st.integers(0, 30))
def test_fisher_is_that_of_scipy(missed: int, passed: int, missed_elsewhere: int, passed_elsewhere: int) -> None:
    total = missed + passed + missed_elsewhere + passed_elsewhere
    table = [[missed, passed], [missed_elsewhere, passed_elsewhere]]
    theirs = stats.fisher_exact(table, alternative="greater").pvalue
    ours = fisher_greater(missed, missed + passed, missed + missed_elsewhere, total)
    assert ours == pytest.approx(theirs, rel=1e-9)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_that_of_statsmodels(p_values: list[float]) -> None:
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    theirs = multitest.multipletests(p_values, method="holm")[1]
    ours = holm({str(i): p for i, p in enumerate(p_values)})
    assert [ours[str(i)] for i in range(len(p_values))] == pytest.approx(list(theirs))


# --- where the misses lie ------------------------------------------------------------------------------------------


def test_a_slice_that_is_missed_wholly_is_named() -> None:
    found = where_missed(outcomes(10, 10, "task=function") + outcomes(78, 2, "task=gene"))
    [kind] = found.concentrated
    assert (kind.kind, kind.missed, kind.cases, kind.missed_elsewhere, kind.cases_elsewhere) == (
        ("task=function", 10, 20, 2, 80)
    )
    assert kind.p_value == pytest.approx(stats.fisher_exact([[10, 10], [2, 78]], alternative="greater").pvalue)
    assert kind.adjusted == kind.p_value  # 12 of 80 could be chance: only one kind is tested
    assert found.sentence == (
        "10 of the 12 misses are in task=function (10 of 20 missed versus 2 of 80 elsewhere; "
        "p = 5.7e-07 after Holm's correction: very unlikely to be chance)"
    )


def test_an_answer_and_a_length_are_kinds_too() -> None:
    rare = outcomes(3, 9, references=("not  inherited",))
    common = [case for i in range(22) for case in outcomes(4, 0, references=(f"G{i}",))]
    assert [kind.kind for kind in where_missed(rare + common).concentrated] == ["answer 'not inherited'"]
    chat = (Message(role="system", content="s" * 300), Message(role="user", content="u" * 200))
    long = outcomes(10, 10, prompt=chat)
    found = where_missed(long + [case for length in range(80) for case in outcomes(1, 0, prompt="x" * (length + 1))])
    assert [kind.kind for kind in found.concentrated] == ["prompts of 76 to 500 characters"]


def test_the_quarters_of_the_lengths_hold_every_case_once() -> None:
    drawn = [case for length in range(1, 101) for case in outcomes(length <= 50, length > 50, prompt="x" * length)]
    tested = where_missed(drawn).tested
    assert sorted((kind.kind, kind.cases) for kind in tested) == [
        ("prompts of 1 to 25 characters", 25),
        ("prompts of 26 to 50 characters", 25),
        ("prompts of 51 to 75 characters", 25),
        ("prompts of 76 to 100 characters", 25),
    ]


@given(st.lists(st.integers(0, 6), min_size=2, max_size=60))
def test_equal_lengths_are_never_parted(lengths: list[int]) -> None:
    drawn = [case for i, n in enumerate(lengths) for case in outcomes(1, 0, prompt="x" * n, group=str(i))]
    drawn[0] = outcomes(0, 1, prompt="x" * lengths[0])[0]
    tested = where_missed(drawn, alpha=1.0).tested
    bounds = sorted([int(word) for word in kind.kind.split() if word.isdigit()] for kind in tested)
    assert all(earlier[1] < later[0] for earlier, later in pairwise(bounds))
    for kind, (low, high) in zip(sorted(tested, key=lambda k: int(k.kind.split()[2])), bounds, strict=True):
        assert kind.cases == sum(low <= length <= high for length in lengths)


def test_kinds_of_the_same_cases_are_one() -> None:
    found = where_missed(outcomes(10, 10, "task=function", references=("x",)) + outcomes(78, 2, references=("y",)))
    assert [kind.kind for kind in found.concentrated] == ["task=function = answer 'x'"]
    many = outcomes(10, 10, "a", "b", "c", "d")
    assert where_missed(many + outcomes(78, 2)).concentrated[0].kind == "a = b = 2 more"


def test_even_misses_are_said_to_be_even() -> None:
    drawn = [case for tag in ("a", "b", "c", "d") for case in outcomes(22, 3, tag)]
    found = where_missed(drawn)
    assert (found.concentrated, len(found.tested)) == ((), 4)
    assert (
        found.sentence
        == "the misses are spread evenly: no tag, answer or length band has more misses than chance explains"
    )


@pytest.mark.parametrize(
    ("drawn", "sentence"),
    [
        ([], "no case was judged"),
        (outcomes(0, 0, "a", invalid=3), "no case was judged"),
        (outcomes(9, 0, "a"), "no case was missed"),
        (outcomes(0, 9, "a") + outcomes(0, 9, "b"), "every case was missed"),
        (outcomes(50, 0, "a") + outcomes(49, 1, "b"), "1 miss is too few to tell whether misses concentrate anywhere"),
        (
            outcomes(80, 20),
            "no two cases are of the same kind, so no pattern can be found; give the cases `tags:` in the suite",
        ),
        (outcomes(5, 1, "a") + outcomes(4, 1, "b"), "2 misses are too few to tell whether misses concentrate anywhere"),
    ],
)
def test_what_cannot_be_tested_is_said(drawn: list[Outcome], sentence: str) -> None:
    assert where_missed(drawn).sentence == sentence


def test_cases_that_were_not_judged_are_left_out() -> None:
    judged = outcomes(10, 10, "a") + outcomes(78, 2, "b")
    assert where_missed(judged + outcomes(0, 0, "b", invalid=40)) == where_missed(judged)


def test_unique_answers_do_not_hide_a_slice() -> None:
    """A hundred kinds of one case each could never be significant: they must not cost the others their power."""
    drawn = [
        Outcome(
            str(i), FAIL if i in {0, 1, 2, 3, 4, 50} else PASS, "", (), "?", "", (f"G{i}",), ("a" if i < 20 else "b",)
        )
        for i in range(100)
    ]
    found = where_missed(drawn)
    assert [kind.kind for kind in found.concentrated] == ["a"]
    assert len(found.tested) == 1


def test_chance_alone_is_seldom_called_a_concentration() -> None:
    """The promise of Holm's correction: at most 5 % of draws without any concentration get one (500 draws)."""
    rng = random.Random(5)
    alarms = 0
    for _ in range(500):
        missed = set(rng.sample(range(100), 10))
        drawn = [
            Outcome(
                str(i), FAIL if i in missed else PASS, "", (), "x" * i, "", (f"R{i % 11}",), (f"t{i % 3}", f"u{i % 5}")
            )
            for i in range(100)
        ]
        alarms += bool(where_missed(drawn).concentrated)
    assert 0 < alarms <= 0.05 * 500
