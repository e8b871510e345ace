"""Field templates: `"{context}\\n\\n{question}"` filled from a row. Data is never evaluated, only looked up."""

from __future__ import annotations

import string
from collections.abc import Mapping
from typing import Any

from tunegate.exceptions import ConfigError, nearest


class MissingField(ConfigError):
    """A template names a field that the row does not have."""


def field_names(template: str) -> list[str]:
    """The fields that a template uses; raises ConfigError for anything but plain `{field}` and `{{`."""
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise ConfigError(f"template {template!r}: {error}; write a literal brace as '{{{{' or '}}}}'") from error
    names: list[str] = []
    for _, name, spec, conversion in parts:
        if name is None:
            continue
        if not name or spec or conversion or any(sign in name for sign in ".[]"):
            raise ConfigError(f"template {template!r}: only plain fields as in '{{question}}' can be filled in")
        names.append(name)
    return names


def fill(template: str, row: Mapping[str, Any]) -> str:
    """Fill a template from a row; numbers and truth values are written as JSON writes them."""
    pieces: list[str] = []
    for literal, name, _, _ in string.Formatter().parse(template):
        pieces.append(literal)
        if name is not None:
            pieces.append(as_text(look_up(name, row), name))
    return "".join(pieces)


def fill_list(template: str, row: Mapping[str, Any]) -> tuple[str, ...]:
    """Like `fill`, but a template that is one field holding a list gives one text for each item."""
    names = field_names(template)
    if len(names) == 1 and template == f"{{{names[0]}}}":
        value = look_up(names[0], row)
        if isinstance(value, list | tuple):
            items: list[Any] = list(value)  # pyright: ignore[reportUnknownArgumentType]
            return tuple(as_text(item, names[0]) for item in items)
    return (fill(template, row),)


def look_up(name: str, row: Mapping[str, Any]) -> Any:
    if name not in row:
        raise MissingField(f"the row has no field {name!r}{nearest(name, row)}")
    return row[name]


def as_text(value: Any, field: str) -> str:
    """The value of a field, or an item of its list, as a template has it."""
    if value is None:
        raise ConfigError(f"the field {field!r} is null where a text was expected")
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ConfigError(
            f"the field {field!r} holds half a character ({text[error.start]!r}): was it cut inside an emoji?"
        ) from error
    return text
