"""The evidence for a promotion: does the record of a run support it, and what may be attested?

Nothing that a record says of itself is believed: every gate is decided again from its outcomes, and each stage must
have begun with the very weights that the stage before it ended with.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tunegate import __version__
from tunegate.decision import decide
from tunegate.exceptions import CannotJudge, Tampered, TunegateError
from tunegate.outcomes import Verdict, combine
from tunegate.record import AttemptRecord, GateRecord, RunRecord, StageRecord, gate_key

FORMAT = 1
"""Of attestations: raised whenever they say other things, so that an older one is not taken for a forged one."""

Fingerprint = Callable[[Path], str]
"""SHA-256 of a model on disk."""


class NotPromotable(TunegateError):
    """The evidence does not support a promotion."""

    exit_code = 1


def recheck(gate: GateRecord) -> None:
    """Decide a gate again from the outcomes on record; raises Tampered when the recorded verdict differs.

    Raises NotPromotable when the record holds fewer outcomes than the plan registered.
    """
    for outcome in gate.outcomes:
        if combine(outcome.findings)[0] is not outcome.verdict:
            raise Tampered(f"gate {gate.gate!r}: case {outcome.case_id!r} is {outcome.verdict}, its findings say not")
        judged = [finding.check for finding in outcome.findings]
        unanswered = judged == ["model"] and outcome.verdict is Verdict.INVALID
        if judged != gate.checks and not unanswered:
            raise Tampered(f"gate {gate.gate!r}: case {outcome.case_id!r} was not judged by the checks of the gate")
    counted = [outcome.case_id for outcome in gate.outcomes]
    if counted != gate.case_ids[: gate.asked] or len(gate.case_ids) != gate.drawn:
        raise NotPromotable(
            f"gate {gate.key!r}: {len(set(counted) & set(gate.case_ids))} of the {gate.asked or gate.drawn} outcomes "
            f"that its verdict rests on are on record"
        )
    decision = decide(gate.draw_plan, gate.outcomes, gate.max_errors, gate.curtail)
    for name in ("verdict", "passed", "failed", "invalid", "asked", "spared"):
        if getattr(decision, name) != getattr(gate, name):
            raise Tampered(
                f"gate {gate.key!r}: the record says {gate.verdict} with {gate.passed} passed, "
                f"its outcomes give {decision.verdict} with {decision.passed}"
            )


def check_promotable(run: RunRecord, fingerprint: Fingerprint) -> tuple[AttemptRecord, Path]:
    """Hold a run's final model against its evidence: every required gate passed, on exactly these bytes."""
    attempt = check_gates(run)
    folder = run.folder / attempt.model
    if not folder.is_dir():
        raise NotPromotable(f"{folder}: the model that passed is not there any more")
    if run.folder.resolve() not in folder.resolve().parents:
        raise Tampered(f"{folder}: lies outside the folder of the run")
    if fingerprint(folder) != attempt.model_sha256:
        raise Tampered(f"{folder}: these are not the weights that passed; they changed after their gates")
    return attempt, folder


def check_gates(run: RunRecord) -> AttemptRecord:
    """The final attempt of a run, every required gate of which passed when decided again from the record.

    Each stage must have passed, on weights that began as those the stage before it ended with.
    """
    stages = _passed_stages(run)
    weights, final = run.start.get("model_sha256"), None
    for stage in stages:
        if not stage.attempts or not stage.required_gates:
            raise CannotJudge(f"stage {stage.name!r}: no attempt or no required gate is on record")
        final = stage.attempts[max(stage.attempts)]
        if final.input_sha256 != weights:
            raise Tampered(f"stage {stage.name!r} did not begin with the weights that the step before it ended with")
        _check_attempt(run, stage, final)
        weights = final.model_sha256
    if final is None:
        raise NotPromotable("the run has no stage; only a model that a pipeline trained and gated can be promoted")
    return final


def _passed_stages(run: RunRecord) -> list[StageRecord]:
    """The stages that the run registered, in order; raises NotPromotable unless they and the run passed."""
    planned: list[str] = run.start.get("stages", [])
    for name in planned:
        stage = run.stages.get(name)
        if stage is None or stage.verdict is not Verdict.PASS:
            state = "was not reached" if stage is None else stage.reason or "is not decided"
            raise NotPromotable(f"stage {name!r} has not passed: {state}")
    if planned and run.verdict is not Verdict.PASS:
        raise NotPromotable(f"the run has not passed: {run.reason or 'it is not decided'}")
    unplanned = run.stages.keys() - set(planned)
    if unplanned:
        raise Tampered(f"stages {', '.join(sorted(unplanned))}: on record, but the run did not register them")
    return [run.stages[name] for name in planned]


