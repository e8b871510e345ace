"""What GitHub shows of a gate: one annotation, and a summary and a comment that stay within GitHub's limits."""

from __future__ import annotations

import re
from collections.abc import Iterable

from tunegate.checks.outcome import Verdict
from tunegate.record.record import RunRecord
from tunegate.text.printable import printable
from tunegate_reports.answer import answer

COMMENT_BYTES = 64_000
"""GitHub refuses a comment of more than 65,536 characters."""
SUMMARY_BYTES = 1_000_000
"""GitHub drops the summary of a step that has more than 1 MiB."""
SHORTENED = "\n… shortened; the report in the artifact has the rest.\n"


def gate_annotation(run: RunRecord, title: str, file: str) -> str:
    """The workflow command that shows a gate's verdict beside its file."""
    said = answer(run)
    return annotation("notice" if said.verdict is Verdict.PASS else "error", title, said.sentence, file)


def annotation(level: str, title: str, message: str, file: str = "") -> str:
    """A workflow command. What the texts contain cannot begin another command.

    >>> annotation("error", "gate facts", "89 of 100, 90 needed", "suites/facts.yaml")
    '::error file=suites/facts.yaml,title=gate facts::89 of 100, 90 needed'
    """
    given = {"file": file, "title": title}
    properties = ",".join(f"{name}={_property(value)}" for name, value in given.items() if value)
    return f"::{level} {properties}::{_data(message)}"


def step_summary(parts: Iterable[str]) -> str:
    """The Markdown summaries of several gates as the summary of a step."""
    return within("\n".join(parts), SUMMARY_BYTES)


def comment(parts: Iterable[str], gates: Iterable[str]) -> str:
    """The same as a comment. Its first line marks it, so that the next run of these gates replaces it."""
    return within("\n".join([mark(gates), *parts]), COMMENT_BYTES)


def mark(gates: Iterable[str]) -> str:
    """The first line of the comment on these gates.

    >>> mark(["facts", "a-->b"])
    '<!-- tunegate gate facts a_b -->'
    """
    return f"<!-- tunegate gate {' '.join(re.sub(r'[^A-Za-z0-9.]+', '_', gate) for gate in gates)} -->"


def within(text: str, limit: int) -> str:
    """The text, or its first whole lines and a note if it has more than `limit` bytes."""
    if len(text.encode()) <= limit:
        return text
    room = limit - len(SHORTENED.encode())
    lines, _, rest = text.encode()[:room].rpartition(b"\n")
    return (lines or rest).decode(errors="ignore") + SHORTENED


def _data(text: str) -> str:
    return printable(" ".join(text.split())).replace("%", "%25")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
