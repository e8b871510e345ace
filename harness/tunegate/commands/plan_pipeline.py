"""`tunegate plan` in a project: how likely the whole pipeline promotes a model, at first attempts and in the end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from tunegate.commands.plan_plot import plot
from tunegate.stats.curve import RATES
from tunegate.stats.pipeline_risk import PipelineRisk
from tunegate.stats.plans import Risk
from tunegate.verdicts.pipeline_words import assumed_words, cost_words, promotion_words
from tunegate.verdicts.words import probability


def pipeline_facts(risk: PipelineRisk) -> dict[str, Any]:
    """For scripts: the table, what each stage must pass, and the draw that costs a good model most."""
    return {
        "stages": [
            {
                "stage": stage.name,
                "attempts": stage.attempts,
                "gates": [list(gates) for gates in stage.draws],
                "retained_by_equal": dict(stage.paired),
            }
            for stage in risk.stages
        ],
        "curve": [{"p": p, "at_first": risk.at_first(p), "within_budget": risk.within_budget(p)} for p in RATES],
        "upper_limit": risk.is_at_most,
        "costliest": asdict(risk.costliest(Risk().good)),
        "words": promotion_words(risk),
    }


def pipeline_lines(risk: PipelineRisk) -> Iterator[str]:
    """For people: the table, the curve, and the sentences."""
    yield "the whole pipeline: " + ", then ".join(
        f"{stage.name} ({'1 attempt' if stage.attempts == 1 else f'{stage.attempts} attempts'})"
        for stage in risk.stages
    )
    yield f"right    first attempts   all attempts{'   (upper limits)' if risk.is_at_most else ''}"
    for p in RATES:
        yield f"{p:<6.3g}   {probability(risk.at_first(p)):<14}   {probability(risk.within_budget(p))}"
    yield from plot(
        (("o", "at first attempts", risk.at_first), ("x", "within all attempts", risk.within_budget)),
        Risk(),
        "promoted",
    )
    yield f"A{promotion_words(risk)[1:]}."
    yield f"note: {cost_words(risk)}"
    yield f"assumed: {assumed_words(risk)}"
