"""The fields of a library's config classes, read from its sources without importing them.

Importing TRL's config classes takes seconds and torch; a typo in a pipeline file should be found in milliseconds.
"""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from tunegate.exceptions import MissingExtra, SettingError, nearest

Source = tuple[str, str] | tuple[str, str, str]
"""A package, a file in it, and a class in this file; without a class, all classes of the file."""

_NUMBERS = {"int": (int,), "float": (int, float)}


def check(given: Mapping[str, object], known: Mapping[str, str], where: str, what: str) -> None:
    """Raise ConfigError for a setting that is not in `known` (name to annotation), or whose value does not fit."""
    for name, value in given.items():
        if name not in known:
            raise SettingError(f"{where}.{name}", f"not {what}{nearest(name, known)}")
        if not _fits(value, known[name]):
            raise SettingError(f"{where}.{name}", f"expected {known[name]}, got {value!r}")


def _fits(value: object, annotation: str) -> bool:
    """Whether a value fits an annotation such as `float | None`; all but plain numbers, bools and strings passes."""
    options = {option.strip() for option in annotation.split("|")}
    if not options <= {"int", "float", "bool", "str", "None"}:
        return True
    if value is None:
        return "None" in options
    if isinstance(value, bool | str):
        return type(value).__name__ in options
    return any(isinstance(value, kinds) for name, kinds in _NUMBERS.items() if name in options)


@cache
def fields_of(*sources: Source) -> dict[str, str]:
    """Field name to annotation of the dataclasses in these sources; later ones win. Raises MissingExtra."""
    return {name: annotation for source in sources for name, annotation in _file_fields(*source).items()}


def _file_fields(package: str, file: str, only: str | None = None) -> dict[str, str]:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtra("training", "train", ImportError(f"no module named {package!r}"))
    source = Path(spec.submodule_search_locations[0], file).read_text(encoding="utf-8")
    classes = [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    return {
        statement.target.id: ast.unparse(statement.annotation)
        for node in classes
        if only is None or node.name == only
        for statement in node.body
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)
    }
