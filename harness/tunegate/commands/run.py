"""`tunegate run`: runs a pipeline file, or resumes it, and writes its reports."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tunegate.checks.outcome import Verdict
from tunegate.commands import console
from tunegate.commands.by_meaning import embed
from tunegate.commands.ledger import ledger_of
from tunegate.commands.model_under_test import check_base
from tunegate.commands.promote import exit_code
from tunegate.commands.report import write_reports
from tunegate.commands.siblings import check_builder, check_file_allowed, stage_validator
from tunegate.commands.subject import tell
from tunegate.data.token_lengths import Estimate, local_tokens
from tunegate.executors.executor import Executor, Opening
from tunegate.executors.executor_spec import executor_of
from tunegate.pipeline.pipeline import Pipeline
from tunegate.pipeline.pipeline_file import load_pipeline
from tunegate.processes import usable_cores
from tunegate.record.record import RunRecord
from tunegate.record.run_log import RunLog
from tunegate.training.pipeline_run import PipelineRun
from tunegate.training.ray_trainings import RayTrainings
from tunegate.training.search import RANDOM_TRIALS
from tunegate.training.side_by_side import SideBySide, TrainingProcesses, visible_gpus
from tunegate.training.tools import Tools
from tunegate.training.trainer import SubprocessTrainer, forking_trainer
from tunegate.versions import installed_versions


def run_pipeline(options: Namespace) -> int:
    """Run a pipeline, or resume it."""
    record = carry_out(Path(options.file), Path(options.run) if options.run else None, options.ledger, options.executor)
    folder = record.folder
    report = write_reports(record, html=folder / "report.html", markdown=folder / "summary.md", junit=None)
    if options.json:
        console.show_json(console.run_as_json(record, report))
    else:
        console.print_run(record, report)
    return exit_code(record.verdict or Verdict.INVALID, record.waivers(), allowed=options.allow_waived)


def check_model(pipeline: Pipeline) -> list[str]:
    """Raise if no run could start from the model; returns notes on what a run would ignore."""
    notes = check_base(pipeline)
    from tunegate_trainers import turn_ends

    return [*notes, *turn_ends.check(pipeline)]


def carry_out(path: Path, folder: Path | None, ledger: str | None = None, executor: str | None = None) -> RunRecord:
    """Run a pipeline file, by default in `runs/NAME` beside it; `ledger` and `executor` replace those of the file."""
    check_file_allowed(path)
    pipeline = load_pipeline(path, check_builder(), stage_validator())
    tell("run", check_model(pipeline))
    place = folder or path.parent / "runs" / pipeline.name
    with RunLog.open(place) as log, console.Bar() as bar, forking_trainer() as train:
        tools = replace(
            _tools(bar, executor_of(executor, pipeline.executor), train),
            pipeline_sha256=lambda: load_pipeline(path, check_builder()).sha256,
            ledger=ledger_of(ledger or pipeline.ledger, path.parent),
        )
        return PipelineRun(pipeline, log, tools).execute()


def _tools(bar: console.Bar, executor: Executor, train: SubprocessTrainer) -> Tools:
    from tunegate.executors.local import Local
    from tunegate.models.open_model import model_folder, model_sha256, open_model

    places = _places(executor, bar.say)
    on_nodes = isinstance(places, RayTrainings)
    return Tools(
        side_by_side=places,
        open_model=lambda spec: executor.open(Opening(spec)),
        open_here=None if isinstance(executor, Local) else open_model,
        model_folder=model_folder,
        model_sha256=model_sha256,
        train=places.or_here(train) if on_nodes else train,
        prepare_training=(lambda: None) if on_nodes else train.prepare,
        versions=installed_versions,
        progress=bar.update,
        say=bar.say,
        embed=embed,
        in_order=executor.in_order,
        tokens=lambda model: local_tokens(model) or Estimate(),
    )


def _places(executor: Executor, say: Callable[[str], None]) -> SideBySide | None:
    """Where several attempts are trained at once, if anywhere."""
    from tunegate.executors.processes import Processes
    from tunegate.executors.ray_nodes import RayNodes

    if isinstance(executor, Processes) and executor.count > 1:
        at_once = min(executor.count, RANDOM_TRIALS)  # the others depend on an outcome
        return TrainingProcesses(at_once, usable_cores(), visible_gpus())
    return RayTrainings(executor, say) if isinstance(executor, RayNodes) else None
