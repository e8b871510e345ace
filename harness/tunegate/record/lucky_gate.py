"""How likely a lucky pass was, of a gate that was run alone: from the plans of its draws, as they are on record."""

from __future__ import annotations

from tunegate.checks.outcome import Verdict
from tunegate.exceptions import Tampered
from tunegate.record.record import GateRecord
from tunegate.stats.plans import GatePlan, LuckyPass, lucky_pass
from tunegate.verdicts.corrected import judged_by


def lucky_pass_alone(gate: GateRecord, confirm: GateRecord | None = None) -> LuckyPass | None:
    """Of a gate, and its confirming draw if it had one; None unless it passed, and for draws that no plan decides."""
    deciding = confirm or gate
    if deciding.verdict is not Verdict.PASS or not deciding.decided or gate.purpose != "gate":
        return None
    try:
        first, second = gate.registered.plan, confirm and confirm.registered.plan
    except Tampered:  # no plan is on record, so nothing can be said; `tunegate report --recheck` says why
        return None
    confirms = "always" if second is not None else "never"
    plan = GatePlan(first, second, confirms, judged=judged_by(gate.registered.admissions))
    return lucky_pass(plan, 1, 1)
