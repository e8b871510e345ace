"""Which of several servers answered how many questions, in words, for terminal and reports."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tunegate.record.record import GateRecord


def servers_in_words(gate: GateRecord) -> str:
    """`http://a/v1#m (vLLM 0.11.0) answered 95, http://b/v1#m (vLLM 0.11.0) answered 5, then gave no reply`."""
    return ", ".join(
        f"{one['server']}{_told(one)} answered {gate.answered_by[one['server']]}{_LOST.get(one.get('lost', ''), '')}"
        for one in gate.servers
    )


_LOST = {"no reply": ", then gave no reply", "other model": ", then came back as another model and was not asked"}


def _told(server: Mapping[str, Any]) -> str:
    words = ", ".join(_words(server))
    return f" ({words})" if words else ""


def _words(server: Mapping[str, Any]) -> Iterator[str]:
    """What matters when answers are compared: the program and its version, and whether batches change its answers."""
    if server.get("absent"):
        yield "no reply at first"
    if software := server.get("software"):
        yield str(software)
    if (invariant := server.get("batch_invariant")) is not None:
        yield "batch-invariant" if invariant else "not batch-invariant"
