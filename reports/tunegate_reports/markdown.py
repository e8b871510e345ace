"""A Markdown summary, as CI servers show it beside a build: the answer, one row per gate, the cases that missed.

Names and reasons are escaped to character entities, which Markdown never reads as markup; what a model wrote stands
in code spans, where nothing is markup, in list items only, since a code span in a table can break out of its cell.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tunegate.outcomes import Outcome, Verdict
from tunegate.printable import without_commands
from tunegate.record import GateRecord, RunRecord
from tunegate_reports.answer import CASE_WORDS, gate_words, passed_words
from tunegate_reports.files import write_atomically
from tunegate_reports.view import GateView, StageView, View, view

MAX_MISSED = 20
MAX_TEXT = 160
SIGNS = {Verdict.PASS: "✅", Verdict.FAIL: "❌", Verdict.INVALID: "⚠️", Verdict.INCONCLUSIVE: "⚠️", None: "⏳"}
ACTIVE = re.compile(r"[\\`*_{}\[\]<>#|~&@$=]|:(?=/)|(?<=www)\.", re.IGNORECASE)
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def write_markdown(run: RunRecord, path: Path) -> None:
    """Write `markdown_summary(run)` to `path`; raises CannotJudge when the disk is full."""
    write_atomically(path, markdown_summary(run))


def markdown_summary(run: RunRecord) -> str:
    """The summary as GitHub-flavoured Markdown."""
    shown = view(run)
    lines = [f"**{SIGNS[shown.answer.verdict]} {_text(shown.answer.sentence, None)}**", ""]
    lines += [f"- Fault: {_text(fault)}" for fault in run.faults]
    lines += ["", *_table(shown.gates)] if shown.gates else []
    for stage in shown.stages:
        lines += ["", *_diagnoses(stage)] if any(attempt.record.diagnosis for attempt in stage.attempts) else []
    lines += _misses(shown)
    return "\n".join(lines) + "\n"


def _table(gates: tuple[GateView, ...]) -> Iterator[str]:
    yield "| stage | attempt | gate | passed | needed | verdict | 95 % interval |"
    yield "|---|---:|---|---:|---:|---|---|"
    for gate in gates:
        yield f"| {' | '.join(_cells(gate.record))} |"


def _cells(gate: GateRecord) -> list[str]:
    verdict = gate.verdict if gate.decided else None
    low, high = gate.interval
    return [
        _text(gate.stage or "–"),
        str(gate.attempt or "–"),
        _text(gate.gate),
        passed_words(gate) + (f" ({gate.spared} not asked)" if gate.spared else ""),
        str(gate.accept),
        f"{SIGNS[verdict]} {gate_words(gate)}",
        f"{low:.1%} to {high:.1%}" if gate.decided else "–",
    ]


def _diagnoses(stage: StageView) -> Iterator[str]:
    for attempt in stage.attempts:
        if (diagnosis := attempt.record.diagnosis) is not None:
            where = f"{_text(stage.record.name)}, attempt {attempt.number}"
            yield f"- **{where}:** {_text(diagnosis.cause)}. Next: {_text(diagnosis.action)}."


def _misses(shown: View) -> Iterator[str]:
    for gate in shown.deciding_gates:
        missed = [shown.cases[number].outcome for number in gate.cases]
        missed = [outcome for outcome in missed if outcome.verdict is not Verdict.PASS]
        if missed:
            yield from ("", f"**{_text(gate.label)}:** cases that did not pass", "")
            yield from map(_miss, missed[:MAX_MISSED])
        if len(missed) > MAX_MISSED:
            yield f"- and {len(missed) - MAX_MISSED} more"


def _miss(outcome: Outcome) -> str:
    verdict = CASE_WORDS[outcome.verdict]
    return f"- {code(outcome.case_id)} {verdict}: {_text(outcome.reason)}; it answered {code(outcome.response)}"


def _text(text: str, limit: int | None = MAX_TEXT) -> str:
    """Text that Markdown and HTML show as it is, on one line."""
    return ACTIVE.sub(lambda match: f"&#{ord(match[0])};", _one_line(text, limit))


def code(text: str, limit: int = MAX_TEXT) -> str:
    """Text as a code span; its fence is longer than any run of backticks inside."""
    line = without_commands(_one_line(text, limit)) or " "
    fence = "`" * (max((len(run) for run in re.findall("`+", line)), default=0) + 1)
    return f"{fence} {line} {fence}"


def _one_line(text: str, limit: int | None) -> str:
    line = " ".join(UNPRINTABLE.sub(" ", text).split())
    return line if limit is None or len(line) <= limit else f"{line[:limit]}…"
