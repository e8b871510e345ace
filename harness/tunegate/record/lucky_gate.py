"""How likely a lucky pass was for a gate that was run alone, from the recorded plans of its draws."""

from __future__ import annotations

from collections.abc import Iterable

from tunegate.checks.outcome import Verdict
from tunegate.exceptions import Tampered
from tunegate.record.record import GateRecord
from tunegate.stats.plans import GatePlan, LuckyPass, lucky_pass
from tunegate.verdicts.corrected import judged_by
from tunegate.verdicts.grouped import independent


def lucky_pass_alone(gate: GateRecord, confirm: GateRecord | None = None) -> LuckyPass | None:
    """For a gate and its confirming draw, if it had one; None if it did not pass, or if no plan decides the draw."""
    deciding = confirm or gate
    if deciding.verdict is not Verdict.PASS or not deciding.decided or gate.purpose != "gate":
        return None
    try:
        first, second = gate.registered.plan, confirm and confirm.registered.plan
    except Tampered:  # no plan is on record, so the chance is unknown; `tunegate report --recheck` says why
        return None
    confirms = "always" if second is not None else "never"
    plan = GatePlan(first, second, confirms, judged=judged_by(gate.registered.admissions))
    return lucky_pass(plan, 1, 1, fewest_independent([gate] if confirm is None else [gate, confirm]))


def fewest_independent(gates: Iterable[GateRecord]) -> float | None:
    """The independent cases that the draw with the fewest of them is worth; None if no draw has two of one group."""
    found = [
        independent(gate.registered.plan, gate.registered.at, gate.outcomes)
        for gate in gates
        if gate.decided and gate.verdict is Verdict.PASS
    ]
    return min((one.size for one in found if one is not None), default=None)
