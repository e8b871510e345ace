"""How likely a lucky pass was, of a gate that was run alone: from the plans of its draws, as they are on record."""

from __future__ import annotations

from dataclasses import dataclass

from tunegate.checks.outcome import Verdict
from tunegate.exceptions import Tampered
from tunegate.record.record import GateRecord
from tunegate.stats.plans import GatePlan, lucky_pass


@dataclass(frozen=True, slots=True)
class LuckyPass:
    """The chance that a model which is right at the rate `at` would have passed as well, in numbers and in words."""

    at: float
    probability: float
    in_words: str


def lucky_pass_alone(gate: GateRecord, confirm: GateRecord | None = None) -> LuckyPass | None:
    """Of a gate, and its confirming draw if it had one; None unless it passed, and for draws that no plan decides."""
    deciding = confirm or gate
    if deciding.verdict is not Verdict.PASS or not deciding.decided or gate.purpose != "gate":
        return None
    try:
        first, second = gate.registered.plan, confirm and confirm.registered.plan
    except Tampered:  # no plan is on record, so nothing can be said; `tunegate report --recheck` says why
        return None
    plan = GatePlan(first, second, "always" if second is not None else "never")
    return LuckyPass(plan.at, plan.acceptance(plan.at), lucky_pass(plan, 1, 1))
