"""How likely a lucky pass was, from the recorded draws of a gate: of a run, or run alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tunegate.checks.outcome import Verdict
from tunegate.exceptions import Tampered
from tunegate.record.record import GateRecord
from tunegate.stats.luck import LuckyPass, lucky_pass
from tunegate.stats.plans import GatePlan, Risk
from tunegate.verdicts.corrected import judged_by
from tunegate.verdicts.grouped import independent


def lucky_pass_alone(
    gate: GateRecord, confirm: GateRecord | None = None, policy: Mapping[str, Any] | None = None
) -> LuckyPass | None:
    """For a gate and its confirming draw, if it had one, over all attempts of the same lineage.

    `policy` says which attempts the plan confirms, as `RunStarted.policy` holds it; older records hold none.
    None if it did not pass, if no plan decides the draw, or if cases were asked before: then nobody can tell.
    """
    deciding = confirm or gate
    if deciding.verdict is not Verdict.PASS or not deciding.decided or gate.purpose != "gate":
        return None
    draws = [gate] if confirm is None else [gate, confirm]
    if unknown_luck(draws):
        return None
    try:
        first, second = gate.registered.plan, confirm and confirm.registered.plan
    except Tampered:  # no plan is on record, so the chance is unknown; `tunegate report --recheck` says why
        return None
    attempts = 1 + attempts_before(gate)
    confirms = "never" if second is None else (policy or {}).get("confirms", "always")
    judged = judged_by(gate.registered.admissions)
    plan = GatePlan(first, second, confirms, judged=judged, spending=spending_of(policy or {}))
    return lucky_pass(plan, attempts, attempts, fewest_independent(draws))


def luck_in_run(
    plan: GatePlan, gate: GateRecord, confirm: GateRecord | None, attempts: int, limit: int
) -> LuckyPass | str:
    """For a gate that an attempt of a run passed, over the run's attempts and those of other runs from the same base.

    A sentence instead if cases were asked before.
    """
    draws = [gate] if confirm is None else [gate, confirm]
    if why := unknown_luck(draws):
        return why
    before = attempts_before(gate)
    return lucky_pass(plan, attempts + before, limit + before, fewest_independent(draws))


def spending_of(registered: Mapping[str, Any]) -> Risk | None:
    """The risk that a registered plan spends over its attempts, if it does."""
    return Risk(**registered["spending"]) if registered.get("spending") else None


def unknown_luck(draws: Iterable[GateRecord]) -> str:
    """Why no chance is known for a gate one of whose draws asked cases again; empty if none did."""
    again = (f"unknown: {draw.reused} of {draw.drawn} cases were asked before" for draw in draws if draw.reused)
    return next(again, "")


def attempts_before(gate: GateRecord) -> int:
    """The attempts of other runs of the same lineage on the bank of a gate."""
    return 0 if gate.ledger is None else gate.ledger.lineage


def fewest_independent(gates: Iterable[GateRecord]) -> float | None:
    """The independent cases that the draw with the fewest of them is worth; None if no draw has two of one group."""
    found = [
        independent(gate.registered.plan, gate.registered.at, gate.outcomes)
        for gate in gates
        if gate.decided and gate.verdict is Verdict.PASS
    ]
    return min((one.size for one in found if one is not None), default=None)
