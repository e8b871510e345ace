"""The leakage guard of a pipeline: before the first training, the data of every stage is compared with every suite."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from tunegate.exceptions import ConfigError
from tunegate.leak_texts import TrainRow
from tunegate.leakage import Embed, Leak, Looking, Progress, compare, facts, find_leaks, without
from tunegate.pipeline import Pipeline, Stage
from tunegate.suites import Suite
from tunegate.training_data import TrainingData


def leaks_of(pipeline: Pipeline, embed: Embed | None = None, progress: Progress | None = None) -> list[Leak]:
    """The leaks of all stages; `embed` is used where the file asks for `embed`. Raises MissingExtra."""
    at_least = pipeline.leakage.embed
    if at_least is not None and embed is None:
        raise ConfigError(f"{pipeline.path}: leakage: embed: nothing here compares texts by meaning; leave it out")
    looking = Looking(embed if at_least is not None else None, at_least or 1.0, progress)
    suites = pipeline.suites.values()
    in_rows = [
        leak
        for stage in pipeline.stages
        for data in (stage.data, stage.replay)
        if data is not None
        for leak in find_leaks(stage.name, data, suites, looking)
    ]
    return [*in_rows, *(leak for stage in pipeline.stages for leak in _in_template(stage, suites))]


TEMPLATE = "options.chat_template"


def _in_template(stage: Stage, suites: Iterable[Suite]) -> list[Leak]:
    """A chat template stands around every prompt, a gate's too: what it says, the model need not know."""
    template = stage.spec.options.get("chat_template")
    if not isinstance(template, str):
        return []
    return [replace(leak, stage=stage.name) for leak in compare([TrainRow(TEMPLATE, 1, (), (template,))], suites)]


def drop_leaks(pipeline: Pipeline, leaks: Sequence[Leak]) -> tuple[Pipeline, list[dict[str, Any]]]:
    """The pipeline without the rows that leak, and for each stage what was dropped; the record's facts.

    Raises ConfigError for a stage that is left with fewer rows than it is to be trained on.
    """
    stages: list[Stage] = []
    dropped: list[dict[str, Any]] = []
    for stage in pipeline.stages:
        of_stage = [leak for leak in leaks if leak.stage == stage.name]
        if any(leak.train_file == TEMPLATE for leak in of_stage):
            raise ConfigError(
                f"{pipeline.path}: stage {stage.name!r}: {TEMPLATE} gives cases away; leave them out of it"
            )
        replay = None if stage.replay is None else without(stage.replay, of_stage)
        kept = replace(stage, data=without(stage.data, of_stage), replay=replay)
        _check_budget(pipeline, stage, kept)
        stages.append(kept)
        if of_stage:
            dropped.append(
                {
                    "stage": stage.name,
                    "of": len(stage.data.examples),
                    "left": len(kept.data.examples),
                    "rows": _rows(of_stage, stage.data),
                    **({} if stage.replay is None else {"replay_rows": _rows(of_stage, stage.replay)}),
                    "cases": sorted({f"{leak.suite}/{leak.case_id}" for leak in of_stage}),
                    "leaks": facts(of_stage),
                }
            )
    return replace(pipeline, stages=tuple(stages)), dropped


def _check_budget(pipeline: Pipeline, before: Stage, after: Stage) -> None:
    asked, left = (after.spec.retrain.rows or [1])[-1], len(after.data.examples)
    if asked > left:
        lost = len(before.data.examples) - left
        raise ConfigError(
            f"{pipeline.path}: stage {before.name!r}: {asked} rows are asked for (retrain.rows), but {left} are left: "
            f"{lost} of {len(before.data.examples)} also stand in a gate's suite and are dropped; lower the last of "
            "retrain.rows, or give more rows"
        )


def _rows(leaks: Sequence[Leak], data: TrainingData) -> list[int]:
    return sorted({leak.train_row for leak in leaks if leak.train_file == str(data.path)})


def in_words(dropped: Sequence[dict[str, Any]]) -> str:
    """What was dropped, in a sentence."""
    parts = [
        f"{len(stage['rows'])} of {stage['of']} training rows of stage {stage['stage']} (they give away "
        f"{len(stage['cases'])} cases)"
        for stage in dropped
    ]
    return f"dropped as leaks: {'; '.join(parts)}"
