"""`tunegate gate`: a module of its own, since it runs most often and needs least of what the other commands import."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace

from tunegate.commands import candidate, console, imported
from tunegate.commands.ledger import ledger_of_suite
from tunegate.commands.plan_override import check_expected, check_more, override
from tunegate.commands.report import gate_reports
from tunegate.commands.siblings import check_builder, named_suite
from tunegate.commands.subject import open_subject
from tunegate.elsewhere.results import Results
from tunegate.exceptions import ConfigError
from tunegate.gates.gate_run import GateRequest, GateRunResult, run_gate
from tunegate.models.metering import MeteredModel
from tunegate.stats.plans import GatePlan
from tunegate.suites.suite import Suite
from tunegate.versions import installed_versions


def gate(options: Namespace) -> int:
    """Run one gate on a model or on stored responses."""
    if (options.model is None) == (options.responses is None):
        raise ConfigError("give either a model or --responses FILE")
    candidate.check_options(options)
    found = imported.subject_of(options, named_suite, check_builder())
    suite = found.suite
    check_expected(suite, options.expect_suite)
    if options.baseline is not None:
        return candidate.against(options, suite, open_subject)
    result = gate_suite(options, suite, found.results)
    report = gate_reports(options, result.run, result.record.drawn)
    if options.json:
        console.show_json(console.gate_as_json(result, report))
    else:
        console.print_gate(result, report)
    return result.deciding.verdict.exit_code


def gate_suite(options: Namespace, suite: Suite, results: Results | None = None) -> GateRunResult:
    """Run the gate of a suite, without any report."""
    plan = _plan(suite, options)
    check_more(options, suite.name, plan)
    model = open_subject(options, suite, results)
    subject = MeteredModel(model) if options.responses is None else model
    ledger = ledger_of_suite(options.ledger, suite)
    request = GateRequest(
        suite,
        plan,
        options.seed,
        subject,
        options.run,
        ledger=ledger,
        together=options.together or "",
        more=options.more or 0,
    )
    with console.Bar() as bar:
        result = run_gate(request, bar.update, installed_versions())
    if isinstance(subject, MeteredModel):
        subject.cost.save(result.folder)
    return result


def _plan(suite: Suite, options: Namespace) -> GatePlan:
    """The suite's plan, or the single draw that the options ask for."""
    plan = override(suite, options.draw, options.accept)
    return replace(plan, curtail=options.curtail or plan.curtail)
