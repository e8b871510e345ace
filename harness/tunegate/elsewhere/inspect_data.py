"""Imports a data set of Inspect: rows with `input` and `target`, and perhaps `choices` and `id`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tunegate.elsewhere.task import Task
from tunegate.exceptions import ConfigError
from tunegate.reading.rows import Row, read_rows

TOOL = "Inspect"
REFUSED = ("files", "sandbox", "setup")
"""The fields of a sample that need a sandbox."""


def recognises(first: Mapping[str, Any]) -> bool:
    """Whether a row is a sample of Inspect."""
    return {"input", "target"} <= first.keys()


def read(path: Path) -> Task:
    """The samples as a suite, judged by `choice` if they have choices, otherwise by `exact`."""
    rows = list(read_rows(path))
    made = [_row(path, number, row) for number, row in rows]
    with_choices = sum("choices" in row for row in made)
    if 0 < with_choices < len(made):
        raise ConfigError(
            f"{path}: {with_choices} of {len(made)} samples have choices; split the file; nothing was imported"
        )
    return Task(TOOL, path.stem, made, ["choice" if with_choices else "exact"], notes=_notes(bool(with_choices)))


def _notes(with_choices: bool) -> list[str]:
    if not with_choices:
        return []
    return ["`choice` compares the likelihoods of the choices; Inspect's multiple_choice asks for a letter"]


def _row(path: Path, number: int, row: Row) -> Row:
    where = f"{path}:{number}"
    if fields := [name for name in REFUSED if row.get(name)]:
        raise ConfigError(f"{where}: {fields[0]}: a sample with a sandbox cannot be imported; nothing was imported")
    for name in ("input", "target"):
        if row.get(name) in (None, "", []):
            raise ConfigError(f"{where}: {name}: the field is missing or empty; nothing was imported")
    given, target = row["input"], row["target"]
    case: Row = {"messages" if isinstance(given, list) else "prompt": given}
    case["references"] = target if isinstance(target, list) else [target]
    case |= {"id": str(row["id"])} if row.get("id") not in (None, "") else {}
    return {**case, "choices": row["choices"]} if row.get("choices") else case
