"""A plan that may be continued: its evidence, its limits and its risk, compared with scipy and with simulation."""

from __future__ import annotations

import math
import random
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import betaln

from tunegate.exceptions import ConfigError
from tunegate.stats.anytime import AnytimePlan, anytime_interval, log_evidence
from tunegate.stats.plans import PlanRule, Risk
from tunegate.stats.sampling import acceptance_probability, average_sample_number, endings, independent, plan_from_json

PLAN = AnytimePlan(150, 0.85, 0.95, 20.0, 40.0)


def evidence(plan: AnytimePlan, asked: int, misses: int) -> float:
    """E by scipy, from its formula."""
    a, b, passed = plan.good * plan.weight, (1 - plan.good) * plan.weight, asked - misses
    return math.exp(
        betaln(a + passed, b + misses) - betaln(a, b) - passed * math.log(plan.at) - misses * math.log(1 - plan.at)
    )


def test_the_plan_of_the_default_risk_is_solved() -> None:
    assert [PlanRule("anytime").resolve(attempts).first for attempts in (1, 3, 5)] == [
        PLAN,
        AnytimePlan(192, 0.85, 0.95, 60.0, 40.0),
        AnytimePlan(207, 0.85, 0.95, 100.0, 40.0),
    ]


@given(asked=st.integers(1, 400), data=st.data())
def test_the_evidence_is_that_of_scipy(asked: int, data: st.DataObject) -> None:
    misses = data.draw(st.integers(0, asked))
    assert PLAN.evidence(asked, misses) == pytest.approx(evidence(PLAN, asked, misses), rel=1e-8)


@pytest.mark.parametrize("plan", [PLAN, AnytimePlan(150, 0.5, 0.9, 300.0, 10.0), AnytimePlan(150, 0.6, 0.65, 3.0, 2.5)])
def test_the_limits_are_the_counts_whose_evidence_is_enough(plan: AnytimePlan) -> None:
    """Each count is looked at, so nothing is assumed about the shape of the evidence."""
    mirrored = AnytimePlan(1000, 1 - plan.good, 1 - plan.at, plan.reject_at, plan.accept_at, plan.weight)
    for asked in range(1, plan.draw):
        accept_up_to, reject_from = plan.limits(asked)
        for misses in range(asked + 1):
            passed = asked - misses
            better, worse = passed > asked * plan.at + 1e-9, passed < asked * plan.good - 1e-9
            assert (misses <= accept_up_to) == (better and evidence(plan, asked, misses) >= plan.accept_at)
            assert (misses >= reject_from) == (worse and evidence(mirrored, asked, passed) >= plan.reject_at)


def test_a_rate_below_the_bad_one_is_never_accepted() -> None:
    assert PLAN.evidence(150, 60) > 20.0
    assert PLAN.limits(149)[0] < 149 * 0.15


def test_the_limits_of_a_case_do_not_depend_on_the_cap() -> None:
    longer = PLAN.extended(50)
    assert longer.draw == 200
    assert all(longer.limits(asked) == PLAN.limits(asked) for asked in range(1, 150))
    assert PLAN.limits(150) == (longer.limits(150)[0], longer.limits(150)[0] + 1)


def test_the_chance_to_accept_a_bad_model_is_kept_however_long_it_goes_on() -> None:
    """Exact: to 2,000 cases; the risk of 0.05 is never spent, and a good model is accepted after 61.6 on average."""
    endless = PLAN.extended(1850)
    assert acceptance_probability(endless, 0.85) == pytest.approx(0.0418, abs=1e-4)
    assert acceptance_probability(endless, 0.80) < 0.006
    assert acceptance_probability(endless, 0.95) == pytest.approx(0.9865, abs=1e-4)
    assert average_sample_number(endless, 0.95) == pytest.approx(61.6, abs=0.05)
    assert average_sample_number(endless, 0.85) == pytest.approx(57.3, abs=0.05)


def test_the_solved_cap_accepts_a_good_model_soon() -> None:
    assert acceptance_probability(PLAN, 0.95) == pytest.approx(0.9511, abs=1e-4)
    assert acceptance_probability(AnytimePlan(149, 0.85, 0.95, 20.0, 40.0), 0.95) < 0.95
    assert average_sample_number(PLAN, 0.95) == pytest.approx(60.3, abs=0.05)
    assert average_sample_number(PlanRule("single", risk=Risk()).resolve(1).first, 0.95) > 80


