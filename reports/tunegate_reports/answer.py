"""The result of a run as one sentence; every kind of report opens with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tunegate.checks.outcome import Verdict
from tunegate.record.ledger_words import told_of
from tunegate.record.lucky_gate import lucky_pass_alone, unknown_luck
from tunegate.record.record import GateRecord, RunRecord, StageRecord
from tunegate.record.under_way import under_way
from tunegate.stats.luck import LuckyPass
from tunegate.verdicts import reason as reasons
from tunegate.verdicts.luck_words import in_words as luck_in_words
from tunegate.verdicts.terms import MEASURED, PAIRED
from tunegate.verdicts.words import sentence

STATE_WORDS = {
    "PASS": "passed",
    "FAIL": "failed",
    "INVALID": "not judged",
    "INCONCLUSIVE": "inconclusive",
    "OPEN": "under way",
    "MEASURED": "measured",
}
"""The state of a draw, an attempt or a stage, in words: see `state_of`."""
DRAW_WORDS = {
    "gate": "gate",
    "confirm": "confirming draw",
    "retention": "retention",
    "worth": "worth",
    "baseline": "baseline",
    "reference": "reference",
    "worth reference": "reference of worth",
}
"""What a draw is for, in a word or two."""
CASE_WORDS = {Verdict.PASS: "passed", Verdict.FAIL: "missed", Verdict.INVALID: "not judged"}


@dataclass(frozen=True, slots=True)
class Answer:
    """The sentence is `{what}: {why}.`; `verdict` is None while the run is under way."""

    verdict: Verdict | None
    what: str
    why: str

    @property
    def sentence(self) -> str:
        return f"{self.what}: {self.why.rstrip('.')}." if self.why else f"{self.what}."


def fault_word(run: RunRecord) -> str:
    """What to call the faults of a run: one that passed went on after them."""
    return "Earlier fault" if run.verdict is Verdict.PASS else "Fault"


def answer(run: RunRecord) -> Answer:
    """Say whether the model was promoted, or whether the gates passed, and why."""
    gates = _gates_alone(run)
    verdict = _worst(gates) if gates and run.verdict is None else run.verdict
    if verdict is None:
        return Answer(None, f"{_name(run)} is not finished", under_way(run))
    if gates:
        return Answer(verdict, f"{_name(run)} {_said_alone(gates, verdict)}", _reasons(gates))
    return Answer(verdict, f"{_name(run)} {_promotion(run)}", run.reason)


def state_of(verdict: Verdict | None, *, measured: bool = False) -> str:
    """The verdict; OPEN before there is one; MEASURED where a PASS only means that every case was judged."""
    return "MEASURED" if measured and verdict is Verdict.PASS else verdict or "OPEN"


def gate_state(gate: GateRecord) -> str:
    """The state of a draw: a baseline has nothing to pass."""
    return state_of(gate.verdict if gate.decided else None, measured=gate.measured)


def gate_words(gate: GateRecord) -> str:
    """The state of a draw in words."""
    return STATE_WORDS[gate_state(gate)]


def count_words(gate: GateRecord) -> str:
    """`89 of 100, 90 needed`; `11 of 43 missed, 57 not asked` where the verdict was certain early; `76 of 100` where no
    count decides."""
    if gate.purpose in (*PAIRED, *MEASURED):
        return passed_words(gate)
    if gate.spared:
        unjudged = f", {gate.invalid} not judged" if gate.invalid else ""
        return f"{_missed_words(gate)}{unjudged}, {gate.spared} not asked"
    return f"{passed_words(gate)}, {gate.accept} needed"


def beyond_count(gate: GateRecord) -> str:
    """The reason for a verdict without its count, which is shown beside it already."""
    if not gate.decided:
        return ""
    return sentence(reasons.beyond_count(gate.reasons))


def waiver_words(waiver: Mapping[str, Any]) -> str:
    """`ada@example.org is responsible for it until 2026-12-31: the bank mislabels carriers`"""
    return f"{waiver['owner']} is responsible for it until {waiver['expires']}: {waiver['reason'].rstrip('.')}"


def luck_of(stage: StageRecord) -> dict[str, list[str]]:
    """Each sentence with the gates it describes, the most likely lucky pass first. A waived gate did not pass, so it is
    not listed."""
    waived = stage.attempts[max(stage.attempts)].waived if stage.attempts else {}
    passed = {gate: luck for gate, luck in stage.luck.items() if gate not in waived}
    likeliest = sorted(passed, key=lambda gate: _chances(passed[gate]), reverse=True)
    gates: dict[str, list[str]] = {}
    for gate in likeliest:
        luck = passed[gate]
        gates.setdefault(luck if isinstance(luck, str) else luck_in_words(luck), []).append(gate)
    return gates


def _chances(luck: LuckyPass | str) -> tuple[float, float]:
    return (0.0, 0.0) if isinstance(luck, str) else (luck.within_limit, luck.so_far)


def luck_alone(run: RunRecord) -> list[tuple[str, str]]:
    """(gate, sentence) of gates that were run alone and passed."""
    gates = () if run.stages else tuple(run.gates.values())
    policy = run.start.get("policy")
    confirming = {gate.gate: gate for gate in gates if gate.purpose == "confirm"}
    told: list[tuple[str, str]] = []
    for gate in (one for one in gates if one.purpose == "gate"):
        confirm = confirming.get(gate.gate)
        draws = [gate] if confirm is None else [gate, confirm]
        if (luck := lucky_pass_alone(gate, confirm, policy)) is not None:
            told.append((gate.gate, luck_in_words(luck)))
        elif draws[-1].verdict is Verdict.PASS and (why := unknown_luck(draws)):
            told.append((gate.gate, why))
    return told


def ledger_of(stage: StageRecord) -> dict[str, list[str]]:
    """The place of a stage's last attempt in the ledger: each sentence with its gates."""
    return told_of(stage.attempts[max(stage.attempts)].gates.values()) if stage.attempts else {}


