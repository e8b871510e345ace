"""Reading files that users write. Every fault is a ConfigError in one line with the file and what to do."""

from __future__ import annotations

import codecs
import errno
import importlib.util
import os
from pathlib import Path
from typing import IO

from tunegate.exceptions import ConfigError, NotThere, nearest

PIPELINE_FILE = "tunegate.yaml"
"""The file that commands read if no file is named, and that they suggest if a folder is named."""


def read_text(path: Path, max_bytes: int) -> str:
    """The text of a file in UTF-8, or in the encoding of its byte-order mark; the mark is removed."""
    check_size(path, max_bytes)
    with open_text(path) as file:
        try:
            return file.read()
        except UnicodeDecodeError as error:
            raise ConfigError(f"{path}: not UTF-8 (byte {error.start}); save the file as UTF-8") from error


def open_text(path: Path) -> IO[str]:
    """A text file for reading, in UTF-8 or in the encoding of its byte-order mark."""
    try:
        with path.open("rb") as file:
            start = file.read(4)
        return path.open(encoding=encoding_of(start), newline="")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error


def encoding_of(start: bytes) -> str:
    """The encoding of a text by its first four bytes. The byte-order mark is not part of the text."""
    marked = next((name for mark, name in _MARKS if start.startswith(mark)), None)
    if marked is None and start.count(0) == 2:  # without a mark: every other byte of ASCII letters is 0
        return "utf-16-le" if start[1::2] == b"\0\0" else "utf-16-be"
    return marked or "utf-8-sig"


_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),  # first, since it begins with the mark of UTF-16
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def check_size(path: Path, max_bytes: int) -> None:
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        raise NotThere(f"{path}: no such file{_neighbour(path)}") from None
    except (OSError, ValueError) as error:
        _refuse_impossible(path)
        raise ConfigError(f"{path}: cannot be read: {one_line(error)}") from error
    if path.is_dir():
        raise NotThere(f"{path}: a file was expected, got a folder{_pipeline_in(path)}")
    if size == 0:
        raise ConfigError(f"{path}: the file is empty")
    if size > max_bytes:
        raise ConfigError(
            f"{path}: the file has {size / 2**20:,.0f} MiB; at most {max_bytes / 2**20:,.0f} MiB are read: split it"
        )


def _refuse_impossible(path: Path) -> None:
    """Raise NotThere for a name that no file can have; `Path.exists` would raise on it."""
    try:
        os.stat(path)
    except OSError as error:
        if error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
            shown = str(path) if len(str(path)) < 200 else f"{str(path)[:200]}…"
            raise NotThere(f"{shown}: no such file: {error.strerror}") from error
    except ValueError as error:  # a NUL, or half a character
        raise NotThere(f"{str(path)!r:.200}: no such file: {one_line(error)}") from error


def _neighbour(path: Path) -> str:
    return nearest(path.name, os.listdir(path.parent)) if path.parent.is_dir() else ""


def _pipeline_in(folder: Path) -> str:
    file = folder / PIPELINE_FILE
    return f"; did you mean {file}?" if file.is_file() else ""


def one_line(error: object) -> str:
    return " ".join(str(error).split())


def resolve(path: str, base_dir: Path) -> Path:
    """A path written in a file, relative to that file's folder. `package:NAME/rest` is in an installed package."""
    if not path.startswith("package:"):
        try:
            place = base_dir / Path(path).expanduser()
        except RuntimeError as error:  # `~nobody/file`
            raise ConfigError(f"{path}: {one_line(error)}") from error
        _refuse_impossible(place)
        return place
    name, _, rest = path.removeprefix("package:").partition("/")
    spec = importlib.util.find_spec(name) if name.isidentifier() else None  # a dotted name would be imported
    if spec is None or not spec.submodule_search_locations:
        raise NotThere(f"{path}: the Python package {name!r} is not installed: pip install {name.replace('_', '-')}")
    return Path(spec.submodule_search_locations[0]) / rest


def model_place(model: str, base_dir: Path) -> str:
    """A model folder or file relative to the pipeline file; anything else (a hub id, `package:…`) is left as it is."""
    if model.startswith(("package:", "http://", "https://")):
        return model
    local = resolve(model, base_dir)
    return str(local) if local.exists() or model.startswith((".", "/", "~")) else model
