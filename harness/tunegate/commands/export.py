"""`tunegate export MODEL --to FORMAT`: write a model in another format, and gate it against its source."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

from tunegate.checks.check import CheckBuilder
from tunegate.checks.outcome import Verdict
from tunegate.commands.console import Bar, show, show_json
from tunegate.commands.exported import fingerprint
from tunegate.commands.ledger import ledger_of_suite
from tunegate.commands.verify_run import pipeline_of
from tunegate.exceptions import ConfigError
from tunegate.models.open_model import find_model, is_server, open_model
from tunegate.promotion.aliases import EXPORT
from tunegate.promotion.entry import ATTESTATION
from tunegate.promotion.evidence import check_gates, check_promotable
from tunegate.promotion.exports import cannot_fail
from tunegate.record.event_log import EVENTS
from tunegate.record.read_run import read_run
from tunegate.serving.export import Export, ExportRequest, Source, export
from tunegate.suites.suite import Suite
from tunegate.versions import installed_versions

MAX_DROP = 5.0


def carry_out(options: Namespace, load_suite: Callable[[str], Suite], build_check: CheckBuilder) -> int:
    """Export and gate; the exit code is that of the verdict."""
    max_drop = MAX_DROP if options.max_drop is None else options.max_drop
    if is_server(options.model):
        raise ConfigError("export: expected a model on this machine, got a server; name its folder or file")
    spec, own = _source(Path(options.model), options.model, build_check, want_suites=not options.gate)
    suites = [load_suite(name) for name in options.gate] if options.gate else own
    request = ExportRequest(
        Source(spec, find_model(spec)),
        options.to,
        options.type,
        Path(options.out),
        suites,
        options.draw,
        options.seed,
        max_drop,
        lambda suite: ledger_of_suite(options.ledger, suite),
    )
    with Bar() as bar:
        done = export(request, open_model, fingerprint, bar.update, installed_versions())
    if options.json:
        show_json(_as_json(done))
    else:
        _print(done, spec)
    return done.verdict.exit_code


def _source(folder: Path, named: str, build_check: CheckBuilder, *, want_suites: bool) -> tuple[str, list[Suite]]:
    """The model that a run or a registry entry ended with, and its suites; any other name is a model without suites."""
    if not (folder / EVENTS).is_file():
        return named, []
    run = read_run(folder)
    if (folder / ATTESTATION).is_file():
        attempt, model = check_gates(run), folder / "model"
    else:
        attempt, model = check_promotable(run, fingerprint, date.today())
    if not want_suites:
        return str(model), []
    suites = pipeline_of(run, build_check).suites
    return str(model), [suites[gate.gate] for gate in attempt.gates.values() if gate.purpose == "gate"]


def _as_json(done: Export) -> dict[str, Any]:
    return {
        "verdict": done.verdict,
        "exit_code": done.verdict.exit_code,
        "export": str(done.folder / EXPORT),
        "model": str(done.model),
        "sha256": done.sha256,
        "gates": {
            name: {
                "verdict": one.candidate.verdict,
                "reason": one.candidate.reason,
                "cases": one.candidate.drawn,
                "passed_source": one.baseline.passed,
                "passed_export": one.candidate.passed,
            }
            for name, one in done.results.items()
        },
    }


def _print(done: Export, spec: str) -> None:
    size = sum(path.stat().st_size for path in [done.model, *done.model.rglob("*")] if path.is_file()) / 1e6
    show(f"export: {done.model} ({size:.1f} MB, sha256 {done.sha256[:12]}…), from {spec}")
    for name, one in done.results.items():
        counts = f"source passed {one.baseline.passed} of {one.baseline.drawn}, export {one.candidate.passed}"
        show(f"{name}: {counts}; {one.candidate.verdict}: {one.candidate.reason}")
    show(f"record: {done.folder / EXPORT}")
    if done.verdict is not Verdict.PASS:
        show(f"{done.verdict}: this export cannot be promoted")
    for name, one in done.results.items():
        if cannot_fail(one.candidate, one.baseline):
            show(f"{name}: the source passed too few cases to lose any; choose a suite that it passes")
