"""Sentences on answers and scores that come from another tool, for every place that shows a gate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tunegate.checks.check import is_imported

TOLD = "told."
"""Keys that begin with this hold what the file says, which nothing here can check."""


def imported_in_words(start: Mapping[str, Any], checks: Sequence[str]) -> list[str]:
    """Where the answers of a gate come from, and which of its checks take over a score; empty for a model's answers.

    `start` is the first event of the record, `checks` are the gate's checks by name.
    """
    facts: Mapping[str, str] = start.get("imported") or {}
    lines = [f"answers imported from {facts['file']}, a file of {told_in_words(facts)}"] if facts else []
    if facts.get("suite"):
        lines.append(f"the suite was {facts['suite']}: {facts['file']}")
    names = ", ".join(f"`{name}`" for name in checks if is_imported(name))
    if names:
        tool = facts.get("tool", "another tool")
        lines.append(f"the scores of {names} are those of {tool}, not judged again here")
    return lines


def told_in_words(facts: Mapping[str, str]) -> str:
    """`lm-evaluation-harness; according to the file: task facts, model tiny`."""
    told = ", ".join(
        f"{name.removeprefix(TOLD)} {text}" for name, text in facts.items() if name.startswith(TOLD) and text
    )
    return facts["tool"] + (f"; according to the file: {told}" if told else "")
