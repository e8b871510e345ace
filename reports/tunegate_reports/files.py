"""Write a report file completely, or leave the old one in place."""

from __future__ import annotations

from pathlib import Path

from tunegate.exceptions import CannotJudge
from tunegate.whole_files import write_whole


def write_atomically(path: Path, text: str) -> None:
    """`write_whole`; raises CannotJudge when the disk is full or the folder cannot be written."""
    try:
        write_whole(path, text)
    except OSError as error:
        raise CannotJudge(f"{path}: the report cannot be written: {error.strerror or error}") from error
