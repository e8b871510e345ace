"""The table of a bake-off, in words, for terminal and report."""

from __future__ import annotations

from collections.abc import Sequence

from tunegate.choosing.bake_off import AgainstBest, Ranked
from tunegate.models.model_facts import UNKNOWN
from tunegate.verdicts.words import p_words

HEAD = ("", "model", "passed", "95 %", "against the best", "size", "parameters", "memory", "tokens/s", "licence")


def cells(one: Ranked) -> tuple[str, ...]:
    """A row of the table for people, without its place; `HEAD` names the columns."""
    entry, gate, cost = one.entry, one.entry.gate, one.entry.cost
    judged = gate is not None and one.standing != "INVALID"
    memory = cost and (cost.gpu_peak_mib or cost.peak_mib)
    return (
        entry.model,
        f"{gate.passed} of {gate.asked or gate.drawn}" if gate and judged else "INVALID",
        f"{gate.interval[0]:.0%} to {gate.interval[1]:.0%}" if gate and judged else "",
        _standing(one.standing, one.against),
        in_bytes(entry.facts.size_bytes),
        in_millions(entry.facts.parameters),
        in_bytes(memory and memory * 2**20),
        f"{cost.tokens_per_s:,.0f}" if cost and cost.tokens_per_s else UNKNOWN,
        entry.facts.licence,
    )


def _standing(standing: str, against: AgainstBest | None) -> str:
    if against is None:
        return "" if standing == "INVALID" else standing
    low, high = against.interval
    return f"{standing}, {against.points:+.3g} ({low:+.0f} to {high:+.0f}), {p_words(against.p_holm)}"


def corrected_words(pairs: int, compared: str = "model") -> str:
    """What was done to the p-values, and why."""
    return f"p-values are corrected for all {pairs} pairs (Holm), because the best {compared} was not named beforehand"


def winner_words(ranked: Sequence[Ranked]) -> str:
    """A note on the interval of the best model; empty with fewer than two judged models."""
    judged = [one for one in ranked if one.standing != "INVALID"]
    if len(judged) < 2:
        return ""
    return (
        f"the 95 % interval of {judged[0].entry.model} is too optimistic: it was chosen because it passed the most "
        "cases; a gate on other cases shows its pass rate"
    )


def in_bytes(size: float | None) -> str:
    """`91 MB`, `1.2 GB`; powers of ten, as disks are sold."""
    if size is None:
        return UNKNOWN
    return f"{size / 1e9:.3g} GB" if size >= 1e9 else f"{size / 1e6:.3g} MB"


def in_millions(count: int | None) -> str:
    """`135 M`, `7.24 B`"""
    if count is None:
        return UNKNOWN
    return f"{count / 1e9:.3g} B" if count >= 1e9 else f"{count / 1e6:.3g} M"
