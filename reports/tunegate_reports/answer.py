"""What a run came to, in words: the one sentence that every kind of report opens with."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tunegate.checks.outcome import Verdict
from tunegate.record.lucky_gate import lucky_pass_alone
from tunegate.record.record import GateRecord, RunRecord, StageRecord
from tunegate.record.under_way import under_way
from tunegate.verdicts.terms import PAIRED

STATE_WORDS = {
    "PASS": "passed",
    "FAIL": "failed",
    "INVALID": "not judged",
    "INCONCLUSIVE": "inconclusive",
    "OPEN": "under way",
    "MEASURED": "measured",
}
"""What a draw, an attempt or a stage stands at, in words: see `state_of`."""
DRAW_WORDS = {
    "gate": "gate",
    "confirm": "confirming draw",
    "retention": "retention",
    "worth": "worth",
    "baseline": "baseline",
}
"""What a draw is for, in a word or two."""
CASE_WORDS = {Verdict.PASS: "passed", Verdict.FAIL: "missed", Verdict.INVALID: "not judged"}


@dataclass(frozen=True, slots=True)
class Answer:
    """`{what}: {why}.` is the sentence; `verdict` is None while the run is under way."""

    verdict: Verdict | None
    what: str
    why: str

    @property
    def sentence(self) -> str:
        return f"{self.what}: {self.why.rstrip('.')}." if self.why else f"{self.what}."


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
    """The verdict; OPEN before there is one, and MEASURED where a PASS says only that every case was judged."""
    return "MEASURED" if measured and verdict is Verdict.PASS else verdict or "OPEN"


def gate_state(gate: GateRecord) -> str:
    """The state of a draw: a baseline has nothing to pass."""
    return state_of(gate.verdict if gate.decided else None, measured=gate.measured)


def gate_words(gate: GateRecord) -> str:
    """The state of a draw in words."""
    return STATE_WORDS[gate_state(gate)]


def count_words(gate: GateRecord) -> str:
    """`89 of 100, 90 needed`; `11 of 43 missed, 57 spared` where the verdict stood early; `76 of 100` where no count
    decides."""
    if gate.purpose in (*PAIRED, "baseline"):
        return passed_words(gate)
    if gate.spared:
        unjudged = f", {gate.invalid} not judged" if gate.invalid else ""
        return f"{_missed_words(gate)}{unjudged}, {gate.spared} spared"
    return f"{passed_words(gate)}, {gate.accept} needed"


def beyond_count(gate: GateRecord) -> str:
    """The reason of a verdict, less the count that stands beside it already."""
    if not gate.decided:
        return ""
    for said in (count_words(gate), f"measured: {passed_words(gate)}", _missed_words(gate)):
        if gate.reason.startswith(said):
            return gate.reason.removeprefix(said).lstrip(",; ")
    return gate.reason


def waiver_words(waiver: Mapping[str, Any]) -> str:
    """`ada@example.org answers for it until 2026-12-31: the bank mislabels carriers`"""
    return f"{waiver['owner']} answers for it until {waiver['expires']}: {waiver['reason'].rstrip('.')}"


def luck_of(stage: StageRecord) -> dict[str, list[str]]:
    """Sentence to the gates that it is said of, the likeliest lucky pass first; a waived gate was not passed at all."""
    waived = stage.attempts[max(stage.attempts)].waived if stage.attempts else {}
    gates: dict[str, list[str]] = {}
    for gate, sentence in stage.luck.items():
        if gate not in waived:
            gates.setdefault(sentence, []).append(gate)
    return dict(sorted(gates.items(), key=lambda item: _chances(item[0]), reverse=True))


def luck_alone(gates: Sequence[GateRecord]) -> list[tuple[str, str]]:
    """(gate, sentence) of gates that were run alone, and passed."""
    confirming = {gate.gate: gate for gate in gates if gate.purpose == "confirm"}
    told = [(gate.gate, lucky_pass_alone(gate, confirming.get(gate.gate))) for gate in gates if gate.purpose == "gate"]
    return [(name, luck.in_words) for name, luck in told if luck is not None]


def _chances(sentence: str) -> list[float]:
    """`… with probability 0.108, within all 3 allowed with 0.117` as [0.117, 0.108]."""
    return [float(number) for number in re.findall(r"\bwith (?:probability )?(\d\.\d+)", sentence)][::-1]


def _missed_words(gate: GateRecord) -> str:
    return f"{gate.failed} of {asked(gate)} missed"


def passed_words(gate: GateRecord) -> str:
    """`89 of 100`, of the cases that were asked."""
    return f"{gate.passed} of {asked(gate)}"


def asked(gate: GateRecord) -> int:
    """How many cases a gate asks: those it registered, less those that its verdict did not wait for."""
    return gate.drawn - gate.spared


def gate_label(gate: GateRecord) -> str:
    """`sft, attempt 2, facts, confirming draw`; the gate's name alone where there is no stage."""
    where = [gate.stage, f"attempt {gate.attempt}"] if gate.stage is not None else []
    kind = [DRAW_WORDS.get(gate.purpose, gate.purpose)] if gate.purpose != "gate" else []
    return ", ".join([*where, gate.gate, *kind])


def _gates_alone(run: RunRecord) -> list[GateRecord]:
    """The gates of a gate run alone; what a pipeline measures of its base model is none."""
    return [gate for gate in run.gates.values() if gate.purpose != "baseline" and not run.stages]


def _name(run: RunRecord) -> str:
    """The pipeline's name; a gate run alone is named after its model."""
    model = run.start.get("model") if _gates_alone(run) else None
    return str(model).rstrip("/").rpartition("/")[2] if model else run.name or "The run"


def _worst(gates: list[GateRecord]) -> Verdict | None:
    """The verdict on several gates: all must pass, and all must be decided."""
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
            return "passed every gate and is not promoted yet"
        case Verdict.INVALID:
            return "was not promoted, because it could not be judged"
        case Verdict.INCONCLUSIVE:
            return "was not promoted, because the evidence ran out"
        case _:
            return "was not promoted"


def _reasons(gates: list[GateRecord]) -> str:
    return gates[0].reason if len(gates) == 1 else "; ".join(f"{gate.gate} {gate.reason}" for gate in gates)


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
