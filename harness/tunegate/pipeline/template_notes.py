"""What the chat template of a pipeline's model leaves out; `tunegate check` reports it before any training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import Any

from tunegate.cases.case import Prompt
from tunegate.models.chat_rendering import rendering
from tunegate.models.chat_template import (
    NO_GENERATION_PROMPT,
    TO_FIRST_USER,
    lacks_generation_prompt,
    takes_system,
    template_in,
)
from tunegate.models.open_model import local_path
from tunegate.pipeline.adapter_targets import BaseModel
from tunegate.pipeline.pipeline import Pipeline, Stage
from tunegate.suites.suite import Suite


def template_notes(pipeline: Pipeline) -> list[str]:
    """A note for everything that a template, of the model or set by a stage, leaves out of its input.

    Read from the files: there are no notes for a hub model, or if jinja2 is not installed.
    """
    if find_spec("jinja2") is None:
        return []
    template = _of_model(pipeline.model)
    notes = list(_of_template(template, "model"))
    for stage in pipeline.stages:
        own: Any = stage.spec.options.get("chat_template")
        if isinstance(own, str):
            template = own if "{" in own else None  # named templates leave nothing out
            notes += _of_template(template, f"stage {stage.name}: chat_template")
        if template is not None and not takes_system(rendering(template)):
            notes += _of_stage(stage, [pipeline.suites[name] for name in stage.spec.gates])
    return list(dict.fromkeys(notes))


def _of_model(model: str) -> str | None:
    path = local_path(model)
    own = template_in(path) if path is not None and path.is_dir() else None
    folder = BaseModel(model).folder
    return own if own is not None or folder is None else template_in(folder)


def _of_template(template: str | None, where: str) -> Iterator[str]:
    if template is not None and lacks_generation_prompt(rendering(template)):
        yield f"{where}: {NO_GENERATION_PROMPT}"


def _of_stage(stage: Stage, suites: Sequence[Suite]) -> Iterator[str]:
    rows = sum(_has_system(example.prompt) for example in stage.data.examples)
    if rows:
        yield (
            f"stage {stage.name}: the chat template drops or refuses system messages, but {rows} of "
            f"{len(stage.data.examples)} rows have one: the model will not learn from it; move its text to the prompts"
        )
    for suite in suites:
        cases = sum(_has_system(suite.settings.asks(case.prompt)) for case in suite.cases)
        if cases:
            yield (
                f"suite {suite.name}: the chat template drops or refuses system messages, but {cases} of "
                f"{len(suite.cases)} cases have one: no gate will judge them; {TO_FIRST_USER}"
            )


def _has_system(prompt: Prompt | None) -> bool:
    return not isinstance(prompt, str | None) and any(message["role"] == "system" for message in prompt)
