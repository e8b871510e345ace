"""The schema of a rules file: the changes that create the members of a group from a case."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from tunegate.reading.spec import Spec, Template, Templates, listed

Fields = Annotated[list[str], BeforeValidator(listed), Field(min_length=1)]
"""The fields of a row to change."""


class SwapSpec(Spec):
    """Replace a value with another wherever it appears as a whole word."""

    fields: Fields
    value: Template
    """The value to replace, for example `"{answer}"`."""
    by: Annotated[list[str], BeforeValidator(listed), Field(min_length=1)] | None = None
    """Possible new values. Default: the `value` of the other rows to which the rule applies."""


class ReplaceSpec(Spec):
    """Replace the matches of a regular expression."""

    fields: Fields
    find: str
    by: str
    """The new text; may contain groups of the expression: `\\1`."""
    if_found: bool = False
    """If true, continue when nothing matches; if false, the rule does not apply then."""

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
    """Keep only the first sentence that contains a text; if none does, the rule does not apply."""

    fields: Fields
    sentence_with: Template


class InsertSpec(Spec):
    """Add one of these sentences before or after a text."""

    fields: Fields
    sentences: Annotated[list[str], BeforeValidator(listed), Field(min_length=1)]
    at: Literal["start", "end"] = "end"


class TyposSpec(Spec):
    """Misspell this number of words by swapping two inner letters of each."""

    fields: Fields
    words: Annotated[int, Field(ge=1)] = 1
    spare: Templates = Field(default=[])
    """Texts whose words are not changed, for example `"{condition}"`."""


class CasingSpec(Spec):
    """Write a text in lower or upper case."""

    fields: Fields
    to: Literal["lower", "upper"] = "lower"


class ReorderSpec(Spec):
    """Change the order of the sentences."""

    fields: Fields


class ChangeSpec(Spec):
    """One change, under its name."""

    set: dict[str, Templates] | None = None
    """Maps a field to its new text, a template filled from the row; from a list, each case gets one."""
    swap: SwapSpec | None = None
    replace: ReplaceSpec | None = None
    keep: KeepSpec | None = None
    insert: InsertSpec | None = None
    typos: TyposSpec | None = None
    casing: CasingSpec | None = None
    reorder: ReorderSpec | None = None
    python: str | None = None
    """`module:function`, next to this file: takes a copy of the row and a `random.Random`, and returns the changed row,
    or None if it does not apply."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = sorted(self.model_fields_set)
        if len(given) != 1:
            raise ValueError(
                f"expected one change per item, got {', '.join(given) or 'none'}: start each change with a dash"
            )
        return self


class RuleSpec(Spec):
    """A rule: the rows to which it applies, and its changes in order."""

    name: Annotated[str, Field(min_length=1)]
    kind: Literal["directional", "invariant", "minimum"]
    """directional: the answer must change. invariant, minimum: it must stay the same."""
    where: dict[str, Any] = Field(default={})
    """Only rows whose fields have these values."""
    change: Annotated[list[ChangeSpec], Field(min_length=1)]


class RulesSpec(Spec):
    """A rules file."""

    rules: Annotated[list[RuleSpec], Field(min_length=1)]
    needs: list[Literal["directional", "invariant", "minimum"]] = Field(default=[])
    """A case without members of these kinds is left out."""
    seed: int = 0

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [rule.name for rule in self.rules]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"two rules have the name {twice!r}; rename one of them")
        return self
