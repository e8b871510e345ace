"""A file of another tool, opened far enough to recognise the tool: its first JSON value, its lines."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from tunegate.elsewhere.node import Node
from tunegate.exceptions import ConfigError
from tunegate.reading.files import check_size, one_line, open_text, read_text

MAX_BYTES = 512 * 2**20
"""A results file may be as large as a file of rows."""
SUFFIXES = (".json", ".jsonl", ".ndjson", ".eval")
ZIP = b"PK\x03\x04"


@dataclass(frozen=True, slots=True)
class ResultsFile:
    """A file and its first JSON value: the whole document of a `.json` file, or the first line.

    `zipped`: the file is a zip archive, and `first` is empty.
    """

    path: Path
    first: Mapping[str, Any]
    zipped: bool = False

    def lines(self, tool: str) -> Iterator[Node]:
        """The rows of a file with one JSON object per line, each with its place."""
        with open_text(self.path) as file:
            number = 0
            while True:
                number += 1
                try:
                    line = file.readline()
                except UnicodeDecodeError as error:
                    raise ConfigError(f"{self.path}:{number} or later: not UTF-8; save the file as UTF-8") from error
                if not line:
                    return
                if line.strip():
                    place = f"{self.path}:{number}"
                    yield node_of(parsed(line, place), place, tool)

    def document(self, tool: str) -> Node:
        """The whole document of a `.json` file."""
        return Node(self.first, str(self.path), tool)


def node_of(value: object, place: str, tool: str) -> Node:
    """The value of a line; raises ConfigError unless it is an object."""
    node = Node(value, place, tool)
    _ = node.pairs
    return node


def opened(path: Path) -> ResultsFile | None:
    """The file, if another tool may have written it: JSON that begins with an object, or a zip archive; or None."""
    if path.suffix.lower() not in SUFFIXES or not path.is_file():
        return None
    check_size(path, MAX_BYTES)
    with path.open("rb") as file:
        if file.read(4) == ZIP:
            return ResultsFile(path, {}, zipped=True)
    first = _first(path)
    return ResultsFile(path, first) if first is not None else None


def _first(path: Path) -> Mapping[str, Any] | None:
    try:
        with open_text(path) as file:
            line = next((line for line in file if line.strip()), "")
        try:
            value = parsed(line, str(path))
        except ConfigError:
            value = parsed(read_text(path, MAX_BYTES), str(path))
    except (ConfigError, UnicodeDecodeError):
        return None
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else None


def parsed(text: str, place: str) -> Any:
    """The value of a JSON text as other tools write it: NaN and Infinity are read too, as Python writes them."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        cut = "the line is cut off or damaged" if error.pos >= len(text.rstrip()) - 1 else one_line(error.msg)
        raise ConfigError(f"{place}: not valid JSON: {cut}, at character {error.pos + 1}") from error
    except (ValueError, RecursionError) as error:
        limit = f" (at most {sys.get_int_max_str_digits()} digits in a number)" if isinstance(error, ValueError) else ""
        raise ConfigError(f"{place}: not valid JSON: {one_line(error)[:120]}{limit}") from error
