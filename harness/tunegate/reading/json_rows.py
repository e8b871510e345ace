"""Rows in JSON, read strictly, so that every value that is read can be written again."""

from __future__ import annotations

import json
import math
from typing import Any, cast

from tunegate.exceptions import ConfigError
from tunegate.reading.files import one_line

Row = dict[str, Any]


def read_json(text: str, where: str) -> Any:
    """The value of a JSON text. Raises ConfigError for NaN, infinity, numbers too large for a float, duplicate keys."""
    text = text.rstrip("\r\n")  # an error at the end is then in the last line, and not behind it
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{where}: not valid JSON: {_explained(error, text)}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{where}: not valid JSON: {one_line(error)}") from error


def read_object(text: str, where: str) -> Row:
    """The row in a JSON text."""
    return as_row(read_json(text, where), where)


def as_row(value: Any, where: str) -> Row:
    """The value as a row; raises ConfigError unless it is an object."""
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: a JSON object was expected, got {type(value).__name__}")
    return value  # pyright: ignore[reportUnknownVariableType]


def _explained(error: json.JSONDecodeError, text: str) -> str:
    """What is wrong and where: the character, and the line if the text has several."""
    if "\n" in text.strip():
        return f"{error.msg} in line {error.lineno}, character {error.colno}"
    if not text.strip().startswith("{"):
        return f"{error.msg} at character {error.colno}, {one_line(text)[:40]!r}; expected one JSON object per line"
    if error.msg == "Extra data" or error.pos >= len(text.rstrip()) - 1:
        return f"{error.msg} at character {error.colno}; expected one whole JSON object on each line"
    return f"{error.msg} at character {error.colno}"


def is_list_of_objects(value: Any) -> bool:
    return isinstance(value, list) and bool(cast("list[Any]", value)) and all(map(_is_object, cast("list[Any]", value)))


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def rows_of(data: Row) -> list[Row]:
    """The rows of an object: those of the list inside it, those of its columns, or the object itself as one row."""
    wrapped = [name for name in WRAPPERS if is_list_of_objects(data.get(name))]
    if len(wrapped) == 1:
        return data[wrapped[0]]
    columns = list(data.values())
    if _are_lists(columns):
        return [dict(zip(data, values, strict=True)) for values in zip(*columns, strict=True)]
    if _are_numbered(columns):
        return [{name: column[number] for name, column in data.items()} for number in columns[0]]
    return [data]


WRAPPERS = ("data", "rows", "examples", "samples", "questions", "instances", "items")
"""The keys under which an object may hold the list of its rows, as in `{"version": 1, "data": [...]}`."""


def _are_lists(columns: list[Any]) -> bool:
    """Whether all values are columns of the same length, as `Dataset.to_dict` writes them; a chat is not a column."""
    lists = all(isinstance(column, list) for column in columns) and len({len(column) for column in columns}) == 1
    return lists and bool(columns[0]) and not any(_is_chat(column) for column in columns)


def _is_chat(column: list[Any]) -> bool:
    return is_list_of_objects(column) and all("role" in item or "from" in item for item in column)


def _are_numbered(columns: list[Any]) -> bool:
    """Whether all values are columns with row numbers as keys, as `DataFrame.to_json` writes them."""
    if not columns or not columns[0] or not all(map(_is_object, columns)):
        return False
    return all(column.keys() == columns[0].keys() for column in columns) and all(
        number.isdigit() for number in columns[0]
    )


def _unique_keys(pairs: list[tuple[str, Any]]) -> Row:
    row = dict(pairs)
    if len(row) != len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} is duplicated")
    return row


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON; write null or a text")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits[:40]} is too large for a number; write it as text")
    return number


_DECODER = json.JSONDecoder(parse_constant=_no_constant, parse_float=_finite, object_pairs_hook=_unique_keys)
"""Made once: `json.loads` would make one for each row."""
