"""The shape of a suite's `cases`: which rows of which file are cases, and what of a row is which part of a case."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from tunegate.reading.spec import Delimiter, Spec, Template, Templates, Text, listed


class CasesSpec(Spec):
    """Where cases come from, and how a row becomes a case. Without templates, rows have a case's own field names."""

    path: str
    """A .jsonl, .json, .csv, .parquet or .txt file, or a folder saved by `datasets`, relative to this file."""
    split: str | None = None
    """The split of a `datasets` folder. Rows of a file are kept by `where`."""
    delimiter: Delimiter | None = None
    """What separates the cells of a CSV file. Default: the likeliest of comma, tab, semicolon and bar."""
    id: Template | None = None
    """Default: the row's `id`, or else a hash of what is asked and expected."""
    prompt: Template | None = None
    """Default: the row's `prompt`, or the chat in its field `messages` or `conversations`."""
    messages: str | None = None
    """The field that holds chat messages, instead of `prompt`. If the assistant's end them, they are the answer."""
    reference: Templates | None = None
    """Expected answers; one field holding a list gives several. Default: the row's `reference` or `references`, or
    the answer that its chat ends with."""
    separator: Annotated[Text, Field(min_length=1)] | None = None
    """What separates several references, or several choices, in one text: `;` for instance."""
    context: Template | None = None
    """A text that the answer must keep to. Default: the row's `context`."""
    choices: Templates | None = None
    """Default: the row's `choices`: a list, or texts with labels (`{text: [...], label: [...]}`); a reference that is
    such a label means that choice."""
    tags: Annotated[list[str], BeforeValidator(listed)] | None = None
    """Fields, or paths as `metadata.topic`, whose values become tags, written `field=value`."""
    group: Template | None = None
    """Cases with the same value are never divided between the working and the sealed part."""
    where: dict[str, Any] = {}
    """Keep only rows whose fields have these values."""

    @model_validator(mode="after")
    def _one_prompt(self) -> Self:
        if self.prompt is not None and self.messages is not None:
            raise ValueError("give `prompt` or `messages`, not both")
        return self
