"""JUnit XML for CI servers: one entry per case, and one entry per gate that carries the count.

CI servers turn red for any failed entry, and a gate allows misses. So a missed case is a `<failure>` only where its
gate did not pass; in a gate that passed it is an ordinary entry whose `<system-out>` says what it missed. A case
without a verdict is an `<error>`. Nothing is `<skipped>`. Of each stage only the last gated attempt is written: earlier
ones were retrained away, and CI compares entries by name from build to build.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree as ET

from tunegate.outcomes import Outcome, Verdict
from tunegate.record import GateRecord, RunRecord
from tunegate_reports.answer import Answer, count_words, gate_words
from tunegate_reports.files import write_atomically
from tunegate_reports.view import CaseView, GateView, duration, view

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
    """Text without the characters that XML cannot hold; each leaves U+FFFD, so that its absence shows."""
    return NOT_XML.sub("\ufffd", text)


def _gate_suite(gate: GateView, cases: tuple[CaseView, ...]) -> ET.Element:
    record = gate.record
    classname = ".".join(["tunegate", *([record.stage] if record.stage else []), record.gate])
    name = record.gate if record.stage is None else f"{record.stage}: {record.gate}"
    outcomes = [cases[number].outcome for number in sorted(gate.cases)]
    entries = [*(_case_entry(outcome, record, classname) for outcome in outcomes), _gate_entry(record, classname)]
    return _suite(name, entries, seconds=record.seconds)


def _suite(name: str, entries: Iterable[ET.Element], seconds: float = 0.0) -> ET.Element:
    suite = ET.Element("testsuite", name=clean(name))
    suite.extend(entries)
    counts = {"tests": len(suite), "failures": len(suite.findall("testcase/failure"))}
    for key, count in {**counts, "errors": len(suite.findall("testcase/error")), "skipped": 0}.items():
        suite.set(key, str(count))
    suite.set("time", f"{seconds:.3f}")
    return suite


def _case_entry(outcome: Outcome, gate: GateRecord, classname: str) -> ET.Element:
    entry = ET.Element("testcase", classname=clean(classname), name=clean(outcome.case_id), time="0")
    if outcome.verdict is Verdict.PASS:
        return entry
    if outcome.verdict is Verdict.INVALID:
        _part(entry, "error", outcome.reason, _evidence(outcome))
    elif gate.decided and gate.verdict is Verdict.PASS:
        text = f"missed, which gate {gate.gate} allows ({count_words(gate)}): {outcome.reason}\n{_evidence(outcome)}"
        ET.SubElement(entry, "system-out").text = clean(text)
    else:
        _part(entry, "failure", outcome.reason, _evidence(outcome))
    return entry


def _gate_entry(gate: GateRecord, classname: str) -> ET.Element:
    # The count is no part of the name: CI servers follow an entry from build to build by its name.
    entry = ET.Element("testcase", classname=clean(classname), name=clean(f"gate {gate.gate}"))
    entry.set("time", f"{gate.seconds:.3f}")
    count = count_words(gate)
    told = count if gate.reason == count else f"{count}: {gate.reason}"
    summary = f"gate {gate.gate} {gate_words(gate)} in {duration(gate.seconds)}: {told}"
    if gate.decided and gate.verdict is Verdict.PASS:
        ET.SubElement(entry, "system-out").text = clean(summary)
    else:
        kind = "failure" if gate.decided and gate.verdict is Verdict.FAIL else "error"
        _part(entry, kind, told, summary)
    return entry


def _run_suite(said: Answer, run: RunRecord) -> ET.Element:
    entry = ET.Element("testcase", classname="tunegate", name="run", time="0")
    details = "\n".join([said.sentence, *run.faults, *(str(leak) for leak in run.leaks)])
    if said.verdict is Verdict.PASS:
        ET.SubElement(entry, "system-out").text = clean(details)
    else:
        _part(entry, "failure" if said.verdict is Verdict.FAIL else "error", said.sentence, details)
    return _suite("run", [entry])


def _part(entry: ET.Element, kind: str, message: str, text: str) -> None:
    ET.SubElement(entry, kind, message=clean(message), type=f"tunegate.{kind}").text = clean(text)


def _evidence(outcome: Outcome) -> str:
    details = [f"{finding.check}: {finding.detail}" for finding in outcome.findings if finding.detail]
    lines = [f"response: {outcome.response}", *(f"reference: {text}" for text in outcome.references), *details]
    text = "\n".join(lines)
    return (
        text
        if len(text) <= MAX_TEXT
        else f"{text[:MAX_TEXT]}\n… {len(text) - MAX_TEXT:,} characters more in the record"
    )
