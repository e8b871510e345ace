"""How likely a pipeline promotes a model, from its file: see `tunegate.stats.pipeline_risk`."""

from __future__ import annotations

from tunegate.pipeline.ladders import possible_attempts
from tunegate.pipeline.pipeline import Pipeline, Stage
from tunegate.stats.pipeline_risk import PipelineRisk, StageRisk, grouped, retained_by_equal


def pipeline_risk(pipeline: Pipeline) -> PipelineRisk:
    """The stages that must pass something; a baseline is measured, and has nothing to pass."""
    return PipelineRisk(tuple(_stage(pipeline, stage) for stage in pipeline.stages if stage.role != "baseline"))


def budget(stage: Stage) -> int:
    """How many attempts a stage can make: those it allows, as far as its ladders have settings for them."""
    return min(stage.retrain.max_attempts, possible_attempts(stage.retrain)) if stage.role != "baseline" else 1


def shared_draws(pipeline: Pipeline, stage: Stage) -> list[list[str]]:
    """The groups of several gates of a stage that ask the same cases."""
    groups = [pipeline.sharing_a_draw(stage, name) for name in pipeline.gates(stage)]
    return [list(names) for names in dict.fromkeys(map(tuple, groups)) if len(names) > 1]


def _stage(pipeline: Pipeline, stage: Stage) -> StageRisk:
    plans = {name: gate.plan for name, gate in pipeline.gates(stage).items()}
    paired = {
        name: retained_by_equal(kept.draw, kept.kept.net_loss) for name, kept in pipeline.retention(stage).items()
    }
    return StageRisk(stage.name, budget(stage), grouped(plans, shared_draws(pipeline, stage)), paired)
