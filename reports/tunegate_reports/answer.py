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
    if run.verdict is None:
        return Answer(None, f"{run.name or 'The run'} is not finished", _so_far(run))
    if run.gates and not run.stages:
        return Answer(run.verdict, _gates_alone(run), run.reason or _counts(list(run.gates.values())))
    return Answer(run.verdict, _promotion(run), run.reason)


def gate_words(gate: GateRecord) -> str:
    """Verdict of a gate in words; a gate without a decision is under way."""
    return GATE_WORDS[gate.verdict if gate.decided else None]


def count_words(gate: GateRecord) -> str:
    """`89 of 100, 90 needed`."""
    return f"{gate.passed} of {gate.drawn}, {gate.accept} needed"


def gates_of(run: RunRecord) -> list[GateRecord]:
    """Every gate of a run, in the order in which they were decided on."""
    attempts = [attempt for stage in run.stages.values() for attempt in stage.attempts.values()]
    return [gate for attempt in attempts for gate in attempt.gates.values()] + list(run.gates.values())


def gate_label(gate: GateRecord) -> str:
    """`sft, attempt 2, facts`; the gate's name alone where there is no stage."""
    return gate.gate if gate.stage is None else f"{gate.stage}, attempt {gate.attempt}, {gate.gate}"


def _gates_alone(run: RunRecord) -> str:
    name, gates = run.name or "The model", list(run.gates.values())
    which = f"gate {gates[0].gate}" if len(gates) == 1 else f"all {len(gates)} gates"
    missed = [gate.gate for gate in gates if gate.verdict is Verdict.FAIL]
    match run.verdict:
        case Verdict.PASS:
            return f"{name} passed {which}"
        case Verdict.FAIL if missed:
            return f"{name} failed gate{'s' if len(missed) > 1 else ''} {_listed(missed)}"
        case Verdict.FAIL:
            return f"{name} failed"
        case Verdict.INCONCLUSIVE:
            return f"{name} was neither passed nor failed"
        case _:
            return f"{name} could not be judged"


def _promotion(run: RunRecord) -> str:
    name = run.name or "The model"
    if run.promotions:
        place = run.promotions[-1].get("to") or run.promotions[-1].get("alias")
        return f"{name} was promoted" + (f" to {place}" if place else "")
    match run.verdict:
        case Verdict.PASS:
            return f"{name} passed every gate and is not promoted yet"
        case Verdict.INVALID:
            return f"{name} was not promoted, because it could not be judged"
        case Verdict.INCONCLUSIVE:
            return f"{name} was not promoted, because the evidence ran out"
        case _:
            return f"{name} was not promoted"


def _so_far(run: RunRecord) -> str:
    gates = gates_of(run)
    if not gates:
        return "no gate has been decided so far"
    last = gates[-1]
    return f"{gate_label(last)} is {gate_words(last)}" + (f" with {count_words(last)}" if last.decided else "")


def _counts(gates: list[GateRecord]) -> str:
    return "; ".join(f"{gate.gate}: {count_words(gate)}" for gate in gates)


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
