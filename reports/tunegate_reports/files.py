"""Writing a report file whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from tunegate.exceptions import CannotJudge


def write_atomically(path: Path, text: str) -> None:
    """Write `text` as UTF-8 to `path`, making its folder: a reader sees the old file or the new one, never a part.

    A link stays a link, to a new file. A device or a pipe is written to, never replaced. Lone surrogates, which no
    UTF-8 file can hold, are written as `\\udXXX`. Raises CannotJudge when the disk is full or the folder cannot be
    written.
    """
    temporary = None
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
                file.write(text)
            return
        place = path.resolve()
        place.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=place.parent, prefix=f".{place.name}.")
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            file.write(text)
        os.chmod(temporary, 0o644)
        os.replace(temporary, place)
    except OSError as error:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        raise CannotJudge(f"{path}: the report cannot be written: {error.strerror or error}") from error
