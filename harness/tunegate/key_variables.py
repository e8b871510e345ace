"""Keys and passwords in environment variables: their values reach no record, no report and no terminal.

A metric that prints its request, or a server that repeats the key it was sent, would otherwise leave them there.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

MIN_CHARS = 12
"""Shorter values are words that any text may hold, and keep nobody out."""

_KEY = re.compile(r"(?:^|_)(?:API)?(?:KEYS?|TOKENS?|SECRETS?|PASS|PASSWORD|PASSWD|PW|AUTH|CREDENTIALS?)(?:_|$)", re.I)
_PLACE = ("/", "./", "../", "~")


def without_keys(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """The text with the name of the variable, in brackets, in place of its value.

    >>> without_keys("401 for sk-1234567890", {"OPENAI_API_KEY": "sk-1234567890"})
    '401 for [OPENAI_API_KEY]'
    """
    for value, name in _keys(environment):
        if value in text:
            text = text.replace(value, f"[{name}]")
    return text


def value_without_keys(value: Any, environment: Mapping[str, str] = os.environ) -> Any:
    """The same for every text in a JSON value; keys of objects stay."""
    return _mask(value, environment) if _keys(environment) else value


def _mask(value: Any, environment: Mapping[str, str]) -> Any:
    if isinstance(value, str):  # a verdict, which is a text too, holds no key, and stays what it is
        masked = without_keys(value, environment)
        return masked if masked != value else value
    if isinstance(value, Mapping):
        return {key: _mask(item, environment) for key, item in value.items()}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, list | tuple):
        return [_mask(item, environment) for item in value]  # pyright: ignore[reportUnknownVariableType]
    return value


def _keys(environment: Mapping[str, str]) -> list[tuple[str, str]]:
    """(value, name) of each variable that holds a key, the longest first: one may be a part of another."""
    named = ((value, name) for name, value in environment.items() if len(value) >= MIN_CHARS and _KEY.search(name))
    return sorted((pair for pair in named if not pair[0].startswith(_PLACE)), key=lambda pair: (-len(pair[0]), pair[1]))
