"""Field templates, `"{context}\\n\\n{question}"`, filled from a row; and the only place where a value becomes text.

A field is a column of the row, or a dotted path into it: `{answers.text}`. A path through a list of objects gives a
list; a number names one item of a list, from 0: `{choices.0.text}`. A name with special characters is written in
quotes: `{"a.b"}`. Data is never evaluated, only looked up.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, time
from decimal import Decimal
from functools import lru_cache
from typing import Any, cast

from tunegate.exceptions import ConfigError, nearest
from tunegate.reading.cells import Cell, unfolded
from tunegate.reading.files import one_line

PASSAGES = "\n\n"
"""The separator between the texts of a list that are joined into one text."""

_PIECE = re.compile(r'(?P<brace>\{\{|\}\})|\{(?P<field>(?:"[^"]*"|[^{}"])*)\}|(?P<text>[^{}]+)')
_PART = r'(?:"[^"]+"|[^."\[\]:!]+)'
_PATH = re.compile(rf"{_PART}(?:\.{_PART})*")


class MissingField(ConfigError):
    """A template names a field that the row does not have."""


# --- templates -----------------------------------------------------------------------------------------------------


@lru_cache
def pieces(template: str) -> tuple[tuple[str, str | None], ...]:
    """The parts of a template in order: (text, None) or ("", field). Raises ConfigError for anything else.

    Kept, since a template is filled for each row of a file.
    """
    return tuple(_pieces(template))


def _pieces(template: str) -> Iterator[tuple[str, str | None]]:
    at = 0
    while at < len(template):
        piece = _PIECE.match(template, at)
        if piece is None or (piece["field"] is not None and not _PATH.fullmatch(piece["field"])):
            raise ConfigError(
                f"template {template!r}: only plain fields can be filled in, such as {{question}} or "
                f"{{answers.text}}; write a name "
                "with other characters in quotes, and a literal brace as '{{' or '}}'"
            )
        yield (piece["text"] or (piece["brace"] or "")[:1], piece["field"])
        at = piece.end()


def field_names(template: str) -> list[str]:
    """The fields that a template uses, as it writes them; raises ConfigError for anything but fields and text."""
    return [name for _, name in pieces(template) if name is not None]


def headers(template: str) -> list[str]:
    """The first part of each field of a template: the column that it needs."""
    return [_path(name)[0] for name in field_names(template)]


def lone_field(template: str) -> str | None:
    """The field of a template that is one field and nothing else; None for any other template."""
    parts = pieces(template)
    return parts[0][1] if len(parts) == 1 else None


def check_literal(key: str, template: str | None, row: Mapping[str, Any]) -> None:
    """Raise ConfigError for a template that is a field name without braces: it would be the same text for every row."""
    if template is not None and template in row and not field_names(template):
        raise ConfigError(
            f"{key}: {template!r} is a field of the rows, but without braces it is the same text in every row; write "
            f"'{{{template}}}'"
        )


def check_unfilled(key: str, text: str | None, row: Mapping[str, Any]) -> None:
    """Raise ConfigError for a text with a field in braces in a place where fields are not filled in."""
    named = next((name for name in _IN_BRACES.findall(text or "") if name in row), None)
    if named is not None:
        raise ConfigError(
            f"{key}: '{{{named}}}' is a field of the rows, but fields are not filled in here, so the model would "
            "see the "
            "braces; put the field into the prompt, or the text into `messages`"
        )


_IN_BRACES = re.compile(r"(?<!\{)\{(\w+)\}(?!\})")


def fill(template: str, row: Mapping[str, Any]) -> str:
    """Fill a template from a row; `as_text` writes the values.

    Lists of texts are joined by blank lines if the template has more than this field; otherwise one text is expected.
    """
    name = lone_field(template)
    return fill_passages(template, row) if name is None else as_text(look_up(name, row), name)


def fill_passages(template: str, row: Mapping[str, Any]) -> str:
    """Like `fill`, but a field with a list of passages is joined even if it is the whole template."""
    return "".join(text if name is None else as_passages(look_up(name, row), name) for text, name in pieces(template))


def fill_list(template: str, row: Mapping[str, Any]) -> tuple[str, ...]:
    """Like `fill`, but a template that is one field with a list gives one text for each item."""
    name = lone_field(template)
    return (fill(template, row),) if name is None else as_texts(look_up(name, row), name)


def look_up(name: str, row: Mapping[str, Any]) -> Any:
    """The value of a field: of the column with this name, or at the end of this dotted path if there is none."""
    if name in row:
        return row[name]
    walked, *rest = _path(name)
    if walked not in row:
        raise MissingField(f"the row has no field {walked!r}{nearest(walked, row)}")
    value = row[walked]
    for key in rest:
        value = _inside(value, key, walked)
        walked = f"{walked}.{_spelled(key)}"
    return value


def _path(name: str) -> list[str]:
    return [part.strip('"') for part in re.findall(_PART, name)] if _PATH.fullmatch(name) else [name]


def _inside(value: Any, key: str, walked: str) -> Any:
    if isinstance(value, Cell):
        value = unfolded(value) or value
    if isinstance(value, list | tuple):
        items = cast("Sequence[Any]", value)
        if _ITEM.fullmatch(key):
            return _item(items, int(key), walked)
        found = [_inside(item, key, walked) for item in items]
        return [one for several in found for one in (several if isinstance(several, list) else [several])]  # pyright: ignore[reportUnknownVariableType]
    if is_missing(value):
        raise _null(walked)
    if not isinstance(value, Mapping):
        raise MissingField(f"the field {walked!r} holds {_kind(value)}, not an object, so it has no {key!r}")
    inner = cast("Mapping[str, Any]", value)
    if key not in inner:
        raise MissingField(f"the field {walked!r} has no {key!r}{nearest(key, map(str, inner))}")
    return inner[key]


_ITEM = re.compile(r"[0-9]{1,9}")


def _item(items: Sequence[Any], index: int, walked: str) -> Any:
    if index >= len(items):
        raise MissingField(
            f"the field {walked!r} holds a list of {len(items)} (counted from 0), so it has no item {index}"
        )
    return items[index]


def _spelled(key: str) -> str:
    return key if re.fullmatch(_PART, key) else f'"{key}"'


# --- values --------------------------------------------------------------------------------------------------------


def is_missing(value: object) -> bool:
    """Whether a field has no value: null, or NaN, which columns of numbers use instead of null."""
    return value is None or (isinstance(value, float | Decimal | date) and value != value)


def as_text(value: Any, field: str) -> str:
    """The text of a field's value for prompts, references and answers.

    Texts stay as they are. Numbers and booleans are written as in JSON, without a fraction that is zero: 42, 0.5, true.
    Dates are written as in ISO 8601, decimals with their digits, bytes must be UTF-8. Raises ConfigError with a remedy
    for a value that is not one text: null, NaN, infinity, lists, objects.
    """
    if is_missing(value):
        raise _null(field, value)
    match value:
        case str():
            return _whole_characters(value, field)
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float() | Decimal():
            return _number(value, field)
        case bytes():
            return _decoded(value, field)
        case date() | time():
            return value.isoformat()
        case _:
            raise ConfigError(f"the field {field!r}: a text was expected, got {_kind(value)}; {_remedy(value, field)}")


def as_texts(value: Any, field: str) -> tuple[str, ...]:
    """The texts of a list, or the text of a single value."""
    items = cast("Sequence[Any]", value) if isinstance(value, list | tuple) else [value]
    return tuple(as_text(item, field) for item in items)


def as_passages(value: Any, field: str) -> str:
    """The text of a value; the texts of a list are joined with blank lines between them."""
    return PASSAGES.join(as_texts(value, field))


def _null(field: str, value: object = None) -> ConfigError:
    got = "null" if value is None else "NaN (no value)"
    return ConfigError(f"the field {field!r}: a text was expected, got {got}; give it a value, or remove the row")


def _whole_characters(text: str, field: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ConfigError(
            f"the field {field!r} contains half a character ({text[error.start]!r}): was it cut inside an emoji?"
        ) from error
    return str(text)  # for a cell, only the text


EXACT = 2**53
"""Up to here, a floating-point number holds every whole number exactly."""


def _number(value: float | Decimal, field: str) -> str:
    if not math.isfinite(value):
        raise ConfigError(f"the field {field!r}: a text was expected, got infinity; give it a value")
    if isinstance(value, Decimal):
        return f"{value:f}"
    return str(int(value)) if value == int(value) and abs(value) <= EXACT else repr(value)


def _decoded(value: bytes, field: str) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"the field {field!r}: a text was expected, got bytes that are not UTF-8; write it as text"
        ) from error


def _kind(value: Any) -> str:
    match value:
        case Mapping():
            return "an object"
        case list() | tuple():
            return "a list"
        case str():
            return "a text"
        case bool() | int() | float():
            return "a number" if not isinstance(value, bool) else "a boolean"
        case _:
            return f"a value of type {type(value).__name__}"


def _remedy(value: Any, field: str) -> str:
    if isinstance(value, Mapping) and value:
        keys = [f"{field}.{_spelled(one_line(key))}" for key in cast("Mapping[str, Any]", value)]
        return f"name a field inside it by its path: {' or '.join(keys[:3])}"
    if isinstance(value, list | tuple):
        items = cast("Sequence[Any]", value)
        objects = [item for item in items if isinstance(item, Mapping)]  # pyright: ignore[reportUnknownVariableType]
        return _remedy(objects[0], field) if objects else "give one text, or one list of texts"
    return "write it as a text or a number"
