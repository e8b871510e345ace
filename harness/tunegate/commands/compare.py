"""`tunegate compare A B`: the answers of two models to the same cases of the same suites, case by case.

Only cases that both models were asked count. A difference counts as shown if its p-value (McNemar's exact test),
adjusted for the number of suites (Holm), is below 0.05; otherwise it may be chance.
"""

from __future__ import annotations

from argparse import Namespace
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from tunegate.checks.outcome import Outcome, Verdict
from tunegate.commands.console import show, show_json
from tunegate.exceptions import ConfigError
from tunegate.gates.gate_run import FOLDER
from tunegate.gates.recorded_answers import Identify, Side, SuiteAnswers, names_a_record, read_side
from tunegate.stats.holm import SHOWN_P_VALUE, holm
from tunegate.stats.paired import PairedCounts
from tunegate.verdicts.comparison import Comparison, compare
from tunegate.verdicts.reason import because
from tunegate.verdicts.words import AFTER_HOLM, p_words

SHOWN_IDS = 8
EVERYTHING = 100.0
"""Points that may be lost without `--max-drop`."""


@dataclass(frozen=True, slots=True)
class SuiteComparison:
    """Two models on one suite: `a` before, `b` after. `p_holm` is adjusted for all suites that were compared."""

    a: SuiteAnswers
    b: SuiteAnswers
    common: int
    result: Comparison
    p_holm: float | None = None

    @property
    def shown(self) -> Literal["better", "worse", "none"]:
        """Whether B is shown to be better or worse than A."""
        counts = self.result.counts
        if counts is None or self.p_holm is None or self.p_holm >= SHOWN_P_VALUE:
            return "none"
        return "better" if counts.drop < 0 else "worse"


def compare_sides(a: Side, b: Side, max_drop: float = EVERYTHING) -> list[SuiteComparison]:
    """Compare two sides on every suite that both were asked; raises ConfigError if suites with the same name differ."""
    _refuse_other_suites(a, b)
    found = [_compare_suite(a.suites[sha256], b.suites[sha256], max_drop) for sha256 in a.suites if sha256 in b.suites]
    p_values = {index: one.result.counts.p_value for index, one in enumerate(found) if one.result.counts}
    adjusted = holm(p_values)
    return [replace(one, p_holm=adjusted.get(index)) for index, one in enumerate(found)]


def _refuse_other_suites(a: Side, b: Side) -> None:
    if not a.suites.keys() & b.suites.keys():
        held = "; ".join(f"{side.label} was asked {_names(side)}" for side in (a, b))
        raise ConfigError(f"A and B have no suite in common: {held}; gate both models on the same suite")
    hashes = {suite.gate: sha256 for sha256, suite in a.suites.items() if sha256 not in b.suites}
    for sha256, suite in b.suites.items():
        if sha256 not in a.suites and suite.gate in hashes:
            raise ConfigError(
                f"suite {suite.gate!r} is not the same: {hashes[suite.gate][:12]}… in {a.label}, {sha256[:12]}… in "
                f"{b.label} (cases, checks or plan differ); gate both models on the same suite"
            )


def _names(side: Side) -> str:
    return ", ".join(f"{suite.gate} ({sha256[:12]}…)" for sha256, suite in side.suites.items())


def _compare_suite(a: SuiteAnswers, b: SuiteAnswers, max_drop: float) -> SuiteComparison:
    common = [case_id for case_id in a.outcomes if case_id in b.outcomes]
    result = compare([a.outcomes[i] for i in common], [b.outcomes[i] for i in common], max_drop)
    if not common:
        result = replace(result, reasons=(because("none_in_common"),))
    return SuiteComparison(a, b, len(common), result)


# --- the command ---------------------------------------------------------------------------------------------------


def compare_records(options: Namespace, identify: Identify) -> int:
    """Compare two records; exit code 0, 1 when B lost more than `--max-drop`, 3 when a suite could not be compared."""
    max_drop = EVERYTHING if options.max_drop is None else options.max_drop
    if options.records is not None and all(names_a_record(side) for side in (options.a, options.b)):
        raise ConfigError("--records: A and B are folders of records, so this option has no use; leave it out")
    records = FOLDER if options.records is None else Path(options.records)
    a, b = read_side(options.a, records, identify), read_side(options.b, records, identify)
    found = compare_sides(a, b, max_drop)
    verdict = _worst([one.result.verdict for one in found])
    if options.json:
        show_json(_as_json(a, b, found, verdict))
    else:
        _print(a, b, found)
    return verdict.exit_code