def _check_attempt(run: RunRecord, stage: StageRecord, attempt: AttemptRecord) -> None:
    for name in stage.required_gates:
        if name not in attempt.gates or not attempt.gates[name].decided:
            raise NotPromotable(f"gate {name!r} of stage {stage.name!r} was not decided")
    for gate in _decided(attempt):  # one that is not required may miss, but what is attested of it must be so
        recheck(gate)
        if gate.model_sha256 != attempt.model_sha256:
            raise Tampered(f"gate {gate.gate!r} was run on other weights ({gate.model_sha256})")
    for name in stage.required_gates:
        plan = _registered_plan(run, stage, name)
        _check_gate(run, attempt.gates[name], plan["first"], "working")
        if plan["confirms"] == "always" or (plan["confirms"] == "after_retry" and attempt.number > 1):
            confirm = attempt.gates.get(gate_key(name, "confirm"))
            if confirm is None or not confirm.decided:
                raise NotPromotable(f"gate {name!r} of stage {stage.name!r} passed, but was not confirmed")
            _check_gate(run, confirm, plan["confirm"], "sealed")
    for gate in _decided(attempt):
        _check_fresh(stage, gate)


def _registered_plan(run: RunRecord, stage: StageRecord, name: str) -> dict[str, Any]:
    plan = run.start.get("plans", {}).get(stage.name, {}).get(name)
    if plan is None:
        raise Tampered(f"gate {name!r} of stage {stage.name!r}: the run registered no plan for it")
    return plan


def _check_gate(run: RunRecord, gate: GateRecord, plan: Any, part: str) -> None:
    """Hold one decided draw against what the run registered before its first training."""
    if gate.verdict is not Verdict.PASS:
        raise NotPromotable(f"gate {gate.key!r} of stage {gate.stage!r}: {gate.verdict}: {gate.reason}")
    suite = run.start.get("suites", {}).get(gate.gate, {})
    registered = [suite.get("sha256"), suite.get("checks"), suite.get("max_errors"), plan, part]
    if registered != [gate.suite_sha256, gate.checks, gate.max_errors, gate.plan, gate.part]:
        raise Tampered(f"gate {gate.key!r} of stage {gate.stage!r}: not the suite and plan that the run registered")


def _check_fresh(stage: StageRecord, gate: GateRecord) -> None:
    """No case may have been asked by an earlier attempt, nor by a draw of the other part of the bank, but for those
    that the record itself marks as reused."""
    others = [other for attempt in stage.attempts.values() for other in attempt.gates.values()]
    same_gate = [other for other in others if other.gate == gate.gate]
    earlier = [other for other in same_gate if other.key == gate.key and (other.attempt or 0) < (gate.attempt or 0)]
    seen = frozenset[str]().union(*(other.seen for other in earlier))
    reused = len(seen & set(gate.case_ids))
    if reused > gate.reused:
        raise Tampered(f"gate {gate.key!r} of stage {stage.name!r}: {reused} of its cases were asked before")
    across = frozenset[str]().union(*(other.seen for other in same_gate if other.part != gate.part))
    if across & gate.seen:
        raise Tampered(f"gate {gate.key!r} of stage {stage.name!r}: opened cases of the other part of the bank")


def attest(run: RunRecord, attempt: AttemptRecord) -> dict[str, Any]:
    """What is attested of the weights of a run's final attempt, which `check_gates` returned.

    `gates` holds the gates that the pipeline required of these weights; `other_gates` what else they were asked, with
    its verdict, which nothing depended on.
    """
    required = run.stages[run.start["stages"][-1]].required_gates
    decided = _decided(attempt)
    return {
        "format": FORMAT,
        "tunegate": __version__,
        "run": run.name,
        "model_sha256": attempt.model_sha256,
        "base_model": run.start.get("model"),
        "pipeline_sha256": run.start.get("pipeline_sha256"),
        "record_sha256": run.digest,
        "gates": [_facts(gate) for gate in decided if gate.gate in required],
        "other_gates": [{"verdict": gate.verdict, **_facts(gate)} for gate in decided if gate.gate not in required],
    }


def _decided(attempt: AttemptRecord) -> list[GateRecord]:
    return [gate for gate in attempt.gates.values() if gate.decided]


def _facts(gate: GateRecord) -> dict[str, Any]:
    return {
        "stage": gate.stage,
        "attempt": gate.attempt,
        "gate": gate.key,
        "suite_sha256": gate.suite_sha256,
        "model_sha256": gate.model_sha256,
        "passed": gate.passed,
        "drawn": gate.drawn,
        "accept": gate.accept,
        "asked": gate.asked,
        "reused": gate.reused,
        "max_errors": gate.max_errors,
        "interval": list(gate.interval),
        "seed": gate.seed,
    }
