"""Which questions a run had asked before a paired draw, and which of them no comparison may ask again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tunegate.record.record import GateRecord, RunRecord
from tunegate.verdicts.terms import PAIRED, REFERENCES


@dataclass(frozen=True, slots=True)
class AskedBefore:
    """Questions by identity. `chose`: a stage before passed a gate by the answers to them. `answered`: the attempt is a
    redraw, and its weights were asked them already: they would give the same answers."""

    asked: frozenset[str]
    chose: frozenset[str]
    answered: frozenset[str] = frozenset()


def asked_before(run: RunRecord, stage: str, attempt: int) -> AskedBefore:
    """What the draws of a run asked before this attempt, of any suite.

    The attempt's own gates do not count: it must pass them and its comparisons, so a model that passes the one by luck
    still gets through both no more often than through the other alone.
    """
    asked, chose = set[str](), set[str]()
    for gate, is_last in _draws_before(run, stage, attempt):
        asked |= gate.asked_questions
        chose |= gate.asked_questions if is_last else set()
    attempts = run.stages[stage].attempts
    redrawn = attempts[attempt].redraw_of if attempt in attempts else None
    answered = frozenset[str]() if redrawn is None else attempts[redrawn].asked_questions
    return AskedBefore(frozenset(asked), frozenset(chose), answered)


def _draws_before(run: RunRecord, stage: str, attempt: int) -> Iterator[tuple[GateRecord, bool]]:
    """The draws, and whether a model went on because its own answers passed: the gates of the attempt with which a
    stage ended. A baseline is only measured; a comparison is only between models."""
    yield from ((gate, False) for gate in run.gates.values())
    for of, other in run.attempts_until(stage, attempt):
        ended = of.name != stage and of.role != "baseline" and other.number == max(of.attempts)
        for gate in other.draws:
            yield gate, ended and gate.purpose not in (*PAIRED, *REFERENCES)