def test_five_attempts_share_the_risk() -> None:
    plan = PlanRule("anytime").resolve(5)
    assert plan.acceptance(0.85) == pytest.approx(0.0077, abs=1e-4)
    assert plan.acceptance_within(0.85, 5) <= 0.05


def accepted_of(runs: int, p: float, most: int, seed: int) -> int:
    """How many of these simulated runs stop as soon as E is enough, which is computed anew after every case."""
    rng = random.Random(seed)
    limits = [(-1, 10**6), *(PLAN.extended(most).limits(asked) for asked in range(1, most + 1))]
    accepted = 0
    for _ in range(runs):
        misses = 0
        for asked in range(1, most + 1):
            misses += rng.random() >= p
            if misses <= limits[asked][0]:
                accepted += 1
                break
            if misses >= limits[asked][1]:
                break
    return accepted


def never_rejected(runs: int, p: float, most: int, seed: int) -> int:
    """The same for a reader who never gives up: only acceptance stops the run. This is the worst case for the risk."""
    rng = random.Random(seed)
    limits = [-1, *(PLAN.extended(most).limits(asked)[0] for asked in range(1, most))]
    accepted = 0
    for _ in range(runs):
        misses = 0
        for asked in range(1, most):
            misses += rng.random() >= p
            if misses <= limits[asked]:
                accepted += 1
                break
    return accepted


def test_optional_stopping_keeps_the_risk() -> None:
    assert never_rejected(5_000, 0.85, 400, seed=1) <= 0.05 * 5_000


@pytest.mark.slow
def test_optional_stopping_to_2000_cases_keeps_the_risk_in_100000_runs() -> None:
    assert never_rejected(100_000, 0.85, 2_000, seed=2) <= 0.05 * 100_000


@pytest.mark.parametrize("p", [0.85, 0.92])
def test_exact_acceptance_equals_simulation(p: float) -> None:
    exact = acceptance_probability(PLAN, p)
    error = math.sqrt(exact * (1 - exact) / 5_000)
    assert accepted_of(5_000, p, 150, seed=3) / 5_000 == pytest.approx(exact, abs=4 * error)


def test_the_endings_sum_to_one() -> None:
    assert math.fsum(end.probability for end in endings(PLAN, independent(0.9))) == pytest.approx(1.0)


def test_the_interval_holds_after_every_case_at_once() -> None:
    """Exact coverage of the whole sequence, by recursion over the cases that leave the true rate in."""
    for rate in (0.5, 0.85, 0.95):
        live = {0: 1.0}
        for asked in range(1, 301):
            reached: dict[int, float] = {}
            for misses, chance in live.items():
                reached[misses] = reached.get(misses, 0.0) + chance * rate
                reached[misses + 1] = reached.get(misses + 1, 0.0) + chance * (1 - rate)
            live = {
                misses: chance
                for misses, chance in reached.items()
                if log_evidence(asked - misses, misses, rate, 0.5, 0.5) < math.log(20)
            }
        assert sum(live.values()) >= 0.95


@pytest.mark.parametrize(
    ("passed", "missed", "low", "high"), [(90, 10, 0.772, 0.971), (40, 60, 0.249, 0.566), (20, 0, 0.776, 1.0)]
)
def test_the_ends_of_the_interval_have_just_the_evidence(passed: int, missed: int, low: float, high: float) -> None:
    found = anytime_interval(passed, missed)
    assert found == (pytest.approx(low, abs=5e-4), pytest.approx(high, abs=5e-4))
    for end in found:
        if 0.0 < end < 1.0:
            assert log_evidence(passed, missed, end, 0.5, 0.5) == pytest.approx(math.log(20), abs=1e-6)


def test_the_numbers_of_the_plan_come_back_from_the_record() -> None:
    assert plan_from_json(asdict(PLAN)) == PLAN


@pytest.mark.parametrize(
    ("rule", "error"),
    [
        (PlanRule("anytime", accept=90), "leave out"),
        (PlanRule("anytime", confirm=90), "leave out"),
        (PlanRule("anytime", draw=10), "10 cases cannot accept any model, .* at least 25 are needed"),
        (PlanRule("anytime", draw=10**6), "draw at most 2000"),
        (PlanRule("anytime", risk=Risk(0.05, 0.94, 0.05, 0.95)), "no cap of up to 2000 cases"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(rule: PlanRule, error: str) -> None:
    with pytest.raises(ConfigError, match=error):
        rule.resolve(1)
