"""The step that a run without a verdict is at, or was at when it stopped, in words."""

from __future__ import annotations

from tunegate.record.record import AttemptRecord, GateRecord, RunRecord


def under_way(run: RunRecord) -> str:
    """The step that began last and has not ended; between two steps, the last step that ended."""
    for stage in reversed(list(run.stages.values())):
        if stage.verdict is not None:
            return f"stage {stage.name} is done: {stage.verdict}"
        if stage.attempts:
            return _of_attempt(stage.name, stage.attempts[max(stage.attempts)])
        return f"stage {stage.name} has begun, but no training has started"
    gates = list(run.gates.values())
    return _of_gate(gates[-1]) if gates else "nothing has been trained or asked so far"


def _of_attempt(stage: str, attempt: AttemptRecord) -> str:
    where = f"{stage}, attempt {attempt.number}"
    if attempt.error is not None:
        return f"{where}: the training failed: {attempt.error}"
    if not attempt.trained:
        rows = f" on {attempt.rows:,} rows" if attempt.rows else ""
        return f"{where} is being trained{rows}"
    if not attempt.gates:
        return f"{where} is trained, but no gate has begun"
    return f"{where}, {_of_gate(attempt.draws[-1])}"


def _of_gate(gate: GateRecord) -> str:
    if gate.measured:
        return f"{gate.key} is measured: {gate.passed} of {gate.asked}"
    if gate.decided:
        return f"{gate.key} is decided: {gate.verdict}, {gate.passed} of {gate.asked}"
    return f"{gate.key} is under way, {len(gate.judged.outcomes)} of {gate.drawn} cases judged"
