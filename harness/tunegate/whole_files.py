"""Files and folders written whole: readers find the old or the new content, never a part, even after a power cut."""

from __future__ import annotations

import contextlib
import os
import uuid
from pathlib import Path


def write_whole(path: Path, text: str) -> None:
    """Write `text` as UTF-8 to `path`, creating its folder.

    A link, or anything that is not a regular file (`/dev/stdout`, a pipe, a device), is written into, not replaced.
    Lone surrogates, which are not valid UTF-8, are written as `\\udXXX`. Raises OSError.
    """
    content = text.encode("utf-8", "backslashreplace")
    if path.is_symlink() or (path.exists() and not path.is_file()):
        path.write_bytes(content)
    else:
        replace_file(path, content)


def replace_file(path: Path, content: bytes) -> None:
    """Put a file with this content at `path`, creating its folder; a link there is replaced. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = _drafted(path, content)
    try:
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    sync(path.parent)


def write_first(path: Path, content: bytes) -> None:
    """The same where several processes write one file: the first write wins, later writes change nothing."""
    draft = _drafted(path, content)
    with contextlib.suppress(FileExistsError):
        os.link(draft, path)
    draft.unlink()
    sync(path.parent)


def place_folder(draft: Path, place: Path) -> None:
    """Move a finished folder to its place, once all of it is on the disk. Raises OSError."""
    for path in draft.rglob("*"):
        if not path.is_symlink():
            sync(path)
    sync(draft)
    os.replace(draft, place)
    sync(place.parent)


def draft_of(path: Path) -> Path:
    """A unique name beside `path`, for a draft that later replaces `path`."""
    return path.with_name(f".{path.name[:100]}.{uuid.uuid4().hex}.partial")


def sync(path: Path) -> None:
    """Wait until a file's content, or a folder's names, are on disk; does nothing for folders that cannot be synced."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        if path.is_dir():
            return  # Windows cannot open a folder
        raise
    try:
        os.fsync(descriptor)
    except OSError:
        if not path.is_dir():
            raise
    finally:
        os.close(descriptor)


def _drafted(path: Path, content: bytes) -> Path:
    draft = draft_of(path)
    try:
        with draft.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    return draft
