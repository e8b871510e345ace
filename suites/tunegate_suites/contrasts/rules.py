"""The shape of a rules file: which changes make the members of a group out of a case."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from tunegate.reading.spec import Spec, Template, Templates, listed

Fields = Annotated[list[str], BeforeValidator(listed), Field(min_length=1)]
"""The fields of a row that are changed."""


class SwapSpec(Spec):
    """Put another value in the place of one, wherever it stands as a word of its own."""

    fields: Fields
    value: Template
    """What is there, as in `"{answer}"`."""
    by: Annotated[list[str], BeforeValidator(listed), Field(min_length=1)] | None = None
    """What may be put there. Default: what `value` is in the other rows that the rule is for."""


class ReplaceSpec(Spec):
    """Replace what a regular expression finds."""

    fields: Fields
    find: str
    by: str
    """May hold groups of the expression: `\\1`."""
    if_found: bool = False
    """Where it finds nothing, go on; else the rule does not apply."""

    @field_validator("find")
    @classmethod
    def _compiles(cls, find: str) -> str:
        try:
            re.compile(find)
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"not a regular expression: {error}: {find!r}") from None
        return find

    @model_validator(mode="after")
    def _groups_exist(self) -> Self:
        try:
            re.compile(self.find).sub(self.by, "")
            re.compile(f"(?:{self.find})|").sub(self.by, "")
        except (re.error, IndexError) as error:
            raise ValueError(f"`by` does not fit `find`: {error}: {self.by!r}") from None
        return self


class KeepSpec(Spec):
    """Keep only the first sentence that holds a text; where none does, the rule does not apply."""

    fields: Fields
    sentence_with: Template


class InsertSpec(Spec):
    """Put one of these sentences before or after a text."""

    fields: Fields
    sentences: Annotated[list[str], BeforeValidator(listed), Field(min_length=1)]
    at: Literal["start", "end"] = "end"


class TyposSpec(Spec):
    """Misspell so many words: two inner letters of a word change places."""

    fields: Fields
    words: Annotated[int, Field(ge=1)] = 1
    spare: Templates = Field(default=[])
    """Texts whose words stay as they are, such as `"{condition}"`."""


class CasingSpec(Spec):
    """Write a text in small or in capital letters."""

    fields: Fields
    to: Literal["lower", "upper"] = "lower"


class ReorderSpec(Spec):
    """Put the sentences into another order."""

    fields: Fields


class ChangeSpec(Spec):
    """One change, under its name."""

    set: dict[str, Templates] | None = None
    """Field to its new text, a template of the row; of several, each case gets one."""
    swap: SwapSpec | None = None
    replace: ReplaceSpec | None = None
    keep: KeepSpec | None = None
    insert: InsertSpec | None = None
    typos: TyposSpec | None = None
    casing: CasingSpec | None = None
    reorder: ReorderSpec | None = None
    python: str | None = None
    """`module:function`, beside this file: takes a copy of the row and a `random.Random`, returns the changed row, or
    None where it does not apply."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = sorted(self.model_fields_set)
        if len(given) != 1:
            raise ValueError(
                f"one change an item was expected, got {', '.join(given) or 'none'}: start each with a dash"
            )
        return self


class RuleSpec(Spec):
    """A rule: which rows it is for, and what it changes, one thing after the other."""

    name: Annotated[str, Field(min_length=1)]
    kind: Literal["directional", "invariant", "minimum"]
    """directional: the answer must become another. invariant, minimum: it must stay."""
    where: dict[str, Any] = Field(default={})
    """Only rows whose fields have these values."""
    change: Annotated[list[ChangeSpec], Field(min_length=1)]


class RulesSpec(Spec):
    """A rules file."""

    rules: Annotated[list[RuleSpec], Field(min_length=1)]
    needs: list[Literal["directional", "invariant", "minimum"]] = Field(default=[])
    """A case that gets no member of these kinds is left out."""
    seed: int = 0

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [rule.name for rule in self.rules]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"two rules are named {twice!r}; name each once")
        return self
