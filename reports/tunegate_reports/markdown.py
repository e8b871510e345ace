"""A Markdown summary for CI servers to show beside a build: the answer, one row per gate, the cases that missed.

Names and reasons are escaped as character entities, which Markdown never reads as markup. What a model wrote goes into
code spans, where nothing is markup, and only in list items: in a table, a code span can break out of its cell.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tunegate.checks.outcome import Outcome, Verdict
from tunegate.record.ledger_words import told_of
from tunegate.record.record import GateRecord, RunRecord
from tunegate.record.registered_risk import registered_risk
from tunegate.record.tested import areas_tested
from tunegate.record.tested_words import AREA_WORDS, TITLE, evidence_words, summary_words
from tunegate.text.printable import without_commands
from tunegate.verdicts.pipeline_words import cost_words, promotion_words
from tunegate.verdicts.terms import MEASURED, PAIRED
from tunegate.verdicts.words import SELECTED, chance_words
from tunegate_reports.answer import (
    CASE_WORDS,
    DRAW_WORDS,
    capitalised,
    fault_word,
    gate_words,
    ledger_of,
    luck_alone,
    luck_of,
    passed_words,
    waiver_words,
)
from tunegate_reports.data_section import data_cards, data_line
from tunegate_reports.files import write_atomically
from tunegate_reports.gate_view import GateView, Kept
from tunegate_reports.leaks import dropped_words
from tunegate_reports.view import StageView, View, view

MAX_MISSED = 20
MAX_TEXT = 160
NOTE = "¹"
"""The mark of an interval that is too optimistic."""
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
    lines += [f"- {fault_word(run)}: {_text(fault)}" for fault in run.faults]
    lines += [
        f"- Waived: {_text(waiver['stage'])}, attempt {waiver['attempt']}, {_text(waiver['gate'])} missed. "
        f"{_text(waiver_words(waiver), None)}."
        for waiver in run.waivers()
    ]
    lines += [
        f"- {_text(gate.label)}: {_text(again)}."
        for gate in shown.gates
        if (again := gate.record.asked_or_judged_again)
    ]
    lines += [
        f"- {_text(gate.label)}: continued: {_text(look, None)}."
        for gate in shown.gates
        for look in gate.record.looks_in_words
    ]
    lines += [f"- {_text(dropped_words(stage), None)}." for stage in run.dropped]
    lines += [f"- {_text(data_line(run, stage, card), None)}." for stage, card in data_cards(run).items()]
    lines += [f"- Luck: {_luck(stage)}" for stage in shown.stages if luck_of(stage.record)]
    lines += [f"- Luck: {_text(gate)}: {told}." for gate, told in luck_alone(run)]
    lines += [
        f"- Ledger: {_text(stage.record.name)}, {_text(', '.join(gates))}: {_text(words, None)}."
        for stage in shown.stages
        for words, gates in ledger_of(stage.record).items()
    ]
    alone = told_of(gate.record for gate in shown.alone)
    lines += [f"- Ledger: {_text(', '.join(gates))}: {_text(words, None)}." for words, gates in alone.items()]
    if (risk := registered_risk(run)) is not None and risk.decides:
        lines.append(f"- Pipeline: {_text(promotion_words(risk), None)}. {_text(capitalised(cost_words(risk)), None)}.")
    lines += _tested(run)
    lines += ["", *_table(shown.gates)] if shown.gates else []
    for stage in shown.stages:
        lines += ["", *_diagnoses(stage)] if any(attempt.record.diagnosis for attempt in stage.attempts) else []
    lines += _misses(shown)
    return "\n".join(lines) + "\n"


def _tested(run: RunRecord) -> Iterator[str]:
    """What was tested of the model's behaviour towards people, and what was not; nothing before its gates decided."""
    found = areas_tested(run)
    if found.draws:
        yield f"- {TITLE}: {_text(summary_words(found), None)}."
        yield from (f"  - {AREA_WORDS[one.area]}: {_text(evidence_words(one), None)}." for one in found.evidence)


def _table(gates: tuple[GateView, ...]) -> Iterator[str]:
    yield "| stage | attempt | gate | passed | needed | verdict | 95 % interval |"
    yield "|---|---:|---|---:|---:|---|---|"
    for gate in gates:
        yield f"| {' | '.join(_cells(gate))} |"
    if any(NOTE in _interval(gate) for gate in gates):
        yield from ("", f"{NOTE} {capitalised(SELECTED)}.")


