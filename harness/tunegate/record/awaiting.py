"""The gates of a run that wait for people's labels, and the command that writes the page for them."""

from __future__ import annotations

import shlex

from tunegate.record.record import GateRecord, RunRecord


def awaiting(run: RunRecord) -> list[GateRecord]:
    """The gates that wait: those of a gate run alone, and of each stage's last attempt."""
    last = [stage.attempts[max(stage.attempts)] for stage in run.stages.values() if stage.attempts]
    gates = [*run.gates.values(), *(gate for attempt in last for gate in attempt.draws)]
    return [gate for gate in gates if gate.awaits_labels]


def awaiting_in_words(run: RunRecord) -> list[str]:
    """`100 answers wait for people: tunegate review FOLDER --missing --out review.html`, for each gate that waits."""
    waiting = awaiting(run)
    several = len(waiting) > 1
    told: list[str] = []
    for gate in waiting:
        place = str(run.folder) if gate.stage is None else f"{run.folder}@{gate.stage}#{gate.attempt}"
        named = f" --gate {shlex.quote(gate.key)}" if several else ""
        answers = "1 answer waits" if gate.awaits_labels == 1 else f"{gate.awaits_labels} answers wait"
        command = f"tunegate review {shlex.quote(place)} --missing{named} --out review.html"
        told.append(f"{answers} for people: {command}; then run the same command again")
    return told
