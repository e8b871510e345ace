"""Text from files and models, made safe to print: it cannot move the cursor, start a line or send CI a command.

Ids, reasons and paths come from files and models; they must not fake a verdict on a terminal or send commands to the
server that reads a build log.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import islice
from typing import TypeGuard, cast
from unicodedata import category

from tunegate.key_variables import value_without_keys, without_keys

_ACTIVE = {"Cc", "Cf", "Cs", "Zl", "Zp"}

# GitHub obeys `::command::` at the start of a line, and `##[command]` anywhere; Azure Pipelines `##vso[command]`,
# TeamCity `##teamcity[command]`.
_COMMAND = re.compile(r"(?m)^(?P<space>\s*):(?=:)|#(?=#[a-z]*\[)", re.IGNORECASE)


def printable(text: str) -> str:
    """One line: characters are escaped that would move the cursor, start a line, change the writing direction, or make
    the text a command to a CI server: `::error::` becomes `\\x3a:error::`. Secrets are replaced by their names."""
    text = without_keys(text)
    if not text.isprintable():
        text = "".join(char.encode("unicode_escape").decode() if category(char) in _ACTIVE else char for char in text)
    return without_commands(text)


def printable_lines(text: str) -> str:
    """The same for a text of several lines, which stay separate."""
    return "\n".join(printable(line) for line in text.split("\n"))


def without_commands(text: str) -> str:
    """The text with commands to CI servers escaped; the rest is unchanged."""
    return _COMMAND.sub(_escaped, text) if "::" in text or "##" in text else text


def json_line(value: object) -> str:
    """The value as JSON on one line; a command in a string is escaped, and reads back unchanged."""
    return _as_json(value_without_keys(value))


def _as_json(value: object) -> str:
    line = json.dumps(value)
    return _COMMAND.sub(r"\\u0023", line) if "##" in line else line  # JSON does not begin with a colon


ROWS_AT_ONCE = 1000


def _is_named(value: object) -> TypeGuard[dict[str, object]]:
    """Whether a value is an object that is not empty, with names as its keys."""
    found = cast("dict[object, object]", value) if isinstance(value, dict) else {}
    return bool(found) and all(isinstance(key, str) for key in found)


def json_pieces(value: object) -> Iterator[str]:
    """The same line in pieces. An iterator becomes a list, of which only some items are in memory at once.

    >>> "".join(json_pieces({"a": {"b": iter([1, 2])}, "c": [3]}))
    '{"a": {"b": [1, 2]}, "c": [3]}'
    """
    if isinstance(value, Iterator):
        rows, before = cast("Iterator[object]", value), "["
        while some := list(islice(rows, ROWS_AT_ONCE)):
            yield before + json_line(some)[1:-1]
            before = ", "
        yield "[]" if before == "[" else "]"
    elif _is_named(value):
        before = "{"
        for key, item in value.items():
            yield f"{before}{_as_json(key)}: "
            yield from json_pieces(item)
            before = ", "
        yield "}"
    else:
        yield json_line(value)


def _escaped(match: re.Match[str]) -> str:
    return r"\x23" if match["space"] is None else match["space"] + r"\x3a"
