"""The leakage guard of a pipeline: before the first training, the data of every stage is compared with every suite."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tunegate.data.card_words import which_rows
from tunegate.data.training_data import TrainingData
from tunegate.exceptions import ConfigError
from tunegate.leaks.leakage import Leak, Looking, Progress, compare, facts, find_leaks, without
from tunegate.leaks.texts import TrainRow
from tunegate.models.loading import chat_templates
from tunegate.models.sentences import Embed
from tunegate.pipeline.pipeline import Pipeline, Stage
from tunegate.processes import InOrder, in_order
from tunegate.suites.suite import Suite
from tunegate.suites.told_answers import GUARD, given_away_words, told_or_named_by
from tunegate.suites.told_by_template import told, told_by_templates


def leaks_of(
    pipeline: Pipeline,
    embed: Embed | None = None,
    progress: Progress | None = None,
    base: Path | None = None,
    in_order: InOrder = in_order,
) -> list[Leak]:
    """The leaks of all stages; `embed` is used if the file sets `embed`. Raises MissingExtra.

    `base` is the base model's folder, whose chat template is checked too; default: the model in the file, if it is a
    folder. `in_order` has workers look at the blocks of rows.
    """
    at_least = pipeline.leakage.embed
    if at_least is not None and embed is None:
        raise ConfigError(f"{pipeline.path}: leakage: embed: comparing by meaning is not available here; leave it out")
    looking = Looking(embed if at_least is not None else None, at_least or 1.0, progress, in_order)
    suites = pipeline.suites.values()
    in_rows = [
        leak
        for stage in pipeline.stages
        for data in (stage.seen, stage.replay)
        if data is not None
        for leak in find_leaks(stage.name, data, suites, looking)
    ]
    templates = [(stage.name, TEMPLATE, stage.spec.options.get("chat_template")) for stage in pipeline.stages]
    own = chat_templates(base or Path(pipeline.model))
    templates += [(pipeline.stages[0].name, BASE_TEMPLATE, text) for text in own]
    return [
        *in_rows,
        *(
            replace(leak, stage=stage)
            for stage, place, text in templates
            if isinstance(text, str) and text
            for leak in _in_template(place, text, suites)
        ),
    ]


TEMPLATE, BASE_TEMPLATE = "options.chat_template", "the base model's chat template"


def told_by_model(folder: Path, suites: Iterable[Suite]) -> str | None:
    """What the chat templates of an external trainer's model reveal of the answers, in words; any model would pass."""
    templates = chat_templates(folder)
    for suite in suites:
        if GUARD not in suite.allowed and (given := told_by_templates(templates, suite)):
            words = given_away_words(given, suite.cases)
            return f"the chat template that it left {words} (suite {suite.name}); take them out of it"
    return None


def _in_template(place: str, text: str, suites: Iterable[Suite]) -> list[Leak]:
    """A chat template is part of every prompt, also in a gate: the model does not have to know what it says."""
    suites = [suite for suite in suites if GUARD not in suite.allowed]
    leaks = compare([TrainRow(place, 1, (), (text,))], suites)
    known = {(leak.suite, leak.case_id) for leak in leaks}
    given = [
        Leak("", place, 1, suite.name, case_id, "containment", 1.0, text, answer)
        for suite in suites
        for case_id, answer in (told(text, suite) | told_or_named_by(text, suite.cases)).items()
    ]
    return leaks + [leak for leak in given if (leak.suite, leak.case_id) not in known]


def dropped_and_refused(pipeline: Pipeline, leaks: Sequence[Leak]) -> tuple[list[Leak], list[Leak]]:
    """The leaks whose rows are left out, and those for which the run is refused, as the pipeline wants it.

    General rows that ship with Tunegate are always left out: nobody chose them.
    """
    if pipeline.leakage.action == "drop_from_train":
        return list(leaks), []
    shipped = {stage.name: str(stage.replay.path) for stage in pipeline.stages if stage.replay_ships and stage.replay}
    dropped = [leak for leak in leaks if leak.train_file == shipped.get(leak.stage)]
    return dropped, [leak for leak in leaks if leak.train_file != shipped.get(leak.stage)]


def drop_leaks(pipeline: Pipeline, leaks: Sequence[Leak]) -> tuple[Pipeline, list[dict[str, Any]]]:
    """The pipeline without the rows that leak, and what was dropped from each stage, for the record.

    Raises ConfigError for a stage without any rows left.
    """
    stages: list[Stage] = []
    dropped: list[dict[str, Any]] = []
    for stage in pipeline.stages:
        of_stage = [leak for leak in leaks if leak.stage == stage.name]
        for place in (TEMPLATE, BASE_TEMPLATE):
            if any(leak.train_file == place for leak in of_stage):
                raise ConfigError(
                    f"{pipeline.path}: stage {stage.name!r}: {place} contains cases of a suite; remove them"
                )
        replay = None if stage.replay is None else without(stage.replay, of_stage)
        kept = replace(stage, data=without(stage.data, of_stage), replay=replay)
        stages.append(kept)
        if of_stage:
            dropped.append(
                {
                    "stage": stage.name,
                    "of": len(stage.data.examples),
                    "left": len(kept.data.examples),
                    "rows": _rows(of_stage, stage.data),
                    **({} if kept.retrain.rows == stage.retrain.rows else {"ladder": kept.retrain.rows}),
                    **({} if stage.replay is None else {"replay_rows": _rows(of_stage, stage.replay)}),
                    "cases": sorted({f"{leak.suite}/{leak.case_id}" for leak in of_stage}),
                    "leaks": facts(of_stage),
                }
            )
    return replace(pipeline, stages=tuple(stages)), dropped


def _rows(leaks: Sequence[Leak], data: TrainingData) -> list[int]:
    return sorted({leak.train_row for leak in leaks if leak.train_file == str(data.path)})


def in_words(dropped: Sequence[dict[str, Any]]) -> str:
    """A sentence that says what was dropped."""
    parts = [
        f"{which_rows(stage)} of stage {stage['stage']} (they leak {len(stage['cases'])} cases{_last_rung(stage)})"
        for stage in dropped
    ]
    return f"dropped as leaks: {'; '.join(parts)}"


def _last_rung(stage: Mapping[str, Any]) -> str:
    return (
        f"; the last value of retrain.rows is now {stage['ladder'][-1]}, all remaining rows"
        if "ladder" in stage
        else ""
    )
