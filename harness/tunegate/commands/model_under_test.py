"""Inspects a model before `tunegate gate` or pytest gates it: its chat templates and its notes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tunegate.exceptions import CannotJudge
from tunegate.models.loading import chat_templates
from tunegate.models.model import Model, notes_of, templates_of
from tunegate.suites.suite import Suite
from tunegate.suites.told_answers import GUARD, given_away_words
from tunegate.suites.told_by_template import told_by_templates

if TYPE_CHECKING:  # a gate needs no pipeline
    from tunegate.pipeline.pipeline import Pipeline


def look_at_folder(spec: str, suite: Suite) -> list[str]:
    """The notes on a model's folder, before the model is loaded.

    Raises CannotJudge for a chat template that reveals answers: any model would pass.
    """
    from tunegate.models.open_model import folder_notes

    notes = folder_notes(spec)
    return [*notes, *suite.remarks, *_told_by(spec, _in_folder(spec), suite)]


def look_at_model(spec: str, model: Model, suite: Suite) -> list[str]:
    """The notes on an opened model, whose chat template may come from a base model, a GGUF file or the hub.

    Raises CannotJudge like `look_at_folder`.
    """
    known = _in_folder(spec)
    told = _told_by(spec, [text for text in templates_of(model) if text not in known], suite)
    return [*notes_of(model), *told]


def look_at_loaded(name: str, model: Model, suite: Suite) -> list[str]:
    """The notes on a model that is not on disk. Raises CannotJudge like `look_at_folder`."""
    return [*notes_of(model), *suite.remarks, *_told_by(name, templates_of(model), suite)]


def _in_folder(spec: str) -> list[str]:
    from tunegate.models.open_model import local_path

    folder = local_path(spec)
    return chat_templates(folder) if folder is not None and folder.is_dir() else []


def _told_by(spec: str, templates: Sequence[str], suite: Suite) -> list[str]:
    """The note on chat templates that reveal answers, if the suite allows this."""
    given = told_by_templates(templates, suite)
    if not given:
        return []
    told = f"{spec}: its chat template {given_away_words(given, suite.cases)}"
    if GUARD in suite.allowed:
        return [f"allowed by the suite: {told}"]
    raise CannotJudge(f"{told}; remove them from the template")


def check_base(pipeline: Pipeline) -> list[str]:
    """Raise if no run could start from the model; returns notes on what a run would ignore."""
    from tunegate.models.open_model import check_trainable, folder_notes
    from tunegate.pipeline.adapter_targets import check_adapters
    from tunegate.pipeline.template_notes import template_notes

    check_trainable(pipeline.model)
    return [
        *folder_notes(pipeline.model),
        *check_adapters(pipeline),
        *template_notes(pipeline),
    ]
