"""The verdict on limits: counts as a gate counts, the sign test exactly, and nothing passes that was not measured."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunegate.checks.outcome import Outcome, Verdict
from tunegate.models.timing import Measured, Timing
from tunegate.stats.sampling import SinglePlan
from tunegate.stats.within import fewest, fewest_for_ratio, needed, p_exceeded, p_kept, quantile
from tunegate.verdicts.limits import Limit, LimitRules, Prices, judge_limits, limit_rules_from_json, limit_rules_to_json
from tunegate.verdicts.terms import Terms, conclude, terms_from_json
from tunegate.verdicts.words import sentence

LATENCY = Limit("latency_ms", 800, 95.0)
RATIO = Limit("latency_ms", 1.2, 50.0, ratio=True)


def measured(*seconds: float | None, baseline: tuple[float | None, ...] = (), **rest: object) -> Measured:
    def timings(times: tuple[float | None, ...]) -> tuple[Timing, ...]:
        return tuple(Timing(error="timed out") if one is None else Timing(one, one / 4, 50, 20) for one in times)

    ids = tuple(str(number) for number in range(len(seconds)))
    return Measured(ids, timings(seconds), timings(baseline), "base" if baseline else "", **rest)  # type: ignore[arg-type]


def judged(limit: Limit, figures: Measured, requests: int | None = None):
    [result] = judge_limits(LimitRules((limit,), requests or len(figures.timings)), figures)
    return result


@pytest.mark.parametrize(
    ("fast", "slow", "failed", "verdict"),
    [
        (95, 5, 0, Verdict.PASS),
        (94, 6, 0, Verdict.FAIL),
        (95, 0, 5, Verdict.INVALID),  # as in a gate, what was not judged never lets a plan accept
        (94, 5, 1, Verdict.INVALID),
        (0, 6, 94, Verdict.FAIL),  # six slow requests are enough
    ],
)
def test_a_time_is_an_acceptance_plan_and_a_failed_request_stays_in_the_denominator(fast, slow, failed, verdict):
    result = judged(LATENCY, measured(*[0.8] * fast, *[0.8001] * slow, *[None] * failed))
    assert result.verdict is verdict
    assert result.reason.facts["requests"] == 100
    if failed == 1:
        assert "1 not measured: timed out" in sentence([result.reason])


def test_the_interval_is_exact():
    scipy = pytest.importorskip("scipy.stats")
    result = judged(LATENCY, measured(*[0.1] * 93, *[2.0] * 7))
    exact = scipy.binomtest(93, 100).proportion_ci(0.95, method="exact")
    assert result.interval == pytest.approx((exact.low, exact.high), abs=1e-9)


@given(st.integers(1, 150), st.floats(1, 99), st.data())
def test_the_sign_test_is_that_of_scipy(n, p, data):
    scipy = pytest.importorskip("scipy.stats")
    within = data.draw(st.integers(0, n))
    greater = scipy.binomtest(within, n, p / 100, alternative="greater").pvalue
    less = scipy.binomtest(within, n, p / 100, alternative="less").pvalue
    assert p_kept(within, n, p) == pytest.approx(greater, abs=1e-10)
    assert p_exceeded(within, n, p) == pytest.approx(less, abs=1e-10)


@pytest.mark.parametrize("within", [0, 30, 41, 42, 50, 58, 59, 100])
def test_a_ratio_is_decided_where_the_sign_test_decides(within):
    scipy = pytest.importorskip("scipy.stats")
    times = [1.1] * within + [1.3] * (100 - within)
    result = judged(RATIO, measured(*times, baseline=(1.0,) * 100))
    kept = scipy.binomtest(within, 100, 0.5, alternative="greater").pvalue <= 0.05
    lost = scipy.binomtest(within, 100, 0.5, alternative="less").pvalue <= 0.05
    assert result.verdict is (Verdict.PASS if kept else Verdict.FAIL if lost else Verdict.INCONCLUSIVE)


def test_noise_that_both_models_meet_leaves_their_ratio_alone():
    state = [1 + 9 * (number % 3 == 0) for number in range(60)]
    slower = measured(*[1.1 * one for one in state], baseline=tuple(map(float, state)))
    assert judged(RATIO, slower).verdict is Verdict.PASS
    assert judged(RATIO, slower).value == pytest.approx(1.1)
    assert judged(LATENCY, slower).verdict is Verdict.FAIL


def test_a_pair_without_its_baseline_is_not_measured():
    result = judged(RATIO, measured(*[1.0] * 10, baseline=(1.0,) * 5 + (None,) * 5))
    assert result.verdict is Verdict.INVALID
    assert "5 not measured: timed out" in sentence([result.reason])


def test_pairs_without_a_time_never_fail_a_model():
    result = judged(RATIO, measured(*[1.0] * 10, baseline=(None,) * 10))
    assert result.verdict is Verdict.INVALID


def test_a_draw_with_too_few_requests_is_inconclusive():
    result = judged(LATENCY, measured(*[0.1] * 10))
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "95 % need at least 20 requests" in sentence([result.reason])
    assert judged(LATENCY, measured(*[0.1] * 9, 1.0)).verdict is Verdict.FAIL


@pytest.mark.parametrize("limit", [LATENCY, RATIO, Limit("cost_per_1k", 1)])
def test_requests_that_are_not_on_record_never_pass(limit: Limit):
    assert judged(limit, measured(*[0.1] * 99), 100).verdict is Verdict.INVALID
    assert judged(limit, Measured(), 100).verdict is Verdict.INVALID


def test_speed_is_a_minimum():
    assert judged(Limit("tokens_per_s", 40, 95.0), measured(*[0.5] * 20)).verdict is Verdict.PASS  # 20 tokens in 0.5 s
    assert judged(Limit("tokens_per_s", 40, 95.0), measured(*[0.51] * 20)).verdict is Verdict.FAIL
    mixed = judged(Limit("tokens_per_s", 1, 90.0), measured(*[0.5] * 18, 1.0, 4.0))
    assert (mixed.verdict, mixed.value) == (Verdict.PASS, 40.0)  # so fast are 18 of 20


@pytest.mark.parametrize(("size", "verdict"), [(300_000_000, "PASS"), (300_000_001, "FAIL"), (None, "INVALID")])
def test_size_and_memory_are_figures(size: int | None, verdict: str):
    for name, figures in (("size_mb", Measured(size_bytes=size)), ("memory_mb", Measured(memory_bytes=size))):
        [result] = judge_limits(LimitRules((Limit(name, 300),), 100), figures)  # type: ignore[arg-type]
        assert result.verdict is Verdict(verdict)


def test_cost_is_the_mean_by_the_prices_and_needs_every_count():
    rules = LimitRules((Limit("cost_per_1k", 0.05),), 2, prices=Prices(0.5, 1.25))
    [result] = judge_limits(rules, measured(1.0, 2.0))
    assert result.value == pytest.approx(1000 * (50 * 0.5 + 20 * 1.25) / 1e6)
    assert result.verdict is Verdict.PASS
    [dear] = judge_limits(LimitRules((Limit("cost_per_1k", 0.0499),), 2, prices=rules.prices), measured(1.0, 2.0))
    assert dear.verdict is Verdict.FAIL
    [unknown] = judge_limits(rules, measured(1.0, None))
    assert unknown.verdict is Verdict.INVALID


def test_figures_of_a_request():
    assert (needed(95, 100), needed(95, 99), needed(99.9, 1000)) == (95, 95, 999)
    assert (fewest(95), fewest(99), fewest(100)) == (20, 100, 1)
    for p in (10, 50, 90, 95, 99):
        least = fewest_for_ratio(p)
        assert p_kept(least, least, p) <= 0.05 < p_kept(least - 1, least - 1, p)
    assert quantile([5, 1, 4, 2, 3], 95) == 5


# --- together with the count of a gate --------------------------------------------------------------------------------


def outcomes(passed: int, of: int = 20) -> list[Outcome]:
    return [
        Outcome(str(number), Verdict.PASS if number < passed else Verdict.FAIL, "", (), "", "") for number in range(of)
    ]


RULES = LimitRules((LATENCY, Limit("size_mb", 300)), 20)
TERMS = Terms(SinglePlan(20, 18), limits=RULES)
FAST = measured(*[0.1] * 20, size_bytes=10**8)


@pytest.mark.parametrize(
    ("passed", "figures", "verdict"),
    [
        (18, FAST, Verdict.PASS),
        (17, FAST, Verdict.FAIL),
        (20, measured(*[0.9] * 20, size_bytes=10**8), Verdict.FAIL),
        (20, measured(*[0.1] * 20, size_bytes=10**9), Verdict.FAIL),
        (20, measured(*[0.1] * 18, None, None, size_bytes=10**8), Verdict.INVALID),
        (17, measured(*[0.1] * 18, None, None, size_bytes=10**8), Verdict.FAIL),
        (20, None, Verdict.INVALID),
    ],
)
def test_the_worst_verdict_counts(passed: int, figures: Measured | None, verdict: Verdict):
    assert conclude(TERMS, outcomes(passed), (), figures).verdict is verdict


def test_a_confirming_draw_measures_nothing_again():
    assert TERMS.confirming(SinglePlan(20, 18)).limits is None


def test_terms_without_limits_are_written_as_before():
    assert "limits" not in Terms(SinglePlan(20, 18)).to_json()


def test_limits_in_a_record_are_read_again():
    rules = LimitRules((LATENCY, RATIO, Limit("cost_per_1k", 2)), 60, 2, 1, "base", Prices(1, 2))
    assert limit_rules_from_json(json.loads(json.dumps(limit_rules_to_json(rules)))) == rules
    assert terms_from_json(json.loads(json.dumps(TERMS.to_json()))) == TERMS
    with pytest.raises(ValueError, match="unknown limits"):
        limit_rules_from_json({**asdict(rules), "limits": [{"name": "colour", "bound": 1}]})
