"""`--timeout`, `--request` and `--key-env`: how a model behind a server is asked."""

from __future__ import annotations

import json
import os
from argparse import Namespace
from collections.abc import Sequence
from typing import Any

from tunegate.exceptions import ConfigError

FLAGS = {"timeout": "--timeout", "request": "--request", "key_env": "--key-env"}


def flags_given(options: Namespace) -> list[str]:
    """Those of the flags that the command line has."""
    return [flag for name, flag in FLAGS.items() if getattr(options, name) is not None]


def asking(options: Namespace) -> dict[str, Any]:
    """The fields of `OpenAIModel` that the options set; raises ConfigError for a value that cannot be used."""
    how: dict[str, Any] = {}
    if options.timeout is not None:
        if not 0 < options.timeout <= 86_400:
            raise ConfigError(f"--timeout: more than 0 and at most 86400 seconds were expected, got {options.timeout}")
        how["timeout_s"] = options.timeout
    if options.request:
        how["request"] = fields_of(options.request)
    if options.key_env is not None:
        if not os.environ.get(options.key_env):
            raise ConfigError(f"--key-env: the environment variable {options.key_env!r} is not set")
        how["key_variable"] = options.key_env
    return how


def fields_of(entries: Sequence[str]) -> dict[str, Any]:
    """`temperature=null` and `reasoning_effort=low` as fields; a value that is no JSON is a text."""
    fields: dict[str, Any] = {}
    for entry in entries:
        name, equals, value = entry.partition("=")
        if not name or not equals:
            raise ConfigError(f"--request: FIELD=VALUE was expected, such as temperature=null, got {entry!r}")
        if name in fields:
            raise ConfigError(f"--request: the field {name!r} is given twice")
        fields[name] = _value(value)
    return fields


def _value(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return text


def _refuse(constant: str) -> Any:
    raise ConfigError(f"--request: {constant} is no JSON; a number was expected")


def words(options: Namespace) -> list[str]:
    """The same options as words of a command line."""
    flags = [("--timeout", options.timeout), ("--key-env", options.key_env)]
    flags += [("--request", entry) for entry in options.request or ()]
    return [word for flag, value in flags if value is not None for word in (flag, str(value))]
