"""What a run registers about its pipeline before the first training: the terms that it must meet afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from tunegate.pipeline.odds import budget, shared_draws
from tunegate.pipeline.pipeline import Pipeline, Stage
from tunegate.stats.plans import Risk
from tunegate.suites.suite import Suite
from tunegate.verdicts.terms import PAIRED


def registered(pipeline: Pipeline) -> dict[str, Any]:
    """The fields of `RunStarted` that follow from the pipeline file and the files that it names."""
    paired = {
        purpose: {
            stage.name: {name: asdict(terms) for name, terms in pipeline.paired(stage)[purpose].items()}
            for stage in pipeline.stages
        }
        for purpose in PAIRED
    }
    redraws = {
        stage.name: good_rates(pipeline, stage) for stage in pipeline.stages if stage.retrain.on_noise == "redraw"
    }
    return {
        "name": pipeline.name,
        "attempts_before": dict(pipeline.attempts_before),
        "pipeline_sha256": pipeline.sha256,
        "model": pipeline.model,
        "promotes_imported": True if pipeline.promotes_imported else None,
        "seed": pipeline.seed,
        "stages": tuple(stage.name for stage in pipeline.stages),
        "roles": {stage.name: stage.role for stage in pipeline.stages},
        "suites": {name: _suite_facts(suite) for name, suite in pipeline.suites.items()},
        "gates": {
            stage.name: {name: terms.to_json() for name, terms in pipeline.gates(stage).items()}
            for stage in pipeline.stages
        },
        **paired,
        "budget": {stage.name: budget(stage) for stage in pipeline.stages},
        "shared_draws": {stage.name: shared_draws(pipeline, stage) for stage in pipeline.stages},
        "redraws": redraws or None,
        "watched": {stage: watched.to_json() for stage, watched in pipeline.watched.items()},
    }


def good_rates(pipeline: Pipeline, stage: Stage) -> dict[str, float]:
    """The pass rate of a model that is good enough, by gate: from the gate's own `risk`, otherwise from the default."""
    return {name: (pipeline.suites[name].rule.risk or Risk()).good for name in pipeline.gates(stage)}


def _suite_facts(suite: Suite) -> Mapping[str, Any]:
    return {
        "sha256": suite.sha256,
        "cases": len(suite.cases),
        "working": len(suite.bank.working),
        "sealed": len(suite.bank.sealed),
        "draw": suite.plan.draw,
        "checks": suite.check_names,
        "settings": asdict(suite.settings),
        **suite.looks_for,
    }