def _cells(view: GateView) -> list[str]:
    gate = view.record
    sign = "" if gate.measured else f"{SIGNS[gate.verdict if gate.decided else None]} "
    kind = "" if gate.purpose == "gate" else f", {DRAW_WORDS.get(gate.purpose, gate.purpose)}"
    return [
        _text(gate.stage or "–"),
        str(gate.attempt or "–"),
        _text(gate.gate + kind),
        passed_words(gate) + (f" ({gate.spared} not asked)" if gate.spared else ""),
        _needed(gate),
        f"{sign}{gate_words(gate)}{', waived' if view.waiver else ''}",
        _interval(view),
    ]


def _interval(view: GateView) -> str:
    """A dash if nothing is decided; a confirmed draw points to its confirming draw; `NOTE` if it is too optimistic."""
    gate = view.record
    if not gate.decided:
        return "–"
    low, high = gate.interval
    return "see the confirming draw" if view.confirmed else f"{low:.1%} to {high:.1%}{NOTE if gate.selected else ''}"


def _needed(gate: GateRecord) -> str:
    """The number of passes needed, or what a retention draw may lose, or a dash if nothing is decided."""
    if gate.purpose in PAIRED:
        return f"at most {gate.terms.get('max_drop') or 0:g} points lost"
    return "–" if gate.purpose in MEASURED else str(gate.accept)


def _luck(stage: StageView) -> str:
    sentence, gates = next(iter(luck_of(stage.record).items()))
    return f"{_text(stage.record.name)}, {_text(', '.join(gates))}: {_text(sentence, None)}."


def _diagnoses(stage: StageView) -> Iterator[str]:
    for attempt in stage.attempts:
        if (diagnosis := attempt.record.diagnosis) is not None:
            where = f"{_text(stage.record.name)}, attempt {attempt.number}"
            told = "; ".join(() if diagnosis.noise is None else diagnosis.noise.in_words)
            noise = f" {_text(capitalised(told), None)}." if told else ""
            yield f"- **{where}:** {_text(diagnosis.cause)}.{noise} Next: {_text(diagnosis.action, None)}."


def _misses(shown: View) -> Iterator[str]:
    for gate in shown.deciding_gates:
        missed = [shown.cases[number].outcome for number in gate.cases]
        missed = [outcome for outcome in missed if outcome.verdict is not Verdict.PASS]
        if gate.kept:
            yield from ("", f"**{_text(gate.label)}:** {_text(_kept(gate.kept), None)}.")
            continue
        if missed:
            where = f" {_text(capitalised(gate.where), None)}." if gate.where else ""
            shared = f" {_text(gate.record.in_common.sentence, None)}." if gate.record.in_common else ""
            yield from ("", f"**{_text(gate.label)}:** cases that did not pass.{shared}{where}", "")
            yield from map(_miss, missed[:MAX_MISSED])
        if len(missed) > MAX_MISSED:
            yield f"- and {len(missed) - MAX_MISSED} more"


def _kept(kept: Kept) -> str:
    """The comparison with an earlier model, without the cases that neither of them passed."""
    comparison = kept.comparison
    chance = f"; {chance_words(comparison.counts.mid_p)}" if comparison.counts else ""
    return f"compared with {kept.before}, {comparison.reason}{chance}" + (
        f". Possible leak: {comparison.suspicious}" if comparison.suspicious else ""
    )


def _miss(outcome: Outcome) -> str:
    verdict = CASE_WORDS[outcome.verdict]
    judged = "" if outcome.judged is None else f"; the judged part is {code(outcome.judged)}"
    answered = f"; it answered {code(outcome.response)}" if outcome.response else ""
    return f"- {code(outcome.case_id)} {verdict}: {_text(outcome.reason)}{answered}{judged}"


def _text(text: str, limit: int | None = MAX_TEXT) -> str:
    """Text that Markdown and HTML show as it is, on one line."""
    return ACTIVE.sub(lambda match: f"&#{ord(match[0])};", _one_line(text, limit))


def as_text(text: str) -> str:
    """A whole text that Markdown and HTML show as it is, on one line."""
    return _text(text, None)


def code(text: str, limit: int = MAX_TEXT) -> str:
    """Text as a code span; its fence is longer than any run of backticks in the text."""
    line = without_commands(_one_line(text, limit)) or " "
    fence = "`" * (max((len(run) for run in re.findall("`+", line)), default=0) + 1)
    return f"{fence} {line} {fence}"


def _one_line(text: str, limit: int | None) -> str:
    line = " ".join(UNPRINTABLE.sub(" ", text).split())
    return line if limit is None or len(line) <= limit else f"{line[:limit]}…"
