"""Keys and passwords in environment variables: keeps their values out of records, reports and terminals.

Otherwise a metric that prints its request, or a server that repeats the key it was sent, would leak them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

MIN_CHARS = 12
"""Shorter values may be ordinary words of a text, and protect nothing."""

_KEY = re.compile(r"(?:^|_)(?:API)?(?:KEYS?|TOKENS?|SECRETS?|PASS|PASSWORD|PASSWD|PW|AUTH|CREDENTIALS?)(?:_|$)", re.I)
_PLACE = ("/", "./", "../", "~")


def without_keys(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """The text, with each key replaced by the name of its variable in brackets.

    >>> without_keys("401 for sk-1234567890", {"OPENAI_API_KEY": "sk-1234567890"})
    '401 for [OPENAI_API_KEY]'
    """
    return _named(text, _keys(environment))


def value_without_keys(value: Any, environment: Mapping[str, str] = os.environ) -> Any:
    """The same for every string in a JSON value; object keys are unchanged."""
    keys = _keys(environment)
    return _mask(value, keys) if keys else value


def _mask(value: Any, keys: Sequence[tuple[str, str]]) -> Any:
    if isinstance(value, str):
        return _named(value, keys)
    if isinstance(value, Mapping):
        return {key: _mask(item, keys) for key, item in value.items()}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, list | tuple):
        return [_mask(item, keys) for item in value]  # pyright: ignore[reportUnknownVariableType]
    return value


def _named(text: str, keys: Sequence[tuple[str, str]]) -> str:
    for value, name in keys:
        if value in text:  # so that a subclass of str, such as a verdict, is not turned into str
            text = text.replace(value, f"[{name}]")
    return text


def _keys(environment: Mapping[str, str]) -> list[tuple[str, str]]:
    """(value, name) of each variable with a key, longest first: one key may be part of another."""
    names = filter(_names_a_key, environment)  # before the values: `os.environ` decodes each one that is read
    named = [(environment.get(name, ""), name) for name in names]
    keys = (pair for pair in named if len(pair[0]) >= MIN_CHARS and not pair[0].startswith(_PLACE))
    return sorted(keys, key=lambda pair: (-len(pair[0]), pair[1]))


@lru_cache(maxsize=1024)
def _names_a_key(name: str) -> bool:
    return _KEY.search(name) is not None
