"""The data card of a stage, which a run records before any training: fast, whatever the size of the data."""

from __future__ import annotations

from dataclasses import replace

from tunegate.data.card import DataCard
from tunegate.data.measure import Measuring, quick_card
from tunegate.exceptions import TunegateError
from tunegate.pipeline.pipeline import Pipeline, Stage
from tunegate.training.tools import Tools


def stage_card(pipeline: Pipeline, stage: Stage, tools: Tools) -> DataCard:
    """Inspects only a sample of the rows in detail; without the model's tokenizer, lengths are estimated."""
    spec = stage.spec
    estimated = Measuring(max_length=max_length(spec.args.get("max_length")), progress=tools.progress)
    if tools.tokens is not None:
        try:
            exact = replace(estimated, count_tokens=tools.tokens(pipeline.model))
            return quick_card(stage.data, spec.data, spec.learns_as, exact)
        except TunegateError as error:
            tools.say(f"{stage.name}: the lengths of the training rows are estimated: {error}")
    return quick_card(stage.data, spec.data, spec.learns_as, estimated)


def max_length(value: object) -> int | None:
    """The setting `args.max_length`, if it is a number."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None
