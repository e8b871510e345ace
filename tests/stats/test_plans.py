"""A gate's plan over a whole run: the chance of passing, attempts included, and plans solved for a risk."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from tunegate.exceptions import ConfigError
from tunegate.stats.curve import curve
from tunegate.stats.plans import PlanRule, Risk, lowest_above, per_attempt, solve_confirmation
from tunegate.stats.sampling import SinglePlan, acceptance_probability

Draw = tuple[int, int]
PLAIN = PlanRule(confirm="never").resolve(10)
DEFAULT = PlanRule().resolve(10)
RECOMMENDED = PlanRule("double").resolve(10)


def test_why_tunegate_exists() -> None:
    """Right 85 % of the time: 0.099 in one draw, 0.41 in five, 0.65 in ten."""
    assert PLAIN.acceptance(0.85) == pytest.approx(0.099, abs=5e-4)
    assert PLAIN.acceptance_within(0.85, 5) == pytest.approx(0.41, abs=5e-3)
    assert PLAIN.acceptance_within(0.85, 10) == pytest.approx(0.65, abs=5e-3)


def test_the_default_owes_a_confirming_draw_after_a_retry() -> None:
    assert DEFAULT.confirmation(1) is None
    assert DEFAULT.confirmation(2) == SinglePlan(100, 90)
    once = binom.sf(89, 100, 0.85)
    assert DEFAULT.acceptance_within(0.85, 3) == pytest.approx(1 - (1 - once) * (1 - once**2) ** 2)


def test_the_recommended_plan_keeps_its_promise() -> None:
    """Ten attempts: 0.85 promoted with at most 0.05; 0.95 at first with 0.95; 250 tests at 0.95, 40 at 0.6."""
    assert RECOMMENDED.first == SinglePlan(100, 90)
    assert RECOMMENDED.acceptance_within(0.85, 10) <= 0.05
    assert RECOMMENDED.acceptance(0.95) >= 0.95
    assert RECOMMENDED.mean_tests(0.95) <= 250
    assert RECOMMENDED.mean_tests(0.6) <= 40


def test_the_numbers_of_the_recommended_plan_against_scipy() -> None:
    confirm = RECOMMENDED.confirm
    assert isinstance(confirm, SinglePlan)
    for p in (0.6, 0.85, 0.9, 0.95):
        attempt = binom.sf(89, 100, p) * binom.sf(confirm.accept - 1, confirm.draw, p)
        assert RECOMMENDED.acceptance(p) == pytest.approx(attempt, abs=1e-12)
        assert RECOMMENDED.acceptance_within(p, 10) == pytest.approx(1 - (1 - attempt) ** 10, abs=1e-12)


@pytest.mark.parametrize("kind", ["plain", "single", "double", "sequential"])
@pytest.mark.parametrize("p", [0.85, *(pytest.param(p, marks=pytest.mark.slow) for p in (0.6, 0.95))])
def test_100_000_whole_runs_simulated(kind: str, p: float) -> None:
    """Runs of ten attempts, every case thrown one by one, curtailed as a gate is."""
    plan = PLAIN if kind == "plain" else PlanRule(kind).resolve(10)  # pyright: ignore[reportArgumentType]
    rng = np.random.default_rng(7)
    runs, promoted, asked_at_first = 100_000, np.zeros(100_000, bool), None
    for attempt in range(1, 11):
        open_ = np.flatnonzero(~promoted)
        accepted, asked = _play(plan.first, p, len(open_), rng)
        confirm = plan.confirmation(attempt)
        if confirm is not None:
            confirmed, more = _play(confirm, p, int(accepted.sum()), rng)
            asked[accepted] += more
            accepted[accepted] = confirmed
        promoted[open_] = accepted
        asked_at_first = asked.mean() if attempt == 1 else asked_at_first
    assert plan.acceptance_within(p, 10) == pytest.approx(promoted.sum() / runs, abs=0.006)
    assert plan.mean_tests(p) == pytest.approx(asked_at_first, rel=0.01)


def _play(plan, p, n, rng):  # pyright: ignore
    """`n` draws: which were accepted, and how many cases each asked."""
    if n == 0:
        return np.zeros(0, bool), np.zeros(0, int)
    limits = np.array([plan.limits(asked) for asked in range(1, plan.draw + 1)], dtype=np.int16)
    accepted, stops = [], []
    for size in [10_000] * (n // 10_000) + [n % 10_000]:
        misses = np.cumsum(rng.random((size, plan.draw), dtype=np.float32) >= p, axis=1, dtype=np.int16)
        accepts = misses <= limits[:, 0]
        stop = np.argmax(accepts | (misses >= limits[:, 1]), axis=1)
        accepted.append(accepts[np.arange(size), stop])
        stops.append(stop + 1)
    return np.concatenate(accepted), np.concatenate(stops)


# --- solving for a risk --------------------------------------------------------------------------------------------

risks = st.builds(
    Risk,
    consumer=st.floats(0.01, 0.2),
    at=st.floats(0.6, 0.85),
    producer=st.floats(0.02, 0.2),
    good=st.floats(0.95, 0.99),
)


@pytest.mark.parametrize("kind", ["single", "double", "sequential", "anytime"])
@settings(max_examples=25)
@given(risk=risks, attempts=st.integers(1, 20))
def test_a_solved_plan_keeps_the_risk_of_the_whole_run(kind: str, risk: Risk, attempts: int) -> None:
    plan = PlanRule(kind, risk=risk).resolve(attempts)  # pyright: ignore[reportArgumentType]
    assert plan.acceptance_within(risk.at, attempts) <= risk.consumer + 1e-12
    assert plan.acceptance(risk.good) >= 1 - risk.producer - 1e-12


def test_the_solved_accept_number_is_the_lowest_that_will_do() -> None:
    risk = Risk()
    first = PlanRule("single", risk=risk).resolve(5).first
    limit = per_attempt(risk.consumer, 5)
    assert acceptance_probability(first, risk.at) <= limit
    assert acceptance_probability(SinglePlan(first.draw, first.accept - 1), risk.at) > limit
    smaller = [PlanRule("single", draw=size, risk=risk) for size in range(1, first.draw)]
    for rule in smaller:
        with pytest.raises(ConfigError, match=f"the smallest draw that does has {first.draw}"):
            rule.resolve(5)


def test_walds_test_asks_least() -> None:
    """At the same risks, for a good model and for a bad one: why `sequential` is there."""
    single, double, sequential = (
        PlanRule(kind, risk=Risk()).resolve(10) for kind in ("single", "double", "sequential")
    )
    for p in (0.6, 0.85, 0.95):
        assert sequential.mean_tests(p) < min(single.mean_tests(p), double.mean_tests(p))


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (PlanRule("double", confirm="never"), "contradicts"),
        (
            PlanRule("double", risk=Risk(), confirm=SinglePlan(20, 20)),
            "`confirm`, or `risk`, from which it is computed, not",
        ),
        (
            PlanRule("single", risk=Risk(), confirm=SinglePlan(20, 20)),
            "computes its numbers from `risk`; leave out `accept` and `confirm`",
        ),
        (
            PlanRule("single", draw=10**6, risk=Risk()),
            "1000000 cases is too large to compute a plan for; draw at most 2000",
        ),
        (PlanRule("double", confirm=10**6), "1000000 cases is too large to compute a plan for; draw at most 2000"),
        (PlanRule("sequential", draw=10**6), "1000000 cases is too large to compute a plan for; draw at most 2000"),
        (PlanRule("sequential", accept=90), "leave out"),
        (PlanRule("sequential", draw=20), "the smallest"),
        (PlanRule("single", draw=10, accept=11), "1 <= accept <= draw"),
        (PlanRule("double", confirm=3), "the smallest draw that does"),
        (PlanRule("double", risk=Risk(good=0.9)), "rejects a model at 0.9"),
        (PlanRule("single", risk=Risk(consumer=1e-9, at=0.949, good=0.95)), "no draw of up to 2000"),
    ],
)
def test_a_rule_that_cannot_be_kept_says_so(rule: PlanRule, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        rule.resolve(10)


@pytest.mark.parametrize(
    ("first", "attempts", "confirm"),
    [
        ((2000, 1800), 1, (500, 426)),
        ((2000, 1800), 10, (500, 426)),
        ((200, 180), 1, (50, 43)),
        ((200, 180), 10, (52, 47)),
        # what was published before there was a least size, unchanged
        ((100, 90), 1, (25, 22)),
        ((100, 90), 3, (62, 56)),
        ((100, 90), 5, (76, 69)),
        ((100, 90), 10, (101, 92)),
        ((50, 45), 1, (73, 65)),
    ],
)
def test_a_solved_confirming_draw_confirms(first: Draw, attempts: int, confirm: Draw) -> None:
    """Its size is at least a quarter of the first draw's, and it accepts only above `at`; it was `1 of 1`."""
    found = solve_confirmation(SinglePlan(*first), Risk(), attempts)
    assert found == SinglePlan(*confirm)
    assert found.draw >= first[0] / 4
    assert found.accept > 0.85 * found.draw
    good = binom.sf(first[1] - 1, first[0], 0.95) * binom.sf(found.accept - 1, found.draw, 0.95)
    assert good >= 0.95


