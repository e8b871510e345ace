"""JSON as rows are written in it: strict, so that whatever is read could be written again."""

from __future__ import annotations

import json
import math
from typing import Any

from tunegate.exceptions import ConfigError
from tunegate.files import one_line

Row = dict[str, Any]


def read_json(text: str, where: str) -> Any:
    """The value of a JSON text. Raises ConfigError for NaN, infinity, numbers beyond a float's, and duplicate keys."""
    try:
        return json.loads(text, parse_constant=_no_constant, parse_float=_finite, object_pairs_hook=_unique_keys)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{where}: not valid JSON: {one_line(error)}") from error


def read_object(text: str, where: str) -> Row:
    """The row that a JSON text is."""
    return as_row(read_json(text, where), where)


def as_row(value: Any, where: str) -> Row:
    """The value, which must be an object."""
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: a JSON object was expected, got {type(value).__name__}")
    return value  # pyright: ignore[reportUnknownVariableType]


def _unique_keys(pairs: list[tuple[str, Any]]) -> Row:
    row = dict(pairs)
    if len(row) != len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} is duplicated")
    return row


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits[:40]} is too large for a number; write it as text")
    return number
