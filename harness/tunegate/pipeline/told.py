"""What a run says of its passes, from the pipeline and its draws: the chance of luck, and the reasons in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from tunegate.checks.outcome import Verdict
from tunegate.exceptions import Tampered
from tunegate.pipeline.pipeline import Pipeline, Stage
from tunegate.record.lucky_gate import luck_in_run
from tunegate.record.record import RunRecord, StageRecord, gate_key
from tunegate.record.typed_json import as_recorded
from tunegate.stats.luck import LuckyPass


def luck_of(stage: Stage, pipeline: Pipeline, run: RunRecord) -> dict[str, LuckyPass | str]:
    """How likely a bad model was to pass each gate of a passed stage, all attempts included."""
    attempts = run.stages[stage.name].attempts
    draws, made, limit = attempts[max(attempts)].gates, max(attempts), stage.retrain.max_attempts
    return {
        name: luck_in_run(gate.plan, draws[name], draws.get(gate_key(name, "confirm")), made, limit)
        for name, gate in pipeline.gates(stage).items()
        if gate.first.purpose == "gate"
    }


def passed_in_words(run: RunRecord) -> str:
    """Why a run passed."""
    waived = ", ".join(f"{waiver['stage']} {waiver['gate']}" for waiver in run.waivers())
    return f"passed, but waived: {waived}" if waived else "every gate of every stage passed"


def check_told(run: RunRecord, pipeline: Pipeline) -> None:
    """Raise Tampered unless the chances of luck and the reasons of passes follow from the draws."""
    for stage in pipeline.stages:
        record = run.stages.get(stage.name)
        if record is None or record.verdict is not Verdict.PASS:
            continue
        _check_attempts(stage, record, pipeline)
        if record.reason != _stage_in_words(record):
            raise Tampered(f"stage {stage.name!r}: it passed for another reason than the record says")
        if _rounded(record.luck) != _rounded(luck_of(stage, pipeline, run)):
            raise Tampered(f"stage {stage.name!r}: the record tells another chance of a lucky pass than its draws give")
    if run.verdict is Verdict.PASS and run.reason != passed_in_words(run):
        raise Tampered(f"{run.folder}: it passed for another reason than the record says")


def _check_attempts(stage: Stage, record: StageRecord, pipeline: Pipeline) -> None:
    """Every attempt, the missed ones too: its start, its model, its verdicts, and the terms of its gates."""
    last = record.attempts[max(record.attempts)]
    for number, attempt in record.attempts.items():
        where = f"stage {stage.name!r}: attempt {number}"
        if attempt.input_sha256 != last.input_sha256:
            raise Tampered(f"{where} started from other weights than the last attempt")
        for key, gate in attempt.gates.items():
            if not gate.decided or gate.model_sha256 != attempt.model_sha256:
                raise Tampered(f"{where}: gate {key!r} has no verdict about the model of this attempt")
            if any(reason.kind == "said" for reason in gate.reasons):
                raise Tampered(f"{where}: gate {key!r} has a verdict without reasons on record")
            registered = pipeline.gates(stage).get(gate.gate)
            if gate.key == gate.gate and registered and gate.terms != as_recorded(registered.first.to_json()):
                raise Tampered(f"{where}: gate {key!r} has other terms than {pipeline.path} gives")


def check_data(run: RunRecord, pipeline: Pipeline) -> None:
    """Raise Tampered unless the rows that the run registered for each stage are those of its data."""
    for stage in pipeline.stages:
        data: Mapping[str, Mapping[str, Any]] = run.start.get("data") or {}
        told = data.get(stage.name) or {}
        # The pipeline of a run that goes on may be without the rows that leak tests; the record has it with them.
        rows = told.get("rows") if run.dropped else len(stage.data.examples)
        if (told.get("rows"), told.get("sha256")) != (rows, stage.data.sha256):
            raise Tampered(f"{run.folder}: the record registers other data of stage {stage.name!r}")


def _stage_in_words(stage: StageRecord) -> str:
    last = stage.attempts[max(stage.attempts)]
    return "; ".join(f"{key}: {gate.reason}" for key, gate in last.unwaived.items()) or "every missed gate is waived"


def _rounded(luck: object) -> object:
    """As another machine may compute it: the last digits of a number may differ."""
    if isinstance(luck, LuckyPass):
        luck = asdict(luck)
    if isinstance(luck, float):
        return float(f"{luck:.6g}")
    if hasattr(luck, "items"):
        return {name: _rounded(one) for name, one in luck.items()}  # type: ignore[attr-defined]
    return luck
