"""Text from files and models, made safe to print: it moves no cursor, starts no line, and gives CI no command.

Ids, reasons and paths come from files and models; none may draw a verdict of its own on a terminal, or speak to the
server that reads the log of a build.
"""

from __future__ import annotations

import json
import re
from unicodedata import category

from tunegate.key_variables import value_without_keys, without_keys

_ACTIVE = {"Cc", "Cf", "Cs", "Zl", "Zp"}

# GitHub obeys `::command::` at the start of a line, and `##[command]` anywhere; Azure Pipelines `##vso[command]`,
# TeamCity `##teamcity[command]`.
_COMMAND = re.compile(r"(?m)^(?P<space>\s*):(?=:)|#(?=#[a-z]*\[)", re.IGNORECASE)


def printable(text: str) -> str:
    """One line: signs are escaped that would move the cursor, start a line, turn the direction of writing, or make
    the text a command to a CI server: `::error::` becomes `\\x3a:error::`. Keys in it are named, not shown."""
    text = without_keys(text)
    if not text.isprintable():
        text = "".join(char.encode("unicode_escape").decode() if category(char) in _ACTIVE else char for char in text)
    return without_commands(text)


def printable_lines(text: str) -> str:
    """The same for a text of several lines, which stay lines."""
    return "\n".join(printable(line) for line in text.split("\n"))


def without_commands(text: str) -> str:
    """The text with commands to CI servers escaped, and nothing else."""
    return _COMMAND.sub(_escaped, text) if "::" in text or "##" in text else text


def json_line(value: object) -> str:
    """The value as JSON on one line; a command in a string is written with an escape, and reads back as it was."""
    line = json.dumps(value_without_keys(value))
    return _COMMAND.sub(r"\\u0023", line) if "##" in line else line  # JSON does not begin with a colon


def _escaped(match: re.Match[str]) -> str:
    return r"\x23" if match["space"] is None else match["space"] + r"\x3a"