def test_more_than_a_share() -> None:
    assert [lowest_above(0.85, n) for n in (1, 20, 100)] == [1, 18, 86]
    assert lowest_above(0.29, 100) == 30  # 0.29 * 100 is 28.999999999999996


@pytest.mark.parametrize("wrong", [{"consumer": 0.0}, {"at": 0.95}, {"good": 1.0}, {"producer": 0.5}])
def test_a_risk_that_is_none_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected"):
        Risk(**wrong)


def test_accept_is_90_in_100_of_any_draw() -> None:
    assert [PlanRule(draw=n).resolve(1).first for n in (10, 95, 100, 101)] == [
        SinglePlan(10, 9),
        SinglePlan(95, 86),
        SinglePlan(100, 90),
        SinglePlan(101, 91),
    ]


# --- what people are told ------------------------------------------------------------------------------------------


def test_the_curve_is_the_plans() -> None:
    points = {point.p: point for point in curve(DEFAULT, 5)}
    assert points[0.85].accept == pytest.approx(binom.sf(89, 100, 0.85))
    assert points[0.85].accept_any == pytest.approx(0.41, abs=5e-3)
    assert points[0.85].promoted == pytest.approx(DEFAULT.acceptance_within(0.85, 5))
    assert points[0.85].promoted < points[0.85].accept_any
    assert points[0.5].mean_tests == pytest.approx(22, abs=0.01)
    assert [point.accept for point in curve(DEFAULT, 5)] == sorted(point.accept for point in points.values())
