"""How likely a run promotes a model, from what it registered at its start: see `tunegate.stats.pipeline_risk`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tunegate.record.lucky_gate import spending_of
from tunegate.record.record import RunRecord
from tunegate.stats.pipeline_risk import PipelineRisk, StageRisk, grouped, retained_by_equal
from tunegate.stats.plans import GatePlan
from tunegate.verdicts.corrected import judged_by
from tunegate.verdicts.terms import terms_from_json

Json = Mapping[str, Any]


def registered_risk(run: RunRecord) -> PipelineRisk | None:
    """The stages that must pass something; None for a gate run alone, and for an older record, which does not say how
    many attempts a stage had or which gates shared a draw."""
    start = run.start
    if not start.get("budget") or start.get("shared_draws") is None:
        return None
    try:
        stages = tuple(_stage(start, stage) for stage, role in start["roles"].items() if role != "baseline")
    except (KeyError, TypeError, ValueError, AttributeError):  # `tunegate report --recheck` says what is wrong with it
        return None
    return PipelineRisk(stages)


def _stage(start: Json, stage: str) -> StageRisk:
    plans = {name: plan_from_record(gate) for name, gate in start["gates"][stage].items()}
    retained: Mapping[str, Mapping[str, Json]] = start.get("retention") or {}
    paired = {
        name: retained_by_equal(terms["draw"], terms["kept"]["net_loss"])
        for name, terms in (retained.get(stage) or {}).items()
    }
    return StageRisk(stage, start["budget"][stage], grouped(plans, start["shared_draws"].get(stage, ())), paired)


def plan_from_record(gate: Json) -> GatePlan:
    """The plan of a gate as a run registered it."""
    first, confirm = terms_from_json(gate["first"]), gate["confirm"]
    second = confirm and terms_from_json(confirm).plan
    judged = judged_by(first.admissions)
    return GatePlan(first.plan, second, gate["confirms"], judged=judged, spending=spending_of(gate))
