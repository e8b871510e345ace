"""The composition root: connects each command with engine, suites, trainers and reports (imported lazily)."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tunegate.checks.outcome import Verdict
from tunegate.commands import candidate, console, starter
from tunegate.commands import suite as suite_command
from tunegate.commands.advise import ask_on_terminal, run_advise
from tunegate.commands.asking import asking, flags_given
from tunegate.commands.bake_off import bake, show_bake_off
from tunegate.commands.by_meaning import embed
from tunegate.commands.check import print_check
from tunegate.commands.check_facts import facts_of_pipeline, facts_of_suite
from tunegate.commands.ci import gate_in_ci
from tunegate.commands.compare import compare_records
from tunegate.commands.data import data as describe_data
from tunegate.commands.judge import print_judge
from tunegate.commands.leakage import leakage as compare_files
from tunegate.commands.ledger import ledger_of, ledger_of_suite
from tunegate.commands.model_under_test import look_at_folder, look_at_model
from tunegate.commands.plan import plan as describe_plans
from tunegate.commands.plan_override import check_more, override
from tunegate.commands.promote import promote as promote_run
from tunegate.commands.promote import verify as verify_model
from tunegate.commands.pull_comment import comment as pull_comment
from tunegate.commands.report import gate_reports, write_report, write_reports
from tunegate.data.token_lengths import Estimate, local_tokens
from tunegate.exceptions import ConfigError
from tunegate.gates.ask import asked_prompts
from tunegate.gates.gate_run import GateRequest, GateRunResult, run_gate
from tunegate.leaks.leakage import Leak
from tunegate.models.metering import MeteredModel
from tunegate.models.model import Model
from tunegate.models.responses import load_responses
from tunegate.pipeline.leak_guard import leaks_of
from tunegate.pipeline.pipeline import Pipeline
from tunegate.pipeline.pipeline_file import load_pipeline, suite_place
from tunegate.reading.files import resolve
from tunegate.reading.yaml_file import load_yaml
from tunegate.record.record import RunRecord
from tunegate.record.run_log import RunLog
from tunegate.stats.plans import GatePlan
from tunegate.suites.suite import Suite
from tunegate.suites.suite_file import load_suite
from tunegate.training.pipeline_run import PipelineRun
from tunegate.training.tools import Tools
from tunegate.training.trainer import SubprocessTrainer
from tunegate.versions import installed_versions

# --- init, check ---------------------------------------------------------------------------------------------------


def init(options: Namespace) -> int:
    """Write a starter project, or copy a shipped example or recipe; never overwrites a file."""
    folder = starter.from_here(Path(options.folder))
    if options.example and options.recipe:
        raise ConfigError("--example and --recipe: give only one of them")
    if options.recipe:
        written = starter.write_recipe(options.recipe, folder)
    else:
        written = starter.write_example(options.example, folder) if options.example else starter.write_starter(folder)
    if options.json:
        console.show_json({"written": [str(path) for path in written]})
    else:
        console.print_written(written, starter.next_commands(written))
    return 0


def check(options: Namespace) -> int:
    """Validate a file and every file it names, and search for leaks."""
    path = suite_place(options.file, Path())
    data = load_yaml(path).data
    if isinstance(data, dict) and "stages" not in data and "cases" in data:
        facts = facts_of_suite(path, load_suite(path, _build_check()))
    else:
        pipeline = load_pipeline(path, _build_check(), _validate_stage())
        notes = _check_model(pipeline)
        facts = facts_of_pipeline(path, pipeline, _leaks(pipeline), notes)
    verdict = Verdict.INVALID if facts.leaks else Verdict.PASS
    if options.json:
        console.show_json({"verdict": verdict, **facts.to_json()})
    else:
        print_check(facts)
    return verdict.exit_code


def _check_model(pipeline: Pipeline) -> list[str]:
    """Raise if no run could start from the model; returns notes on what a run would ignore."""
    from tunegate.models.open_model import check_trainable, folder_notes
    from tunegate.pipeline.adapter_targets import check_adapters
    from tunegate.pipeline.template_notes import template_notes

    check_trainable(pipeline.model)
    from tunegate_trainers import turn_ends

    return [
        *folder_notes(pipeline.model),
        *check_adapters(pipeline),
        *template_notes(pipeline),
        *turn_ends.check(pipeline),
    ]


def _leaks(pipeline: Pipeline) -> list[Leak]:
    with console.Bar() as bar:
        return leaks_of(pipeline, embed, bar.update)


def data(options: Namespace) -> int:
    """Show the data card of a file, or of every stage of a pipeline."""
    return describe_data(options)


# --- plan ----------------------------------------------------------------------------------------------------------


def plan(options: Namespace) -> int:
    """Show how likely a plan is to pass a good or a bad model."""
    return describe_plans(options, _build_check())


# --- leakage -------------------------------------------------------------------------------------------------------


def leakage(options: Namespace) -> int:
    """Find training rows that leak tests."""
    suites = [load_suite(suite_place(file, Path()), _build_check()) for file in options.suite]
    return compare_files(options, suites, embed if options.embed is not None else None)


# --- run -----------------------------------------------------------------------------------------------------------


def run(options: Namespace) -> int:
    """Run a pipeline, or resume it."""
    record = carry_out(Path(options.file), Path(options.run) if options.run else None, options.ledger)
    folder = record.folder
    report = write_reports(record, html=folder / "report.html", markdown=folder / "summary.md", junit=None)
    if options.json:
        console.show_json(console.run_as_json(record, report))
    else:
        console.print_run(record, report)
    return (record.verdict or Verdict.INVALID).exit_code


def carry_out(path: Path, folder: Path | None, ledger: str | None = None) -> RunRecord:
    """Run a pipeline file, in `runs/NAME` beside it unless another folder is given; `ledger` replaces the file's."""
    pipeline = load_pipeline(path, _build_check(), _validate_stage())
    _tell("run", _check_model(pipeline))
    with RunLog.open(folder or path.parent / "runs" / pipeline.name) as log, console.Bar() as bar:
        tools = replace(
            _tools(bar),
            pipeline_sha256=lambda: load_pipeline(path, _build_check()).sha256,
            ledger=ledger_of(ledger or pipeline.ledger, path.parent),
        )
        return PipelineRun(pipeline, log, tools).execute()


