"""How likely a pipeline promotes a model: an audit's figures, a simulation of whole runs, and what is only a limit."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom

from tunegate.stats.pipeline_risk import Cost, PipelineRisk, StageRisk, grouped, retained_by_equal
from tunegate.stats.plans import GatePlan, PlanKind, PlanRule
from tunegate.stats.sampling import SinglePlan

GOOD = 0.95


def two_stages(kind: PlanKind, gates: int, solved_for: int, budgets: tuple[int, int] = (3, 2)) -> PipelineRisk:
    """Two stages with the same gates, each of its own bank. A retention suite, on which equal models differ in 10 % of
    the cases, is kept in both; the second keeps the gates of the first too, where they differ in 4 %."""
    plan = PlanRule(kind).resolve(solved_for)
    names = [f"gate-{number}" for number in range(gates)]
    general, kept = retained_by_equal(100, 5, 0.1), retained_by_equal(100, 5, 0.04)
    draws = grouped(dict.fromkeys(names, plan), [])
    return PipelineRisk(
        (
            StageRisk("sft", budgets[0], draws, {"general": general}),
            StageRisk("dpo", budgets[1], draws, {"general": general, **dict.fromkeys(names, kept)}),
        )
    )


@pytest.mark.parametrize(
    ("kind", "gates", "solved_for", "promoted"),
    [("single", 2, 2, 0.87), ("double", 2, 2, 0.77), ("single", 6, 3, 0.78), ("double", 6, 3, 0.51)],
)
def test_a_good_model_at_first_attempts(kind: PlanKind, gates: int, solved_for: int, promoted: float) -> None:
    """The audit does not say what it assumed of banks, attempts and retention; `two_stages` is one answer."""
    assert two_stages(kind, gates, solved_for).at_first(GOOD) == pytest.approx(promoted, abs=0.005)


def test_the_same_by_hand() -> None:
    """With the numbers of attempts that the demo allows, 3 and 2, its double plans give .76."""
    once = binom.sf(89, 100, GOOD)
    kept = retained_by_equal(100, 5, 0.1) ** 2 * retained_by_equal(100, 5, 0.04) ** 2
    assert two_stages("single", 2, 3).at_first(GOOD) == pytest.approx(once**4 * kept)
    three, two = (once * binom.sf(k - 1, n, GOOD) for n, k in ((62, 56), (48, 43)))
    assert three**2 * two**2 * kept == pytest.approx(0.762, abs=5e-4)


def test_retention_by_net_loss() -> None:
    """The chance that lost - won is at most 5 of 100, summed over how many cases differ."""
    for differ in (0.04, 0.1, 0.2):
        expected = sum(binom.pmf(d, 100, differ) * binom.cdf(math.floor((d + 5) / 2), d, 0.5) for d in range(101))
        assert retained_by_equal(100, 5, differ) == pytest.approx(expected, abs=1e-9)


def test_within_the_budget_a_bad_model_gains_most() -> None:
    risk = two_stages("single", 2, 3)
    for p in (0.85, 0.9, 0.95):
        first, later = (risk.stages[0].accepted(p, number) for number in (1, 2))
        assert later < first, "a pass after a retry is confirmed"
        assert risk.stages[0].accepted_within(p) == pytest.approx(1 - (1 - first) * (1 - later) ** 2)
        assert risk.within_budget(p) > risk.at_first(p)


@pytest.mark.parametrize("p", [0.88, 0.95])
@pytest.mark.parametrize("kind", ["single", "double"])
def test_whole_runs_simulated(kind: PlanKind, p: float) -> None:
    """Every draw of every attempt of every stage is thrown; retention is thrown as lost and won cases."""
    risk, rng, runs = two_stages(kind, 2, 3), np.random.default_rng(7), 40_000
    alive, first = np.ones(runs, bool), np.ones(runs, bool)
    for stage in risk.stages:
        passed = np.zeros(runs, bool)
        for attempt in range(1, stage.attempts + 1):
            good = np.ones(runs, bool)
            for gates in stage.draws:
                for plan in gates.values():
                    for draw in filter(None, (plan.first, plan.confirmation(attempt))):
                        good &= rng.binomial(draw.draw, p, runs) >= draw.accept
            for name in stage.paired:
                differ = rng.binomial(100, 0.1 if name == "general" else 0.04, runs)
                lost = rng.binomial(differ, 0.5)
                good &= lost - (differ - lost) <= 5
            first &= good if attempt == 1 else True
            passed |= good
        alive &= passed
    assert risk.at_first(p) == pytest.approx(first.mean(), abs=0.01)
    assert risk.within_budget(p) == pytest.approx(alive.mean(), abs=0.01)


def test_gates_that_share_a_draw_pass_together_at_most_as_often_as_the_strictest() -> None:
    plans = {
        "facts": GatePlan(SinglePlan(100, 90)),
        "tone": GatePlan(SinglePlan(100, 92)),
        "own": GatePlan(SinglePlan()),
    }
    shared = PipelineRisk((StageRisk("sft", 1, grouped(plans, [["facts", "tone"]]), {}),))
    alone = PipelineRisk((StageRisk("sft", 1, grouped(plans, []), {}),))
    once, stricter = (binom.sf(k - 1, 100, GOOD) for k in (90, 92))
    assert shared.at_first(GOOD) == pytest.approx(stricter * once)
    assert alone.at_first(GOOD) == pytest.approx(stricter * once * once)
    assert (shared.is_at_most, alone.is_at_most) == (True, False)
    assert (shared.independent_draws, alone.independent_draws) == (2, 3)


def test_shared_draws_simulated_stay_below_the_limit() -> None:
    """Two checks of one answer, each right 95 % of the time, related in whatever way."""
    plans = {"facts": GatePlan(SinglePlan()), "tone": GatePlan(SinglePlan())}
    limit = PipelineRisk((StageRisk("sft", 1, grouped(plans, [list(plans)]), {}),)).at_first(0.9)
    rng = np.random.default_rng(7)
    facts = rng.random((20_000, 100)) < 0.9
    for alike in (0.0, 0.5, 1.0):
        tone = np.where(rng.random(facts.shape) < alike, facts, rng.random(facts.shape) < 0.9)
        both = ((facts.sum(axis=1) >= 90) & (tone.sum(axis=1) >= 90)).mean()
        assert both <= limit + 0.012


def test_the_draw_that_costs_most() -> None:
    strict, plain = GatePlan(SinglePlan(100, 95)), GatePlan(SinglePlan())
    gates = grouped({"facts": plain, "tone": strict}, [])
    risk = PipelineRisk((StageRisk("sft", 1, gates, {}), StageRisk("dpo", 1, grouped({"facts": plain}, []), {})))
    expected = 1 - binom.sf(94, 100, GOOD)
    cost = risk.costliest(GOOD)
    assert (cost.stage, cost.gate, cost.paired) == ("sft", "tone", False)
    assert cost.fails == pytest.approx(expected)
    forgets = PipelineRisk((StageRisk("sft", 1, grouped({"facts": plain}, []), {"general": 0.5}),))
    assert forgets.costliest(GOOD) == Cost("sft", "general", 0.5, paired=True)
