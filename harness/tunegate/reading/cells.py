"""Cells of CSV files: texts that may mean a number, a boolean or a list, which other formats write as such."""

from __future__ import annotations

import ast
import io
import json
import re
import tokenize
import warnings
from datetime import date
from decimal import Decimal
from itertools import pairwise
from typing import Any


class Cell(str):
    """The text of a CSV cell: a normal text that may also mean a number, a boolean or a list."""

    __slots__ = ()


TRUTHS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def truth(value: object) -> bool | None:
    """The boolean that a value means: true, 1, yes and so on, in any case, as text or number; None if it means none."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return TRUTHS.get(f"{value:g}")
    return TRUTHS.get(_WHOLE.sub("", value.strip().casefold())) if isinstance(value, str) else None


_WHOLE = re.compile(r"(?<=^[01])\.0+$")
"""The fraction that tables with empty cells add to a 1 or a 0."""


def same(value: object, wanted: object) -> bool:
    """Whether a field has the wanted value; for a CSV cell, whether its text is the written form of that value."""
    if isinstance(value, date | Decimal) and isinstance(wanted, str | int | float):
        return _written(value) == str(wanted)
    if not isinstance(value, Cell) or isinstance(wanted, str):
        return value == wanted
    if isinstance(wanted, bool):
        return value.strip().casefold() in ("true" if wanted else "false", "1" if wanted else "0")
    if isinstance(wanted, int | float):
        try:
            return float(value) == wanted
        except ValueError:
            return False
    return wanted is None and not value.strip()


def _written(value: date | Decimal) -> str:
    """A date as text, without the time if that is midnight; a decimal as its digits."""
    if isinstance(value, Decimal):
        return f"{value:f}".rstrip("0").rstrip(".") if "." in f"{value:f}" else f"{value:f}"
    return value.isoformat().removesuffix("T00:00:00")


def unfolded(text: str) -> Any:
    """The list or object that a text contains, as JSON or as Python, pandas or numpy print it; None for plain text."""
    if not text.strip().startswith(("[", "{")):
        return None
    for read in (json.loads, _literal, _with_arrays, _of_numpy):
        try:
            value: Any = read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError, tokenize.TokenError):
            continue
        if isinstance(value, list | dict):
            return value  # pyright: ignore[reportUnknownVariableType]
    return None


def _with_arrays(text: str) -> Any:
    """A list or object with arrays in it, as pandas writes it into a cell."""
    return _literal(_ARRAY.sub(r"\1", text))


_ARRAY = re.compile(r"\barray\((\[.*?\])(?:,\s*dtype=[^)]*)?\)", re.DOTALL)


def _of_numpy(text: str) -> Any:
    """A list as numpy prints an array: texts `['a' 'b']`, or objects on separate lines, both without commas."""
    first, *inside, last = [token for token in _tokens(text) if token.string.strip()]
    apart = all(one.end != other.start for one, other in pairwise(inside))
    if apart and {first.string, last.string} == {*"[]"} and all(one.type == tokenize.STRING for one in inside):
        return [ast.literal_eval(token.string) for token in inside]
    return _literal(re.sub(r"\}\n\s*\{", "},{", text))


def _tokens(text: str) -> list[tokenize.TokenInfo]:
    return list(tokenize.generate_tokens(io.StringIO(text.strip()).readline))


def _literal(text: str) -> Any:
    kinds = [token.type for token in _tokens(text) if token.type not in (tokenize.NL, tokenize.NEWLINE)]
    if any(one == other == tokenize.STRING for one, other in pairwise(kinds)):
        raise ValueError("there is no comma between the texts")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about a backslash in a text that is not an escape
        return ast.literal_eval(text.strip())