def _tools(bar: console.Bar) -> Tools:
    from tunegate.models.open_model import model_folder, model_sha256, open_model

    return Tools(
        open_model=open_model,
        model_folder=model_folder,
        model_sha256=model_sha256,
        train=SubprocessTrainer(),
        versions=installed_versions,
        progress=bar.update,
        say=bar.say,
        embed=embed,
        tokens=lambda model: local_tokens(model) or Estimate(),
    )


# --- gate ----------------------------------------------------------------------------------------------------------


def gate(options: Namespace) -> int:
    """Run one gate on a model or on stored responses."""
    if (options.model is None) == (options.responses is None):
        raise ConfigError("give either a model or --responses FILE")
    candidate.check_options(options)
    suite = load_suite(suite_place(options.suite, Path()), _build_check())
    if options.baseline is not None:
        return candidate.against(options, suite, _open_subject)
    result = _gate_suite(options, suite)
    report = gate_reports(options, result.run, result.record.drawn)
    if options.json:
        console.show_json(console.gate_as_json(result, report))
    else:
        console.print_gate(result, report)
    return result.deciding.verdict.exit_code


def _gate_suite(options: Namespace, suite: Suite) -> GateRunResult:
    """Run the gate of a suite, without any report."""
    plan = _plan(suite, options)
    check_more(options, suite.name, plan)
    model = _open_subject(options, suite)
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


def ci(options: Namespace) -> int:
    """Gate in CI with the suites of the base branch, or write the comment on a pull request."""
    if options.action == "comment":
        return pull_comment(options)
    if (options.model is None) == (options.responses is None):
        raise ConfigError("give either a model or --responses FILE")
    return gate_in_ci(options, _gate_named)


def _gate_named(options: Namespace) -> GateRunResult:
    return _gate_suite(options, load_suite(suite_place(options.suite, Path()), _build_check()))


