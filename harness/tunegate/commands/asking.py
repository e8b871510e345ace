"""`--timeout`, `--concurrency`, `--request` and `--key-env`: options for a model behind a server."""

from __future__ import annotations

import json
import os
from argparse import Namespace
from collections.abc import Sequence
from typing import Any

from tunegate.exceptions import ConfigError

FLAGS = {"timeout": "--timeout", "concurrency": "--concurrency", "request": "--request", "key_env": "--key-env"}
MOST_AT_ONCE = 1000


def flags_given(options: Namespace) -> list[str]:
    """The server options that are on the command line."""
    return [flag for name, flag in FLAGS.items() if getattr(options, name) is not None]


def asking(options: Namespace) -> dict[str, Any]:
    """The fields of `OpenAIModel` that the options set; raises ConfigError for a value that cannot be used."""
    how: dict[str, Any] = {}
    if options.timeout is not None:
        how["timeout_s"] = options.timeout
    if options.concurrency is not None:
        if options.concurrency > MOST_AT_ONCE:
            raise ConfigError(f"--concurrency: expected at most {MOST_AT_ONCE}, got {options.concurrency}")
        how["concurrency"] = options.concurrency
    if options.request:
        how["request"] = fields_of(options.request)
    if options.key_env is not None:
        if not os.environ.get(options.key_env):
            raise ConfigError(
                f"--key-env: the environment variable {options.key_env!r} is not set; set it to the server's key"
            )
        how["key_variable"] = options.key_env
    return how


def fields_of(entries: Sequence[str]) -> dict[str, Any]:
    """`temperature=null` and `reasoning_effort=low` as fields; a value that is not JSON is a string."""
    fields: dict[str, Any] = {}
    for entry in entries:
        name, equals, value = entry.partition("=")
        if not name or not equals:
            raise ConfigError(f"--request: expected FIELD=VALUE, such as temperature=null, got {entry!r}")
        if name in fields:
            raise ConfigError(f"--request: the field {name!r} is given twice; give it once")
        fields[name] = _value(value)
    return fields


def _value(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return text


def _refuse(constant: str) -> Any:
    raise ConfigError(f"--request: expected a JSON number, got {constant}")


def words(options: Namespace) -> list[str]:
    """The same options as command-line arguments."""
    flags = [("--timeout", options.timeout), ("--concurrency", options.concurrency), ("--key-env", options.key_env)]
    flags += [("--request", entry) for entry in options.request or ()]
    return [word for flag, value in flags if value is not None for word in (flag, str(value))]
