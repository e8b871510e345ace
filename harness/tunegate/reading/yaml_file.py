"""YAML files with the line number of each key."""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tunegate.exceptions import ConfigError, NotThere
from tunegate.reading.files import one_line, read_text

MAX_BYTES = 4 * 2**20
MAX_NODES = 200_000
"""With anchors, a file of a few lines can contain billions of keys."""

DATA = (".jsonl", ".csv", ".parquet", ".txt")
"""Files of rows and texts: `load_yaml` refuses them by name instead of reporting their first bracket."""

KeyPath = tuple[str | int, ...]


class _Loader(yaml.SafeLoader):
    """YAML as people mean it: `1e-3` is a number; `yes`, `no`, `on`, `off`, `1:30`, `007` are texts, as in YAML 1.2."""


def _yaml_12_resolvers() -> dict[str, list[tuple[str, re.Pattern[str]]]]:
    resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items():
        kept = [(tag, regexp) for tag, regexp in pairs if tag not in _REPLACED]
        resolvers[first] = kept
    for tag, pattern, firsts in _RESOLVERS_12:
        for first in firsts:
            resolvers.setdefault(first, []).insert(0, (tag, re.compile(pattern)))
    return resolvers


_REPLACED = {f"tag:yaml.org,2002:{kind}" for kind in ("bool", "int", "float", "timestamp")}
_RESOLVERS_12 = [
    ("tag:yaml.org,2002:bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("tag:yaml.org,2002:int", r"^(?:[-+]?(?:0|[1-9][0-9]*)|0x[0-9a-fA-F]+)$", "-+0123456789"),
    (
        "tag:yaml.org,2002:float",
        r"^(?:[-+]?(?:[0-9]+\.[0-9]*(?:[eE][-+]?[0-9]+)?|\.[0-9]+(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+)"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$",
        "-+.0123456789",
    ),
]
_Loader.yaml_implicit_resolvers = _yaml_12_resolvers()


@dataclass(frozen=True)
class YamlFile:
    """A parsed YAML file with the line number of each key."""

    path: Path
    data: Any
    lines: Mapping[KeyPath, int]

    def error(self, keys: KeyPath, message: str) -> ConfigError:
        """A ConfigError that points at a key: `file.yaml:12: suites.facts.plan: message`."""
        known = keys
        while known and known not in self.lines:
            known = known[:-1]
        line = self.lines.get(known, 1)
        return ConfigError(f"{self.path}:{line}: {dotted(keys)}{': ' if keys else ''}{message}")

    @contextmanager
    def naming(self, keys: KeyPath) -> Generator[None]:
        """While a file named by a key is read: if the file does not exist, the error points at that key."""
        try:
            yield
        except NotThere as error:
            raise self.error(keys, str(error)) from error


def dotted(keys: KeyPath) -> str:
    """`("suites", "facts", "checks", 0)` as `suites.facts.checks[0]`."""
    text = ""
    for key in keys:
        text += f"[{key}]" if isinstance(key, int) else (f".{key}" if text else str(key))
    return text


def load_yaml(path: Path) -> YamlFile:
    """Parse one YAML document; refuses duplicate keys, tabs, and files that are not UTF-8."""
    if path.suffix.lower() in DATA and path.is_file():
        raise ConfigError(
            f"{path}: a YAML file was expected, got a data file; `tunegate data {path}` shows its contents"
        )
    text = read_text(path, MAX_BYTES)
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            lines: dict[KeyPath, int] = {}
            if node is not None:
                _note_lines(node, (), lines, path)
            data: Any = loader.construct_document(node) if node is not None else None  # pyright: ignore[reportUnknownMemberType]
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        hint = "; YAML indents with spaces, never with tabs" if _has_tab(text, line) else ""
        raise ConfigError(f"{path}:{line}: not valid YAML: {error.problem or error.context}{hint}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not valid YAML: {one_line(error)}") from error
    if data is None:
        raise ConfigError(f"{path}: the file is empty")
    return YamlFile(path, data, lines)


def _has_tab(text: str, line: int) -> bool:
    lines = text.splitlines()
    return 0 < line <= len(lines) and "\t" in lines[line - 1]


def _note_lines(node: yaml.Node, keys: KeyPath, lines: dict[KeyPath, int], path: Path) -> None:
    lines.setdefault(keys, node.start_mark.line + 1)
    if len(lines) > MAX_NODES:
        raise ConfigError(
            f"{path}: the file has more than {MAX_NODES:,} values, counting those behind anchors; put data into a "
            ".jsonl file"
        )
    if isinstance(node, yaml.MappingNode):
        for key_node, value_node in node.value:
            child = (*keys, str(key_node.value))
            if child in lines:
                raise ConfigError(
                    f"{path}:{key_node.start_mark.line + 1}: {dotted(child)}: the key is duplicated, "
                    f"first on line {lines[child]}"
                )
            lines[child] = key_node.start_mark.line + 1
            _note_lines(value_node, child, lines, path)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _note_lines(item, (*keys, index), lines, path)
