"""How likely a pipeline promotes a good and a bad model, in words."""

from __future__ import annotations

from tunegate.stats.pipeline_risk import DIFFER, PipelineRisk
from tunegate.stats.plans import Risk
from tunegate.verdicts.words import probability


def promotion_words(risk: PipelineRisk) -> str:
    """One sentence each for a good and for a bad model, without the last full stop.

    `a model that is right 95% of the time in every gate and forgets nothing is promoted at first attempts with
    probability 0.873, within all attempts with 0.999`
    """
    default = Risk()
    good, bad = (
        f"is right {100 * p:g}% of the time in every gate and forgets nothing is promoted at first attempts with "
        f"probability {at_most(risk, risk.at_first(p))}, within all attempts with "
        f"{at_most(risk, risk.within_budget(p))}"
        for p in (default.good, default.at)
    )
    return f"a model that {good}; one that {bad}"


def summary_words(risk: PipelineRisk) -> str:
    """The chance of a good model in a few words."""
    good = Risk().good
    chance = at_most(risk, risk.at_first(good))
    return f"the whole pipeline promotes a model that is right {100 * good:g}% of the time at first attempts: {chance}"


def cost_words(risk: PipelineRisk) -> str:
    """Which draw costs a good model most."""
    good = Risk().good
    cost = risk.costliest(good)
    what = "its comparison with the earlier model" if cost.paired else "its draw"
    return (
        f"{cost.gate} in stage {cost.stage} costs a model that is right {100 * good:g}% of the time most: "
        f"{what} fails it at the first attempt with probability {probability(cost.fails)}"
    )


def assumed_words(risk: PipelineRisk) -> str:
    """What the chances assume, for the reader who relies on them."""
    shared = "gates that share a draw are not independent, so the chances are upper limits; " if risk.is_at_most else ""
    kept = any(stage.paired for stage in risk.stages)
    differ = f"an equal model differs from an earlier one on {DIFFER:.0%} of the cases; " if kept else ""
    return (
        f"{shared}{differ}retraining changes nothing; "
        "minima for slices, gaps, caps on errors and comparisons with a baseline are not counted"
    )


def at_most(risk: PipelineRisk, chance: float) -> str:
    """`0.873`, or `at most 0.873` where gates share a draw."""
    words = probability(chance)
    return f"at most {words}" if risk.is_at_most and not words.startswith("<") else words
