"""Which cases a run had asked before a paired draw, and which of them chose one of the two models."""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import dataclass

from tunegate.record.record import GateRecord, RunRecord
from tunegate.verdicts.terms import PAIRED, REFERENCES


@dataclass(frozen=True, slots=True)
class AskedBefore:
    """Working cases by id. `chose`: a stage before, or this attempt, passed a gate by the answers to them."""

    asked: frozenset[str]
    chose: frozenset[str]


def asked_before(run: RunRecord, gates: Set[str], stage: str, attempt: int) -> AskedBefore:
    """What the draws of these gates asked before the paired draws of this attempt, which share their cases."""
    asked, chose = set[str](), set[str]()
    for gate, is_last in _draws_before(run, stage, attempt):
        if gate.gate in gates and gate.part == "working":
            asked |= gate.seen
            chose |= gate.seen if is_last else set()
    return AskedBefore(frozenset(asked), frozenset(chose))


def _draws_before(run: RunRecord, stage: str, attempt: int) -> Iterator[tuple[GateRecord, bool]]:
    """The draws, and whether a model went on because its own answers passed: the gates of the attempt with which a
    stage ended. A baseline is only measured; a comparison is only between models."""
    yield from ((gate, False) for gate in run.gates.values())
    for name, one in run.stages.items():
        last = attempt if name == stage else max(one.attempts, default=0)
        for number, other in one.attempts.items():
            if number > last:
                continue
            ours = (name, number) == (stage, attempt)
            for gate in (*other.gates.values(), *other.references.values()):
                paired = gate.purpose in (*PAIRED, *REFERENCES)
                if not (ours and paired):
                    yield gate, number == last and not paired and one.role != "baseline"
        if name == stage:
            return
