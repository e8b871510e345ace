"""What a run came to, in words: the one sentence that every kind of report opens with."""

from __future__ import annotations

from dataclasses import dataclass

from tunegate.outcomes import Verdict
from tunegate.record import GateRecord, RunRecord

GATE_WORDS = {
    Verdict.PASS: "passed",
    Verdict.FAIL: "failed",
    Verdict.INVALID: "not judged",
    Verdict.INCONCLUSIVE: "inconclusive",
    None: "under way",
}
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
    alone = bool(run.gates) and not run.stages
    verdict = _worst(list(run.gates.values())) if alone and run.verdict is None else run.verdict
    if verdict is None:
        return Answer(None, f"{_name(run)} is not finished", _so_far(run))
    if alone:
        return Answer(verdict, f"{_name(run)} {_gates_alone(run, verdict)}", _reasons(list(run.gates.values())))
    return Answer(verdict, f"{_name(run)} {_promotion(run)}", run.reason)


def gate_words(gate: GateRecord) -> str:
    """Verdict of a gate in words; a gate without a decision is under way."""
    return GATE_WORDS[gate.verdict if gate.decided else None]


def count_words(gate: GateRecord) -> str:
    """`89 of 100, 90 needed`; `27 of 38 (62 of 100 not asked), 90 needed` where the verdict stood early."""
    spared = f" ({gate.spared} of {gate.drawn} not asked)" if gate.spared else ""
    return f"{passed_words(gate)}{spared}, {gate.accept} needed"


def passed_words(gate: GateRecord) -> str:
    """`89 of 100`, of the cases that were asked."""
    return f"{gate.passed} of {asked(gate)}"


def asked(gate: GateRecord) -> int:
    """How many cases a gate asks: those it registered, less those that its verdict did not wait for."""
    return gate.drawn - gate.spared


def gate_label(gate: GateRecord) -> str:
    """`sft, attempt 2, facts`; the gate's name alone where there is no stage."""
    return gate.gate if gate.stage is None else f"{gate.stage}, attempt {gate.attempt}, {gate.gate}"


def _name(run: RunRecord) -> str:
    """The pipeline's name; a gate run alone is named after its model."""
    model = run.start.get("model") if run.gates and not run.stages else None
    return str(model).rstrip("/").rpartition("/")[2] if model else run.name or "The run"


def _worst(gates: list[GateRecord]) -> Verdict | None:
    """The verdict on several gates: all must pass, and all must be decided."""
    if not all(gate.decided for gate in gates):
        return None
    verdicts = {gate.verdict for gate in gates}
    return next(one for one in (Verdict.FAIL, Verdict.INVALID, Verdict.INCONCLUSIVE, Verdict.PASS) if one in verdicts)


def _gates_alone(run: RunRecord, verdict: Verdict) -> str:
    gates = list(run.gates.values())
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


def _so_far(run: RunRecord) -> str:
    gates = run.all_gates()
    if not gates:
        return "no gate has been decided so far"
    last = gates[-1]
    return f"{gate_label(last)} is {gate_words(last)}" + (f" with {count_words(last)}" if last.decided else "")


def _reasons(gates: list[GateRecord]) -> str:
    return gates[0].reason if len(gates) == 1 else "; ".join(f"{gate.gate} {gate.reason}" for gate in gates)


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
