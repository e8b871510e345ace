"""How likely a lucky pass was for a gate that was run alone, from the recorded plans of its draws."""

from __future__ import annotations

from tunegate.checks.outcome import Verdict
from tunegate.exceptions import Tampered
from tunegate.record.record import GateRecord
from tunegate.stats.luck import LuckyPass, lucky_pass
from tunegate.stats.plans import GatePlan
from tunegate.verdicts.corrected import judged_by


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
    return lucky_pass(plan, 1, 1)
