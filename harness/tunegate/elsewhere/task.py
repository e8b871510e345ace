"""A task of another tool as a suite: its cases as rows, the checks and settings, and notes for people."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from tunegate.exceptions import ConfigError
from tunegate.optional import optional_import
from tunegate.reading.files import one_line
from tunegate.reading.rows import Row
from tunegate.reading.yaml_file import KeyPath, YamlFile

SIMPLE = re.compile(r"\{\{\s*([A-Za-z_][\w.]*)\s*\}\}")
"""A placeholder in a template that is only the name of a field."""
MARKS = ("{{", "{%", "{#")


@dataclass(frozen=True, slots=True)
class Task:
    """A task that can be written as a suite.

    `rows` have the fields of a case: `id`, `prompt` or `messages`, `references`, `choices`. `notes` say where the suite
    differs from the tool.
    """

    tool: str
    name: str
    rows: Sequence[Row]
    checks: Sequence[Any]
    generate: Mapping[str, Any] = field(default_factory=dict[str, Any])
    answer: Mapping[str, Any] | None = None
    notes: Sequence[str] = ()


def refused(file: YamlFile, keys: KeyPath, why: str) -> ConfigError:
    """The error for a feature that a suite does not have. Such a feature is named, never dropped silently."""
    return file.error(keys, f"{why}; nothing was imported")


def as_mapping(file: YamlFile, keys: KeyPath, value: Any) -> Mapping[str, Any]:
    """The value as a mapping with string keys; None is an empty mapping."""
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in cast("Mapping[Any, Any]", value)):
        raise refused(file, keys, "a mapping was expected")
    return cast("Mapping[str, Any]", value)


def as_list(file: YamlFile, keys: KeyPath, value: Any) -> list[Any]:
    """The value as a list; None is an empty list."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise refused(file, keys, "a list was expected")
    return cast("list[Any]", value)


def as_text(file: YamlFile, keys: KeyPath, value: Any) -> str:
    """The value, which must be a text."""
    if not isinstance(value, str):
        raise refused(file, keys, "a text was expected")
    return value


def fill_template(template: str, row: Mapping[str, Any], where: str) -> str:
    """A Jinja template, filled from a row. Plain fields need no package; anything else is rendered in a sandbox.

    Raises ConfigError for a field that the row does not have, and for what the sandbox refuses.

    >>> fill_template("Q: {{question}}", {"question": "2+2?"}, "doc_to_text")
    'Q: 2+2?'
    """
    plain = SIMPLE.sub("", template)
    if not any(mark in plain for mark in MARKS):
        return SIMPLE.sub(lambda found: _field(found[1], row, where), template)
    what = f"{where}: a template with more than plain fields"
    jinja2 = optional_import("jinja2", "tasks", what)
    sandbox = optional_import("jinja2.sandbox", "tasks", what)
    environment = sandbox.ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    try:
        return environment.from_string(template).render(**row)
    except Exception as error:  # a template may raise whatever the methods of its values raise
        raise ConfigError(f"{where}: the template cannot be rendered in a sandbox: {one_line(error)[:160]}") from error


def _field(path: str, row: Mapping[str, Any], where: str) -> str:
    value: Any = row
    for part in path.split("."):
        if not isinstance(value, Mapping) or part not in value:
            known = ", ".join(map(str, list(row)[:12]))
            raise ConfigError(f"{where}: the row has no field {path!r} (known: {known})")
        value = value[part]  # pyright: ignore[reportUnknownVariableType]
    return str(value)  # pyright: ignore[reportUnknownArgumentType]
