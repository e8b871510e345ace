"""The shape of a stage's training data."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator

from tunegate.spec import Spec, Template, listed


class DataSpec(Spec):
    """Training data, and how a row becomes an example: which of the templates count, the stage's method says.

    cpt: `text`. sft, fewshot: `prompt`, `completion`. explain: also `explanation`. dpo, orpo, reward: `prompt`,
    `chosen`, `rejected`. kto: `prompt`, `completion`, `label`. rlhf: `prompt`, and `completion` where a check is
    the reward.
    """

    path: str
    split: str | None = None
    prompt: Template | None = None
    messages: str | None = None
    """The field that holds the chat messages of the prompt, instead of `prompt`."""
    completion: Template | None = None
    chosen: Template | None = None
    rejected: Template | None = None
    text: Template | None = None
    explanation: Template | None = None
    label: str | None = None
    """The field that says whether a completion is wanted: true or false. Default: `label`."""
    tags: Annotated[list[str], BeforeValidator(listed)] = []
    """Fields whose values become tags, written `field=value`, as those of the suites."""
    system: str | None = None
    """A system message for every row; give the suites the same one under `generate`."""
    where: dict[str, Any] = {}
