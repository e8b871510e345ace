"""JUnit XML for CI servers: one entry per case, and one entry per gate that carries the count.

CI servers turn red for any failed entry, but a gate allows misses. So a missed case is a `<failure>` only if its gate
did not pass. In a gate that passed, it is an ordinary entry, and `<system-out>` says what was missed. A case without a
verdict is an `<error>`. Nothing is `<skipped>`. Only the last gated attempt of each stage is written: retraining
replaced the earlier ones, and CI compares entries by name from build to build.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree as ET

from tunegate.checks.outcome import Outcome, Verdict
from tunegate.progress import duration
from tunegate.record.record import RunRecord
from tunegate_reports.answer import Answer, beyond_count, count_words, gate_words, luck_of, waiver_words
from tunegate_reports.files import write_atomically
from tunegate_reports.gate_view import CaseView, GateView
from tunegate_reports.leaks import dropped_words
from tunegate_reports.view import view

NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
MAX_TEXT = 4000


def write_junit(run: RunRecord, path: Path) -> None:
    """Write `path`; raises CannotJudge when the disk is full."""
    root = ET.Element("testsuites", name=clean(run.name or "tunegate"))
    shown = view(run)
    suites = [_gate_suite(gate, shown.cases) for gate in shown.deciding_gates]
    if run.stages or not suites:
        suites.append(_run_suite(shown.answer, run))
    root.extend(suites)
    for count in ("tests", "failures", "errors", "skipped"):
        root.set(count, str(sum(int(suite.get(count, "0")) for suite in suites)))
    root.set("time", f"{sum(float(suite.get('time', '0')) for suite in suites):.3f}")
    ET.indent(root)
    write_atomically(path, '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n")


def clean(text: str) -> str:
    """Text with U+FFFD in place of every character that XML does not allow."""
    return NOT_XML.sub("\ufffd", text)


def _gate_suite(gate: GateView, cases: tuple[CaseView, ...]) -> ET.Element:
    record = gate.record
    classname = ".".join(["tunegate", *([record.stage] if record.stage else []), record.key])
    name = record.key if record.stage is None else f"{record.stage}: {record.key}"
    outcomes = [cases[number].outcome for number in sorted(gate.cases)]
    entries = [*(_case_entry(outcome, gate, classname) for outcome in outcomes), _gate_entry(gate, classname)]
    return _suite(name, entries, seconds=record.seconds)


def _suite(name: str, entries: Iterable[ET.Element], seconds: float = 0.0) -> ET.Element:
    suite = ET.Element("testsuite", name=clean(name))
    suite.extend(entries)
    counts = {"tests": len(suite), "failures": len(suite.findall("testcase/failure"))}
    for key, count in {**counts, "errors": len(suite.findall("testcase/error")), "skipped": 0}.items():
        suite.set(key, str(count))
    suite.set("time", f"{seconds:.3f}")
    return suite


def _is_green(gate: GateView) -> bool:
    """Whether CI should let the gate pass: it passed, or a waiver covers its miss."""
    return gate.record.decided and (gate.record.verdict is Verdict.PASS or gate.waiver is not None)


def _case_entry(outcome: Outcome, gate: GateView, classname: str) -> ET.Element:
    entry = ET.Element("testcase", classname=clean(classname), name=clean(outcome.case_id), time="0")
    if outcome.verdict is Verdict.PASS:
        return entry
    if outcome.verdict is Verdict.INVALID:
        _part(entry, "error", outcome.reason, _evidence(outcome))
    elif _is_green(gate):
        allows = "its gate's miss is waived" if gate.waiver else f"gate {gate.record.gate} allows it"
        text = f"missed; {allows} ({count_words(gate.record)}): {outcome.reason}\n{_evidence(outcome)}"
        ET.SubElement(entry, "system-out").text = clean(text)
    else:
        _part(entry, "failure", outcome.reason, _evidence(outcome))
    return entry


def _gate_entry(gate: GateView, classname: str) -> ET.Element:
    # The count is not part of the name: CI servers compare an entry from build to build by its name.
    record, more = gate.record, beyond_count(gate.record)
    entry = ET.Element("testcase", classname=clean(classname), name=clean(f"gate {record.key}"))
    entry.set("time", f"{record.seconds:.3f}")
    told = count_words(record) + (f": {more}" if more else "")
    lines = [f"gate {record.key} {gate_words(record)} in {duration(record.seconds)}: {told}"]
    lines += [f"waived: {waiver_words(gate.waiver)}"] if gate.waiver else []
    lines += [record.in_common.sentence] if record.in_common else []
    lines += [gate.where] if gate.where else []
    summary = "\n".join(lines)
    if _is_green(gate):
        ET.SubElement(entry, "system-out").text = clean(summary)
    else:
        kind = "failure" if record.decided and record.verdict is Verdict.FAIL else "error"
        _part(entry, kind, told, summary)
    return entry


def _run_suite(said: Answer, run: RunRecord) -> ET.Element:
    entry = ET.Element("testcase", classname="tunegate", name="run", time="0")
    luck = (
        f"{stage.name} {', '.join(gates)}: {told}"
        for stage in run.stages.values()
        for told, gates in luck_of(stage).items()
    )
    dropped = (dropped_words(stage) for stage in run.dropped)
    details = "\n".join([said.sentence, *luck, *run.faults, *dropped, *(str(leak) for leak in run.leaks)])
    if said.verdict is Verdict.PASS:
        ET.SubElement(entry, "system-out").text = clean(details)
    else:
        _part(entry, "failure" if said.verdict is Verdict.FAIL else "error", said.sentence, details)
    return _suite("run", [entry])


def _part(entry: ET.Element, kind: str, message: str, text: str) -> None:
    ET.SubElement(entry, kind, message=clean(message), type=f"tunegate.{kind}").text = clean(text)


def _evidence(outcome: Outcome) -> str:
    details = [f"{finding.check}: {finding.detail}" for finding in outcome.findings if finding.detail]
    judged = [] if outcome.judged is None else [f"judged: {outcome.judged}"]
    lines = [f"response: {outcome.response}", *judged, *(f"reference: {text}" for text in outcome.references), *details]
    text = "\n".join(lines)
    return (
        text
        if len(text) <= MAX_TEXT
        else f"{text[:MAX_TEXT]}\n… {len(text) - MAX_TEXT:,} characters more in the record"
    )
