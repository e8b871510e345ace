"""From a stage to the job of its trainer: paths, settings, and the parts of the pipeline that its options refer to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tunegate.pipeline.ladders import Settings
from tunegate.pipeline.own_command import command_of
from tunegate.pipeline.pipeline import Pipeline, Stage, reward_of, suite_ref
from tunegate.reading.spec import Spec
from tunegate.record.record import AttemptRecord, RunRecord
from tunegate.seeds import derived_seed
from tunegate.training.repair import TrainingSet, training_set
from tunegate.training.trainer import TrainJob


def job_of(
    pipeline: Pipeline, stage: Stage, start: str, number: int, seed: int, settings: Settings, run: RunRecord
) -> TrainJob:
    """The job of an attempt, whose folder contains its data and, later, its model; `start` is the input model."""
    spec = stage.spec
    folder = run.folder / stage.name / f"attempt-{number}"
    rewarding = reward_of(spec.options)[1]
    watched = pipeline.watched.get(stage.name)
    args = {**spec.args, **settings.args()}
    asked = {*spec.gates, *([rewarding] if rewarding else []), *([watched.gate] if watched else [])}
    return TrainJob(
        method=spec.method,
        model=start,
        data=str(folder / "data.jsonl"),
        output=str(folder / "model"),
        seed=seed,
        args=args,
        peft=spec.peft,
        save=spec.save,
        options=_resolved(spec.options, scorer_of(stage, run), run.folder),
        train=_plain(spec.train),
        launcher=_plain(spec.launcher),
        curriculum=_plain(spec.curriculum),
        watch={**_plain(spec.watch), "case_ids": list(watched.case_ids)} if watched else None,
        command=_command(pipeline, stage, args),
        attempt=number,
        eval_data=str(folder / "eval.jsonl") if stage.validates else None,
        suites={name: asdict(suite_ref(pipeline, name)) for name in sorted(asked)},
        label=f"{stage.name}#{number}",
    )


def rows_of(pipeline: Pipeline, stage: Stage, settings: Settings) -> TrainingSet:
    """The rows that an attempt with these settings trains on."""
    return training_set(stage.data, stage.replay, settings, derived_seed(pipeline.seed, stage.name, "rows"))


def _plain(spec: Spec | str | None) -> Any:
    return spec.model_dump() if isinstance(spec, Spec) else spec


def _command(pipeline: Pipeline, stage: Stage, args: Mapping[str, Any]) -> dict[str, Any] | None:
    command = command_of(stage.spec.model_copy(update={"args": args}), pipeline.path.parent)
    if command is None:
        return None
    config = None if command.config is None else str(command.config)
    return {"words": list(command.words), "folder": str(command.folder), "config": config}


def scorer_of(stage: Stage, run: RunRecord) -> AttemptRecord | None:
    """The attempt whose model is a stage's reward: the last attempt of the stage in `reward: {stage: NAME}`."""
    name = reward_of(stage.spec.options)[0]
    if name is None:
        return None
    attempts = run.stages[name].attempts
    return attempts[max(attempts)]


def _resolved(options: Mapping[str, Any], scorer: AttemptRecord | None, run_folder: Path) -> dict[str, Any]:
    """The options, with the name of the reward model's stage replaced by the path of that model."""
    reward = {} if scorer is None else {"reward": {"model": str(run_folder / scorer.model)}}
    return {**options, **reward}
