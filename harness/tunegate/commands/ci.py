"""`tunegate ci gate`: gates a pull request with the suites of its base branch, and writes files for the CI server."""

from __future__ import annotations

import contextlib
import json
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tunegate.commands import console
from tunegate.commands.exam import exam_of
from tunegate.exceptions import CannotJudge, ConfigError, from_outside
from tunegate.gates.gate_run import GateRunResult
from tunegate.record.record import RunRecord
from tunegate.text.printable import json_pieces
from tunegate.whole_files import write_whole

GateOne = Callable[[Namespace], GateRunResult]
WORST_LAST = (0, 4, 1, 3, 2, 5)
"""Exit codes from best to worst; the worst of several gates is the exit code of the command."""
FILES = ("annotations.txt", "summary.md", "comment.md", "metrics.txt")


@dataclass(frozen=True)
class Gated:
    """One suite: its name, its file in the repository, and either its record or the error that prevented one."""

    name: str
    file: str
    exit_code: int
    run: RunRecord | None = None
    fault: str = ""
    shown: dict[str, Any] = field(default_factory=dict[str, Any])


def gate_in_ci(options: Namespace, gate_one: GateOne) -> int:
    """Gate every suite, write the files for the CI server, and return the worst exit code."""
    out = Path(options.out)
    names = _names(options.suite)
    given = _absolute(options)
    with exam_of(options.base, options.suite) as exam, contextlib.chdir(exam.folder):
        gated = [_gate(given, names[suite], suite, place, gate_one) for suite, place in exam.places.items()]
    if exam.base and not options.json:
        console.show(f"exam: {exam.in_words}")
    _write(gated, out, exam.in_words)
    exit_code = max((one.exit_code for one in gated), key=WORST_LAST.index)
    if options.json:
        gates = [
            {"gate": one.name, "exit_code": one.exit_code, "error": one.fault or None, **one.shown} for one in gated
        ]
        facts = {"exit_code": exit_code, "base": options.base, "commit": exam.commit or None}
        console.show_json({**facts, "changed": list(exam.changed), "gates": gates})
    return exit_code


def _names(suites: Sequence[str]) -> dict[str, str]:
    names = {suite: Path(suite.rpartition(":")[2]).stem for suite in suites}
    if len(set(names.values())) < len(suites):
        raise ConfigError(f"--suite: {', '.join(suites)}: two suites have the same file name; rename one of the files")
    return names


def _absolute(options: Namespace) -> Namespace:
    """The options with every path of the pull request as an absolute path, because the gate runs in another folder."""
    model = str(Path(options.model).absolute()) if options.model and Path(options.model).exists() else options.model
    paths = {key: getattr(options, key) for key in ("responses", "out", "ledger")}
    fixed = {key: str(Path(path).absolute()) if path and path != "none" else path for key, path in paths.items()}
    return Namespace(**{**vars(options), **fixed, "model": model})


def _gate(options: Namespace, name: str, suite: str, place: str, gate_one: GateOne) -> Gated:
    """Gate one suite. An error becomes its result, so that the other suites are gated too."""
    out = Path(options.out)
    given = Namespace(**{**vars(options), "suite": place, "run": str(out / name)})
    try:
        result = gate_one(given)
        report = _reports(result.run, out, name)
    except Exception as error:
        known = from_outside(error)
        if known is None:
            raise
        fault = str(known).replace(place, suite)
        print(console.printable(f"tunegate ci: gate {name}: {fault}"), file=sys.stderr)
        return Gated(name, suite, known.exit_code, fault=fault)
    if not options.json:
        console.print_gate(result, report)
    shown = json.loads("".join(json_pieces(console.gate_as_json(result, report))))  # what `tunegate gate` prints
    return Gated(name, suite, result.deciding.verdict.exit_code, run=result.run, shown=shown)


def _reports(run: RunRecord, out: Path, name: str) -> Path:
    import tunegate_reports as reports

    report = out / f"{name}.html"
    reports.write_html(run, report)
    reports.write_junit(run, out / f"{name}.xml")
    return report


def _write(gated: Sequence[Gated], out: Path, exam: str) -> None:
    """Write `FILES`; `exam` says where the suites are from."""
    import tunegate_reports as reports

    runs = [one.run for one in gated if one.run is not None]
    told = [f"Exam: {reports.as_text(exam)}.\n"] if exam else []
    parts = [*map(reports.markdown_summary, runs), *_faults(gated), *told]
    metrics = "".join(f"{line}\n" for run in runs for line in reports.metrics_lines(run))
    annotations = "".join(f"{_annotation(one)}\n" for one in gated)
    texts = (annotations, reports.step_summary(parts), reports.comment(parts, [one.name for one in gated]), metrics)
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, text in zip(FILES, texts, strict=True):
            write_whole(out / name, text)
    except OSError as error:
        raise CannotJudge(f"{error.filename}: cannot be written: {error.strerror}") from error


def _faults(gated: Sequence[Gated]) -> Iterator[str]:
    import tunegate_reports as reports

    for one in gated:
        if one.fault:
            yield f"**⚠️ gate {reports.as_text(one.name)}: {reports.as_text(one.fault)}**\n"


def _annotation(one: Gated) -> str:
    import tunegate_reports as reports

    title = f"gate {one.name}"
    if one.run is None:
        return reports.annotation("error", title, one.fault, one.file)
    return reports.gate_annotation(one.run, title, one.file)
