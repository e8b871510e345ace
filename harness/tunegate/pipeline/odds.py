"""How likely a pipeline promotes a model, from its file: see `tunegate.stats.pipeline_risk`."""

from __future__ import annotations

from collections.abc import Callable

from tunegate.pipeline.ladders import possible_attempts
from tunegate.pipeline.pipeline import Pipeline, RetentionTerms, Stage
from tunegate.stats.pipeline_risk import PipelineRisk, StageRisk, grouped, retained_by_equal

Retains = Callable[[RetentionTerms, int], float]
"""The chance that an equal model passes a paired draw, from its terms and its number of cases."""


def by_net_loss(terms: RetentionTerms, cases: int) -> float:
    """For the rule that decides by the net loss alone."""
    return retained_by_equal(cases, terms.max_drop)


def pipeline_risk(pipeline: Pipeline, retains: Retains = by_net_loss) -> PipelineRisk:
    """The stages that must pass something; a baseline is measured, and has nothing to pass."""
    return PipelineRisk(
        tuple(_stage(pipeline, stage, retains) for stage in pipeline.stages if stage.role != "baseline")
    )


def budget(stage: Stage) -> int:
    """How many attempts a stage can make: those it allows, as far as its ladders have settings for them."""
    return min(stage.retrain.max_attempts, possible_attempts(stage.retrain)) if stage.role != "baseline" else 1


def shared_draws(pipeline: Pipeline, stage: Stage) -> list[list[str]]:
    """The groups of several gates of a stage that ask the same cases."""
    groups = [pipeline.sharing_a_draw(stage, name) for name in pipeline.gates(stage)]
    return [list(names) for names in dict.fromkeys(map(tuple, groups)) if len(names) > 1]


def _stage(pipeline: Pipeline, stage: Stage, retains: Retains) -> StageRisk:
    plans = {name: gate.plan for name, gate in pipeline.gates(stage).items()}
    paired = {
        name: retains(terms, pipeline.suites[name].plan.draw) for name, terms in pipeline.retention(stage).items()
    }
    return StageRisk(stage.name, budget(stage), grouped(plans, shared_draws(pipeline, stage)), paired)
