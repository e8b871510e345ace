"""A gate's verdict: the denominator never moves, what was not judged never passes, and 89 is not 90."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunegate.decision import decide
from tunegate.outcomes import ErrorSpan, Finding, Outcome, Verdict, combine
from tunegate.sampling import SinglePlan

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
    assert decision.invalid == 100 - passed - failed


def test_the_count_of_a_gate_stands_in_its_reason() -> None:
    assert decide(SinglePlan(100, 90), outcomes(89, 11)).reason == "89 of 100, 90 needed"
    assert decide(SinglePlan(100, 90), outcomes(90, 10)).reason == "90 of 100, 90 needed"
    assert decide(SinglePlan(100, 90), outcomes(95, 4)).reason == "1 of 100 not judged, 95 passed, 90 needed"


plans = st.integers(1, 40).flatmap(lambda draw: st.builds(SinglePlan, st.just(draw), st.integers(1, draw)))
any_outcomes = st.lists(st.builds(outcome, st.integers(0, 45), st.sampled_from(list(Verdict))), max_size=60)


@given(plan=plans, judged=any_outcomes)
def test_the_denominator_is_the_plan_whatever_comes_back(plan: SinglePlan, judged: Sequence[Outcome]) -> None:
    decision = decide(plan, judged)
    assert decision.drawn == plan.draw == decision.passed + decision.failed + decision.invalid
    low, high = decision.interval
    assert low <= decision.passed / plan.draw <= high


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
    assert decide(plan, shuffled) == decide(plan, judged)


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


# --- caps on error categories --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("shown", "verdict"), [(0, PASS), (3, PASS), (4, FAIL)])
def test_a_cap_fails_a_gate_that_would_pass(shown: int, verdict: Verdict) -> None:
    judged = [outcome(n, PASS, *["too_long"] * (2 if n < shown else 0)) for n in range(100)]
    decision = decide(SinglePlan(100, 90), judged, {"too_long": 3})
    assert decision.verdict is verdict
    assert decision.error_categories == ({"too_long": shown} if shown else {})
    assert (decision.reason == "too_long in 4 cases, 3 allowed") == (verdict is FAIL)


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
