"""From the recorded draws of one model to how likely a good model misses them as badly."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from tunegate.checks.outcome import Verdict
from tunegate.record.record import AttemptRecord, GateRecord
from tunegate.stats.noise import MissedDraw, Noise, lost_by_chance, on_one_draw, together
from tunegate.stats.sampling import as_bad_or_worse
from tunegate.verdicts.corrected import judged_by
from tunegate.verdicts.reason import Kind
from tunegate.verdicts.terms import PAIRED

BY_COUNT: frozenset[Kind] = frozenset(
    {"count", "stopped", "settled", "limits_kept", "limit_not_measured", "limit_open"}
)
"""The reasons of a gate that was missed by its count, whose chance the plan gives; other limits may be met."""

_JUDGED = (Verdict.PASS, Verdict.FAIL)


def noise_of(attempts: Sequence[AttemptRecord], good: Mapping[str, float]) -> Noise | None:
    """How likely the misses of one model are for a good one; None without a miss.

    `attempts` are those with these weights: one, and its redraw if there is one. `good` is the pass rate of a model
    that is good enough for a gate, by its name.
    """
    decided = [gate for attempt in attempts for gate in attempt.gates.values() if gate.verdict in _JUDGED]
    missed = [gate for attempt in attempts for gate in missed_gates(attempt)]
    if not missed:
        return None
    draws = _by_cases(decided)
    told = {id(gate): _missed_draw(gate, good) for gate in missed}
    if any(one.chance is None for one in told.values()):
        return Noise(tuple(told.values()), len(draws), None)
    smallest: list[float] = []
    for gates in draws:
        chances = [one.chance for gate in gates if (one := told.get(id(gate))) is not None and one.chance is not None]
        if chances:
            smallest.append(on_one_draw(chances, len(gates)))
    return Noise(tuple(told.values()), len(draws), together(smallest, len(draws)))


def asks_fresh_cases(attempt: AttemptRecord) -> bool:
    """Whether a redraw of an attempt can come out otherwise: the comparisons of older records ask the same cases every
    time."""
    return all(gate.purpose not in PAIRED or gate.compared_afresh for gate in missed_gates(attempt))


def missed_gates(attempt: AttemptRecord) -> list[GateRecord]:
    """The draws that an attempt missed: those that no waiver excuses, or all of them, as a waiver may be withdrawn."""
    every = [gate for gate in attempt.gates.values() if gate.verdict is Verdict.FAIL]
    return [gate for gate in every if gate.key not in attempt.waived] or every


def _by_cases(gates: Iterable[GateRecord]) -> list[list[GateRecord]]:
    """The gates that judge the same cases together: each is one draw."""
    draws: dict[tuple[str, ...], list[GateRecord]] = {}
    for gate in gates:
        draws.setdefault(gate.case_ids, []).append(gate)
    return list(draws.values())


def _missed_draw(gate: GateRecord, good: Mapping[str, float]) -> MissedDraw:
    if gate.purpose in PAIRED:
        return _lost(gate)
    rate, judged = good.get(gate.gate), judged_by(gate.registered.admissions)
    if rate is None or not {reason.kind for reason in gate.reasons} <= BY_COUNT:
        return MissedDraw(gate.key, gate.asked, gate.failed, None, rate)
    plan = gate.registered.plan
    point, strict = (rate, None) if judged is None else (judged.point.passes(rate), judged.strict.passes(rate))
    return MissedDraw(
        gate.key,
        gate.asked,
        gate.failed,
        as_bad_or_worse(plan, gate.asked, gate.failed, point),
        rate,
        None if strict is None else as_bad_or_worse(plan, gate.asked, gate.failed, strict),
    )


def _lost(gate: GateRecord) -> MissedDraw:
    facts = next((reason.facts for reason in gate.reasons if reason.kind == "forgetting"), None)
    if facts is None:
        return MissedDraw(gate.key, gate.asked, gate.failed, None)
    lost, won = int(facts["lost"]), int(facts["won"])
    return MissedDraw(gate.key, int(facts["cases"]), lost, lost_by_chance(lost, won), won=won)