def _plan(suite: Suite, options: Namespace) -> GatePlan:
    """The suite's plan, or the single draw that the options ask for."""
    plan = override(suite, options.draw, options.accept)
    return replace(plan, curtail=options.curtail or plan.curtail)


def _open_subject(options: Namespace, suite: Suite) -> Model:
    if options.responses is not None:
        for flag, given in {"--dtype": options.dtype, "--batch-size": options.batch_size}.items():
            if given is not None:
                raise ConfigError(f"{flag}: has no effect on stored responses; leave it out")
        if flags := flags_given(options):
            raise ConfigError(f"{', '.join(flags)}: stored responses are not requested from a server; leave it out")
        responses, notes = load_responses(
            Path(options.responses), asked_prompts(suite), suite.responses, suite.settings.samples
        )
        _tell("gate", [*notes, *suite.remarks])
        return responses
    from tunegate.models.open_model import is_server, open_model

    if (flags := flags_given(options)) and not is_server(options.model):
        raise ConfigError(
            f"{', '.join(flags)}: only for models behind a server, but this model runs here; leave it out"
        )
    _tell("gate", look_at_folder(options.model, suite))
    dtype = options.dtype or "auto"
    model = open_model(options.model, dtype=dtype, batch_size=options.batch_size, asking=asking(options))
    _tell("gate", look_at_model(options.model, model, suite))
    return model


def _tell(command: str, notes: Sequence[str]) -> None:
    for note in notes:
        print(console.printable(f"tunegate {command}: {note}"), file=sys.stderr)


# --- compare, bake-off, advise -------------------------------------------------------------------------------------


def compare(options: Namespace) -> int:
    """Compare two models' answers to the same cases."""
    from tunegate.models.open_model import model_sha256

    return compare_records(options, model_sha256)


def bake_off(options: Namespace) -> int:
    """Gate several models on the same cases and rank them."""
    from tunegate.models.model_facts import model_facts

    suite = load_suite(suite_place(options.suite, Path()), _build_check())
    report = Path(options.report) if options.report else None
    with console.Bar() as bar:
        result = bake(options, suite, model_facts, bar.say)
    if report is not None:
        import tunegate_reports as reports

        reports.write_bake_off(result, report)
    show_bake_off(result, report, as_json=options.json)
    return result.verdict.exit_code


def advise(options: Namespace) -> int:
    """Recommend stages to train, and write the pipeline file."""
    return run_advise(options, ask_on_terminal if sys.stdin.isatty() else None)


# --- judge ---------------------------------------------------------------------------------------------------------


def judge(options: Namespace) -> int:
    """Measure a judge against human labels, and write its admission record."""
    from tunegate_suites.judges.measure import MeasureRequest, measure

    if options.seed is not None and options.draw is None:
        raise ConfigError(
            "--seed: has no effect without --draw, because all labels are used; add --draw N, or leave --seed out"
        )
    request = MeasureRequest(
        judge=resolve(options.judge, Path()),
        labels=Path(options.labels),
        out=Path(options.out) if options.out else None,
        draw=options.draw,
        seed=options.seed or 0,
        repeats=options.repeats,
        fit=options.fit,
    )
    with console.Bar() as bar:
        measured = measure(request, bar.update)
    if options.json:
        console.show_json(measured.to_json())
    else:
        print_judge(measured)
    return 0 if measured.admitted else 1


# --- suite ---------------------------------------------------------------------------------------------------------


def suite(options: Namespace) -> int:
    """Write a suite of groups or the rows of a spurious cue, or report on them."""
    return suite_command.carry_out(options, _build_check(), embed)


# --- report, promote, verify ---------------------------------------------------------------------------------------


def report(options: Namespace) -> int:
    """Write the report of a run; with --recheck, decide its gates again first."""
    return write_report(options)


def promote(options: Namespace) -> int:
    """Promote a run's model, if the evidence supports it."""
    return promote_run(options)


def verify(options: Namespace) -> int:
    """Find the promotion of these bytes, and print it."""
    return verify_model(options)


# --- the other packages --------------------------------------------------------------------------------------------


def _build_check() -> Any:
    from tunegate_suites import build_check

    return build_check


def _validate_stage() -> Any:
    from tunegate_trainers import validate

    return validate
