"""The path of a suite file that a user names: next to the file that names it, or shipped with Tunegate."""

from __future__ import annotations

from pathlib import Path

from tunegate.exceptions import NotThere, nearest
from tunegate.reading.files import resolve

BUILTIN = "package:tunegate_suites/data"


def suite_place(entry: str, base_dir: Path) -> Path:
    """The path of a suite file; `builtin:NAME` ships with Tunegate. Raises NotThere for an unknown NAME."""
    if not entry.startswith("builtin:"):
        return resolve(entry, base_dir)
    name, shipped = entry.removeprefix("builtin:"), resolve(BUILTIN, base_dir)
    path = shipped / f"{name}.yaml"
    if not path.is_file():
        known = nearest(name, (suite.stem for suite in shipped.glob("*.yaml")))
        raise NotThere(f"{entry}: Tunegate ships no suite with this name{known}")
    return path
