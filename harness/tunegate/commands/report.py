"""`tunegate report`, and the reports that `run` and `gate` write."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tunegate.checks.check import CheckBuilder
from tunegate.commands import console
from tunegate.commands.by_meaning import embed as by_meaning
from tunegate.exceptions import CannotJudge, ConfigError, nearest
from tunegate.gates.people import NOBODY, PeopleRate, rates_of
from tunegate.models.sentences import Embed
from tunegate.record.event_log import EVENTS
from tunegate.record.read_run import read_run, reading
from tunegate.record.record import RunRecord

if TYPE_CHECKING:
    from tunegate.choosing.prompts import PromptBakeOff
    from tunegate.choosing.sweep import SweepResult

MAX_REPORT_CASES = 5000
"""Gates with more cases get a report only on request: the page would be slow, and 100 MB large."""


def write_report(options: Namespace, build_check: CheckBuilder) -> int:
    """Write the report of a run; with --recheck, decide its gates and judge its answers again first."""
    folder = Path(options.run)
    record = read_run(folder)
    html = Path(options.html) if options.html else folder / "report.html"
    junit = Path(options.junit) if options.junit else None
    markdown = Path(options.markdown) if options.markdown else None
    if options.embed and not record.stages:
        raise ConfigError("--embed: has no effect on the record of a gate, which has no training rows; leave it out")
    with reading(folder):
        if options.recheck:
            from tunegate.commands.verify_run import verify_run

            print(f"rechecked: {console.printable(verify_run(record, build_check)[0].in_words)}", file=sys.stderr)
        people = rates_of(record.all_gates(), Path(options.labels)) if options.labels else {}
        exported = export(record, options.to)
        write_reports(record, html, junit, markdown, people, by_meaning if options.embed else None)
        if options.mlflow:
            from tunegate.publishing.mlflow_registry import log_run

            run_id = log_run(record, options.mlflow, html)
            print(f"MLflow: experiment {options.mlflow}, run {run_id}", file=sys.stderr)
        if options.json:
            console.show_json({**console.run_as_json(record, html, people), **exported})
        else:
            console.print_run(record, html, people)
            for path in exported.get("exported", ()):
                console.show(f"written: {path}")
    return 0


def export(record: RunRecord, wanted: Sequence[str] | None) -> dict[str, list[str]]:
    """Write a record in the format of another tool: `every-eval-ever`, and the file, if one is named."""
    from tunegate.elsewhere import to_every_eval_ever

    if wanted is None:
        return {}
    name, *file = wanted
    if name != to_every_eval_ever.NAME:
        raise ConfigError(f"--to {name}: no such format{nearest(name, [to_every_eval_ever.NAME])}")
    if len(file) > 1:
        raise ConfigError(f"--to: a format and one file were expected, got {len(file)} files")
    path = Path(file[0]) if file else None
    if path is not None and path.name == EVENTS:
        raise ConfigError(f"{path}: this is a record, which a report must not overwrite; choose another name")
    return {"exported": [str(one) for one in to_every_eval_ever.write(record, path)]}


def gate_reports(options: Namespace, run: RunRecord, draw: int) -> Path | None:
    """Write the reports of a gate that the options ask for; returns the page, if one is written."""
    html = Path(options.report) if options.report else None
    if html is None and draw <= MAX_REPORT_CASES:
        html = run.folder / "report.html"
    junit = Path(options.junit) if options.junit else None
    markdown = Path(options.markdown) if options.markdown else None
    if html is None and junit is None and markdown is None:
        return None
    return write_reports(run, html, junit, markdown)


def write_reports(
    record: RunRecord,
    html: Path | None,
    junit: Path | None,
    markdown: Path | None,
    people: Mapping[int, PeopleRate] = NOBODY,
    embed: Embed | None = None,
) -> Path | None:
    """Write these reports of a record; returns the page, if one is written. Raises CannotJudge."""
    import tunegate_reports as reports

    for path in (html, junit, markdown):
        if path is not None and path.name == EVENTS:
            raise ConfigError(f"{path}: this is a record, which a report must not overwrite; choose another name")
    try:
        if html is not None:
            reports.write_html(record, html, people, embed)
        if junit is not None:
            reports.write_junit(record, junit)
        if markdown is not None:
            reports.write_markdown(record, markdown)
    except OSError as error:
        raise CannotJudge(f"{error.filename}: the report cannot be written: {error.strerror}") from error
    return html


def write_prompts(result: PromptBakeOff, path: Path) -> None:
    """Write the page of a bake-off of prompts."""
    import tunegate_reports as reports

    reports.write_prompts(result, path)


def write_sweep(result: SweepResult, path: Path) -> None:
    """Write the page of a sweep."""
    import tunegate_reports as reports

    reports.write_sweep(result, path)