def _worst(verdicts: list[Verdict]) -> Verdict:
    return next((one for one in (Verdict.INVALID, Verdict.FAIL) if one in verdicts), Verdict.PASS)


def _alone(side: Side, other: Side) -> list[str]:
    return [suite.gate for sha256, suite in side.suites.items() if sha256 not in other.suites]


def _as_json(a: Side, b: Side, found: list[SuiteComparison], verdict: Verdict) -> dict[str, Any]:
    return {
        "verdict": verdict,
        "a": {"label": a.label, "model_sha256": a.model_sha256, "only": _alone(a, b)},
        "b": {"label": b.label, "model_sha256": b.model_sha256, "only": _alone(b, a)},
        "gates": [_gate_as_json(one) for one in found],
    }


def _gate_as_json(one: SuiteComparison) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "gate": one.a.gate,
        "suite_sha256": one.a.suite_sha256,
        "verdict": one.result.verdict,
        "reason": "" if one.result.verdict is Verdict.PASS else one.result.reason,
        "cases_a": len(one.a.outcomes),
        "cases_b": len(one.b.outcomes),
        "common": one.common,
        "cut_short": one.a.cut_short or one.b.cut_short,
    }
    counts = one.result.counts
    if counts is None:
        return facts
    low, high = _gain_interval(counts)
    return {
        **facts,
        "passed_a": counts.both + counts.lost,
        "passed_b": counts.both + counts.won,
        "lost": _changed(one, Verdict.PASS),
        "won": _changed(one, Verdict.FAIL),
        "points": -counts.drop,
        "interval": [low, high],
        "p_value": counts.p_value,
        "p_holm": one.p_holm,
        "shown": one.shown,
    }


def _gain_interval(counts: PairedCounts) -> tuple[float, float]:
    """The 95 % interval of B minus A, in percentage points."""
    low, high = counts.drop_interval
    return -high, -low


def _changed(one: SuiteComparison, before: Verdict) -> list[str]:
    """The common cases with the outcome `before` in A and another outcome in B."""

    def differs(outcome: Outcome) -> bool:
        other = one.b.outcomes.get(outcome.case_id)
        return other is not None and outcome.verdict is before and other.verdict is not before

    return [case_id for case_id, outcome in one.a.outcomes.items() if differs(outcome)]


def _print(a: Side, b: Side, found: list[SuiteComparison]) -> None:
    """Two lines per suite, and what could not be compared."""
    show(f"A: {a.label}")
    show(f"B: {b.label}")
    for one in found:
        for line in _in_words(one):
            show(line)
    for name, side, other in (("A", a, b), ("B", b, a)):
        alone = _alone(side, other)
        if alone:
            show(f"note: only {name} was gated on {', '.join(alone)}")


def _in_words(one: SuiteComparison) -> list[str]:
    cases = f"{one.common} common cases"
    if {len(one.a.outcomes), len(one.b.outcomes)} != {one.common}:
        cases += f" (A was asked {len(one.a.outcomes)}, B {len(one.b.outcomes)}; only common cases are compared)"
    counts = one.result.counts
    if counts is None:
        return [f"{one.a.gate}: {cases}; INVALID: {one.result.reason}"]
    low, high = _gain_interval(counts)
    said = {"better": "B is better", "worse": "B is worse", "none": "no difference is shown"}[one.shown]
    adjusted = one.p_holm if one.p_holm != counts.p_value else None
    chance = p_words(counts.p_value)
    if adjusted is not None:
        chance = f"p = {counts.p_value:.2g}, {p_words(adjusted, AFTER_HOLM)}"
    lines = [
        f"{one.a.gate}: {cases}; A passed {counts.both + counts.lost}, B {counts.both + counts.won}",
        f"  B {0.0 - counts.drop:+.3g} points (95 %: {low:+.1f} to {high:+.1f}; {counts.won} won, {counts.lost} lost, "
        f"McNemar {chance}): {said}",
    ]
    if one.result.verdict is Verdict.FAIL:
        lines.append(f"  FAIL: {counts.drop:.3g} points lost, {one.result.max_drop:g} allowed")
    lost = _changed(one, Verdict.PASS)
    if lost:
        more = f" and {len(lost) - SHOWN_IDS} more" if len(lost) > SHOWN_IDS else ""
        lines.append(f"  lost: {', '.join(lost[:SHOWN_IDS])}{more}")
    if one.a.cut_short or one.b.cut_short:
        lines.append(
            "  note: a draw stopped early, when its verdict was certain, so these rates are not those of a fixed draw"
        )
    return lines
