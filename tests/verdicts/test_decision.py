"""A gate's verdict: the denominator never moves, what was not judged never passes, and 89 is not 90."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunegate.checks.outcome import ErrorSpan, Finding, Outcome, Verdict, combine
from tunegate.stats.anytime import AnytimePlan, anytime_interval
from tunegate.stats.sampling import DrawPlan, SequentialPlan, SinglePlan, exact_interval, stopped_interval, wald_plan
from tunegate.verdicts.decision import decide, find_stop

PASS, FAIL, INVALID, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INVALID, Verdict.INCONCLUSIVE


def outcome(case_id: object, verdict: Verdict = PASS, *categories: str) -> Outcome:
    errors = tuple(ErrorSpan(category) for category in categories)
    return Outcome(str(case_id), verdict, "", (Finding("check", verdict, errors=errors),), "?", "!")


def outcomes(passed: int, failed: int = 0, invalid: int = 0) -> list[Outcome]:
    verdicts = [PASS] * passed + [FAIL] * failed + [INVALID] * invalid
    return [outcome(number, verdict) for number, verdict in enumerate(verdicts)]


@pytest.mark.parametrize(
    ("passed", "failed", "invalid", "verdict"),
    [
        (100, 0, 0, PASS),
        (90, 10, 0, PASS),
        (89, 11, 0, FAIL),
        (0, 100, 0, FAIL),
        (90, 9, 1, INVALID),  # enough passed, but one was not judged
        (99, 0, 1, INVALID),
        (89, 10, 1, INVALID),  # the open one could still make it 90
        (88, 11, 1, FAIL),  # and here it could not
        (0, 0, 100, INVALID),
        (90, 0, 0, INVALID),  # ten never came back
        (99, 0, 0, INVALID),
        (0, 0, 0, INVALID),
        (0, 11, 0, FAIL),
    ],
)
def test_verdicts_of_100_with_90_needed(passed: int, failed: int, invalid: int, verdict: Verdict) -> None:
    decision = decide(SinglePlan(100, 90), outcomes(passed, failed, invalid))
    assert decision.verdict is verdict
    assert (decision.drawn, decision.accept, decision.passed, decision.failed) == (100, 90, passed, failed)
    spared = 100 - passed - failed - invalid if verdict is FAIL else 0
    assert (decision.asked, decision.spared, decision.invalid) == (100 - spared, spared, 100 - passed - failed - spared)


def test_the_count_of_a_gate_stands_in_its_reason() -> None:
    assert decide(SinglePlan(100, 90), outcomes(89, 11)).reason == "89 of 100, 90 needed"
    assert decide(SinglePlan(100, 90), outcomes(90, 10)).reason == "90 of 100, 90 needed"
    assert decide(SinglePlan(100, 90), outcomes(95, 4)).reason == "1 of 100 not judged, 95 passed, 90 needed"


plans = st.integers(1, 40).flatmap(lambda draw: st.builds(SinglePlan, st.just(draw), st.integers(1, draw)))
any_outcomes = st.lists(st.builds(outcome, st.integers(0, 45), st.sampled_from(list(Verdict))), max_size=60)


@given(plan=plans, judged=any_outcomes)
def test_the_denominator_is_the_plan_whatever_comes_back(plan: SinglePlan, judged: Sequence[Outcome]) -> None:
    decision = decide(plan, judged)
    assert decision.drawn == plan.draw == decision.passed + decision.failed + decision.invalid + decision.spared
    low, high = decision.interval
    assert low <= decision.passed / decision.asked <= high


@given(plan=plans, judged=any_outcomes)
def test_pass_means_every_case_judged_once_and_enough_of_them_right(plan: SinglePlan, judged: list[Outcome]) -> None:
    verdicts = [one.verdict for one in judged]
    complete = len({one.case_id for one in judged}) == len(judged) == plan.draw
    passes = complete and set(verdicts) <= {PASS, FAIL} and verdicts.count(PASS) >= plan.accept
    assert (decide(plan, judged).verdict is PASS) == passes


@given(plan=plans, judged=any_outcomes, spoilt=st.sampled_from([INVALID, INCONCLUSIVE]))
def test_losing_a_judgement_never_turns_a_gate_to_pass(
    plan: SinglePlan, judged: list[Outcome], spoilt: Verdict
) -> None:
    unique = list({one.case_id: one for one in judged}.values())[: plan.draw]
    for index, one in enumerate(unique):
        without = [*unique[:index], *unique[index + 1 :]]
        assert decide(plan, without).verdict is not PASS
        assert decide(plan, [*without, outcome(one.case_id, spoilt)]).verdict is not PASS


@given(plan=plans, judged=any_outcomes, seed=st.randoms())
def test_the_order_of_outcomes_does_not_matter(plan: SinglePlan, judged: list[Outcome], seed: object) -> None:
    shuffled = list(judged)
    seed.shuffle(shuffled)  # type: ignore[attr-defined]
    assert replace(decide(plan, shuffled), interval=(0, 1)) == replace(decide(plan, judged), interval=(0, 1))


@pytest.mark.parametrize(
    "judged",
    [
        [*outcomes(100), outcome("101st")],  # one more than was drawn
        [*outcomes(99), outcome(0)],  # the same case twice
        [*outcomes(100), *outcomes(100)],
    ],
)
def test_outcomes_that_are_not_the_drawn_cases_decide_nothing(judged: list[Outcome]) -> None:
    decision = decide(SinglePlan(100, 90), judged)
    assert (decision.verdict, decision.passed, decision.invalid) == (INVALID, 0, 100)
    assert "do not match the 100 registered cases" in decision.reason


# --- stopping early ------------------------------------------------------------------------------------------------

anytime = st.just(AnytimePlan(40, 0.7, 0.95, 8.0, 8.0))
sequential = st.builds(wald_plan, st.just(0.95), st.sampled_from([0.7, 0.8]), st.just(0.1), st.just(0.1), st.just(40))


@given(plan=plans, judged=any_outcomes, caps=st.sampled_from([{}, {"empty": 2}]))
def test_a_curtailed_verdict_is_the_uncurtailed_one(
    plan: SinglePlan, judged: list[Outcome], caps: dict[str, int]
) -> None:
    drawn = list({one.case_id: one for one in judged}.values())[: plan.draw]
    whole, curtailed = decide(plan, drawn, caps), decide(plan, drawn, caps, curtail=True)
    assert curtailed.verdict is whole.verdict
    assert curtailed.asked <= whole.asked


@given(plan=plans | sequential | anytime, judged=any_outcomes)
def test_once_a_draw_has_stopped_no_later_answer_changes_its_verdict(plan: DrawPlan, judged: list[Outcome]) -> None:
    drawn = list({one.case_id: one for one in judged}.values())[: plan.draw]
    stop = find_stop(plan, drawn)
    if stop is None:
        return
    for verdict in (PASS, FAIL, INVALID):
        rest = [outcome(f"later-{n}", verdict) for n in range(plan.draw - stop.asked)]
        assert decide(plan, [*drawn[: stop.asked], *rest]).verdict is stop.verdict
        assert decide(plan, [*drawn[: stop.asked], *rest], curtail=True).asked == stop.asked


def test_the_eleventh_miss_ends_a_gate_of_90() -> None:
    judged = [*outcomes(20, 10), outcome("11th", FAIL), outcome("later")]
    decision = decide(SinglePlan(100, 90), judged, curtail=True)
    assert (decision.verdict, decision.asked, decision.passed, decision.failed) == (FAIL, 31, 20, 11)
    assert (decision.invalid, decision.spared) == (0, 69)
    assert decision.reason == "11 of 31 missed, 10 of 100 allowed"


@given(plan=sequential | anytime, judged=any_outcomes, spoilt=st.integers(0, 39))
def test_a_sequential_plan_never_passes_what_was_not_judged(
    plan: SequentialPlan, judged: list[Outcome], spoilt: int
) -> None:
    drawn = list({one.case_id: one for one in judged}.values())[: plan.draw]
    decision = decide(plan, drawn)
    counted = drawn[: decision.asked]
    if decision.verdict is PASS:
        assert all(one.verdict in (PASS, FAIL) for one in counted)
    if spoilt < decision.asked <= len(drawn):
        damaged = [*drawn[:spoilt], outcome(drawn[spoilt].case_id, INVALID), *drawn[spoilt + 1 :]]
        assert decide(plan, damaged).verdict in (INVALID, FAIL if decision.verdict is FAIL else INVALID)


def test_a_sequential_plan_accepts_and_rejects_early() -> None:
    plan = wald_plan(0.95, 0.85, 0.05, 0.05, 140)
    good, bad = decide(plan, outcomes(140)), decide(plan, outcomes(0, 140))
    assert (good.verdict, good.asked, good.reason) == (
        PASS,
        27,
        "0 of 27 missed, which settled it; at most 140 would have been asked",
    )
    assert (bad.verdict, bad.asked) == (FAIL, 3)
    assert good.interval[0] > 0.8
    assert bad.interval[1] < 0.8


# --- the interval --------------------------------------------------------------------------------------------------


def test_a_sequential_plan_that_ran_to_its_cap_has_the_interval_of_its_ends() -> None:
    plan = wald_plan(0.95, 0.85, 0.05, 0.05, 60)
    judged = [outcome(n, FAIL if n in (8, 20, 32, 44, 56) else PASS) for n in range(60)]
    decision = decide(plan, judged)
    assert (decision.asked, decision.spared) == (60, 0)
    assert decision.interval == pytest.approx(stopped_interval(plan, 60, 5))
    assert decision.interval != pytest.approx(exact_interval(55, 60), abs=1e-3)


def test_a_stop_for_an_error_category_has_the_interval_of_what_was_asked() -> None:
    judged = [outcome(n, PASS, *["empty"] * (n == 19)) for n in range(100)]
    decision = decide(SinglePlan(100, 90), judged, {"empty": 0}, curtail=True)
    assert (decision.verdict, decision.asked, decision.passed) == (FAIL, 20, 20)
    assert decision.interval == exact_interval(20, 20)


def test_a_case_that_was_not_judged_is_a_miss_for_the_low_end_and_a_pass_for_the_high_one() -> None:
    low, high = decide(SinglePlan(100, 90), outcomes(60, 20, 20)).interval
    assert (low, high) == (exact_interval(60, 100)[0], exact_interval(80, 100)[1])
    assert decide(SinglePlan(100, 90), []).interval == (0.0, 1.0)
    assert decide(SinglePlan(100, 90), outcomes(101)).interval == (0.0, 1.0)


@pytest.mark.parametrize("plan", [SinglePlan(100, 90), wald_plan(0.95, 0.85, 0.05, 0.05, 100)])
def test_of_a_draw_that_stopped_too(plan: DrawPlan) -> None:
    judged = [outcome(n, INVALID if n in (0, 1, 2) else FAIL if n % 2 else PASS) for n in range(100)]
    as_missed = [replace(one, verdict=FAIL) if one.verdict is INVALID else one for one in judged]
    decision, worst = decide(plan, judged, curtail=True), decide(plan, as_missed, curtail=True)
    assert (decision.verdict, worst.verdict) == (FAIL, FAIL)
    assert worst.asked < decision.asked < 100
    assert decision.interval[0] == worst.interval[0]
    assert decision.interval[1] == pytest.approx(stopped_interval(plan, decision.asked, decision.failed)[1])


# --- caps on error categories --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("shown", "verdict"), [(0, PASS), (3, PASS), (4, FAIL)])
def test_a_cap_fails_a_gate_that_would_pass(shown: int, verdict: Verdict) -> None:
    judged = [outcome(n, PASS, *["too_long"] * (2 if n < shown else 0)) for n in range(100)]
    decision = decide(SinglePlan(100, 90), judged, {"too_long": 3})
    assert decision.verdict is verdict
    assert decision.error_categories == ({"too_long": shown} if shown else {})
    assert (decision.reason == "too_long in 4 cases, 3 allowed") == (verdict is FAIL)
    assert decide(SinglePlan(100, 90), judged, {"too_long": 3}, curtail=True).asked == (4 if verdict is FAIL else 100)


def test_a_cap_of_0_forbids_and_no_cap_reports() -> None:
    judged = [*outcomes(99), outcome("x", PASS, "empty")]
    assert decide(SinglePlan(100, 90), judged, {"empty": 0}).verdict is FAIL
    assert decide(SinglePlan(100, 90), judged).verdict is PASS


# --- one case ------------------------------------------------------------------------------------------------------


@given(verdicts=st.lists(st.sampled_from(list(Verdict)), max_size=5))
def test_a_case_passes_only_when_all_its_checks_do(verdicts: list[Verdict]) -> None:
    verdict, _ = combine([Finding("check", one) for one in verdicts])
    if verdicts and set(verdicts) == {PASS}:
        assert verdict is PASS
    elif verdicts and set(verdicts) <= {PASS, FAIL}:
        assert verdict is FAIL
    else:
        assert verdict is INVALID


def test_a_verdict_written_as_plain_text_counts_as_that_verdict() -> None:
    assert combine([Finding("check", "FAIL")])[0] is FAIL  # type: ignore[arg-type]
    assert combine([Finding("check", "no idea")])[0] is INVALID  # type: ignore[arg-type]


def test_reasons_name_their_checks() -> None:
    findings = [
        Finding("a", FAIL, reason="wrong"),
        Finding("b", PASS, reason="fine"),
        Finding("c", FAIL, reason="long"),
    ]
    assert combine(findings) == (FAIL, "a: wrong; c: long")
    assert combine([]) == (INVALID, "no check judged this case")


def test_exit_codes() -> None:
    assert [verdict.exit_code for verdict in (PASS, FAIL, INVALID, INCONCLUSIVE)] == [0, 1, 3, 4]


ANYTIME = AnytimePlan(60, 0.85, 0.95, 20.0, 40.0)
NINE_OF_TEN = [outcome(number, FAIL if number % 10 == 9 else PASS) for number in range(60)]


def test_an_anytime_plan_accepts_rejects_or_cannot_tell() -> None:
    accepted = decide(ANYTIME, outcomes(60))
    assert (accepted.verdict, accepted.asked, accepted.spared) == (PASS, 25, 35)
    rejected = decide(ANYTIME, outcomes(0, 60))
    assert (rejected.verdict, rejected.asked) == (FAIL, 4)
    undecided = decide(ANYTIME, NINE_OF_TEN)
    assert (undecided.verdict, undecided.asked, undecided.passed, undecided.spared) == (INCONCLUSIVE, 60, 54, 0)
    assert undecided.reason == (
        "6 of 60 missed: the evidence against a model that passes 0.85 of cases is 0.615, 20 is needed; "
        "more cases may decide it"
    )
    assert undecided.interval == anytime_interval(54, 6)


def test_an_anytime_plan_at_its_cap_is_invalid_if_a_case_was_not_judged() -> None:
    assert decide(ANYTIME, [outcome("open", INVALID), *NINE_OF_TEN[1:]]).verdict is INVALID


def test_error_caps_fail_an_anytime_plan_that_cannot_tell() -> None:
    marked = [outcome(one.case_id, one.verdict, *["too_long"] * (one.verdict is FAIL)) for one in NINE_OF_TEN]
    assert decide(ANYTIME, marked, {"too_long": 5}).verdict is FAIL
