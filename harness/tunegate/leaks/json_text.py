"""Prompts written in JSON: their texts as lines, so that the question in `{"question": …, "options": […]}` is found."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, cast

_BEGINS = re.compile(r"""[{\[]\s*(?:"|\{)""")
_DECODER = json.JSONDecoder()
MOST_TRIES = 100
"""The maximum number of places to check for the beginning of JSON."""


def laid_out(text: str) -> str:
    """The text with each JSON object and list in it as lines: texts without their keys, the items of a list as items.

    Escapes are resolved. A text without JSON is returned unchanged.
    """
    pieces: list[str] = []
    at = tries = 0
    while tries < MOST_TRIES and (match := _BEGINS.search(text, at)) is not None:
        tries += 1
        try:
            value, end = _DECODER.raw_decode(text, match.start())
        except (ValueError, RecursionError):
            pieces.append(text[at : match.end()])
            at = match.end()
        else:
            pieces += [text[at : match.start()], "\n", *(f"{line}\n" for line in _lines(value))]
            at = end
    return "".join([*pieces, text[at:]]) if pieces else text


def _lines(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in cast("dict[str, Any]", value).items():
            mark = f"{key}. " if len(key) == 1 else ""  # {"A": …, "B": …}
            yield from (f"{mark}{line}" for line in _lines(item))
    elif isinstance(value, list):
        for item in cast("list[Any]", value):
            yield from (f"- {item}",) if isinstance(item, str) else _lines(item)
