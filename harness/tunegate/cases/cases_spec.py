"""The schema of a suite's `cases`: which rows of which file are cases, and which field is which part of a case."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from tunegate.reading.spec import Delimiter, Spec, Template, Templates, Text, listed


class CasesSpec(Spec):
    """Where cases come from, and how a row becomes a case. Without templates, rows use the field names of a case."""

    path: str
    """A .jsonl, .json, .csv, .parquet or .txt file, or a folder saved by `datasets`, relative to this file."""
    split: str | None = None
    """The split of a `datasets` folder. For a file, `where` selects rows."""
    delimiter: Delimiter | None = None
    """The separator of the cells of a CSV file. Default: the most likely of comma, tab, semicolon and bar."""
    id: Template | None = None
    """Default: the row's `id`, or a hash of the question and the expected answer if it has none."""
    prompt: Template | None = None
    """Default: the row's `prompt`, or the chat in its field `messages` or `conversations`."""
    messages: str | None = None
    """The field with chat messages, instead of `prompt`. If the last message is the assistant's, it is the answer."""
    reference: Templates | None = None
    """Expected answers; one field with a list gives several. Default: the row's `reference` or `references`, or
    the answer at the end of its chat."""
    separator: Annotated[Text, Field(min_length=1)] | None = None
    """The separator of several references, or several choices, in one text, for example `;`."""
    context: Template | None = None
    """The text that the answer must be faithful to. Default: the row's `context`."""
    choices: Templates | None = None
    """Default: the row's `choices`: a list, or texts with labels (`{text: [...], label: [...]}`); a reference that is
    a label means the choice with this label."""
    tags: Annotated[list[str], BeforeValidator(listed)] | None = None
    """Fields, or paths such as `metadata.topic`, whose values become tags, written `field=value`."""
    group: Template | None = None
    """Cases with the same value are always in the same part, working or sealed."""
    where: dict[str, Any] = {}
    """Keep only rows whose fields have these values."""

    @model_validator(mode="after")
    def _one_prompt(self) -> Self:
        if self.prompt is not None and self.messages is not None:
            raise ValueError("give `prompt` or `messages`, not both")
        return self