def _missed_words(gate: GateRecord) -> str:
    return f"{gate.failed} of {asked(gate)} missed"


def passed_words(gate: GateRecord) -> str:
    """`89 of 100`: of the cases that were asked."""
    return f"{gate.passed} of {asked(gate)}"


def asked(gate: GateRecord) -> int:
    """How many cases a gate asks: those it registered, minus those it skipped because the verdict was certain."""
    return gate.drawn - gate.spared


def gate_label(gate: GateRecord) -> str:
    """`sft, attempt 2, facts, confirming draw`; only the gate's name where there is no stage."""
    where = [gate.stage, f"attempt {gate.attempt}"] if gate.stage is not None else []
    kind = [DRAW_WORDS.get(gate.purpose, gate.purpose)] if gate.purpose != "gate" else []
    return ", ".join([*where, gate.gate, *kind])


def _gates_alone(run: RunRecord) -> list[GateRecord]:
    """The gates that were run without a pipeline. A baseline, which a pipeline measures, is not one of them."""
    return [gate for gate in run.gates.values() if gate.purpose not in MEASURED and not run.stages]


def _name(run: RunRecord) -> str:
    """The pipeline's name, or the model's name when a gate was run alone."""
    model = run.start.get("model") if _gates_alone(run) else None
    return str(model).rstrip("/").rpartition("/")[2] if model else run.name or "The run"


def _worst(gates: list[GateRecord]) -> Verdict | None:
    """The verdict on several gates: all must be decided, and all must pass."""
    if not all(gate.decided for gate in gates):
        return None
    verdicts = {gate.verdict for gate in gates}
    return next(one for one in (Verdict.FAIL, Verdict.INVALID, Verdict.INCONCLUSIVE, Verdict.PASS) if one in verdicts)


def _said_alone(gates: list[GateRecord], verdict: Verdict) -> str:
    told = [gate.gate for gate in gates if gate.verdict is verdict]
    names = f"gate{'s' if len(told) > 1 else ''} {_listed(told)}"
    match verdict:
        case Verdict.PASS:
            return f"passed {names}"
        case Verdict.FAIL:
            return f"failed {names}"
        case Verdict.INCONCLUSIVE:
            return f"neither passed nor failed {names}"
        case Verdict.INVALID:
            return f"could not be judged by {names}"


def _promotion(run: RunRecord) -> str:
    if run.promotions:
        return f"was promoted to {run.promotions[-1].get('alias', 'the registry')}"
    match run.verdict:
        case Verdict.PASS:
            return "passed every gate and has not been promoted yet"
        case Verdict.INVALID:
            return "was not promoted, because it could not be judged"
        case Verdict.INCONCLUSIVE:
            return "was not promoted, because there was too little evidence for a verdict"
        case _:
            return "was not promoted"


def _reasons(gates: list[GateRecord]) -> str:
    return gates[0].reason if len(gates) == 1 else "; ".join(f"{gate.gate} {gate.reason}" for gate in gates)


def capitalised(sentence: str) -> str:
    """The sentence with a capital first letter; the rest stays as it is."""
    return sentence[:1].upper() + sentence[1:]


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
