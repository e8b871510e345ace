"""Rows of JSONL, JSON, CSV, Parquet and text files and of `datasets` folders, one at a time, with their numbers."""

from __future__ import annotations

import gzip
import io
import os
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, cast

from tunegate.exceptions import LISTED, ConfigError, NotThere
from tunegate.reading.csv_rows import csv_rows
from tunegate.reading.files import check_size, encoding_of, one_line, open_text
from tunegate.reading.json_rows import Row, as_row, read_json, read_object, rows_of
from tunegate.reading.table_rows import dataset_rows, parquet_rows

__all__ = ["Row", "read_rows"]

MAX_BYTES = 512 * 2**20
"""For callers that hold all rows, and for kinds of file that are read as a whole or have rows of any length."""
MAX_BYTES_BY_LINE = 16 * 2**30
"""For callers that hold only some rows at a time, of a file with one object per line."""
MAX_LINE_CHARS = 64 * 2**20

Rows = Iterator[tuple[int, Row]]


def read_rows(
    path: Path, split: str | None = None, delimiter: str | None = None, *, most_by_line: int | None = None
) -> Rows:
    """Yield (line or row number, row) of a file, or of a folder that `save_to_disk` of `datasets` wrote.

    Rows are read one at a time. A `.json` file holds a list of objects (`rows_of` lists other forms), or one object per
    line, like `.jsonl` and `.ndjson` files. `.csv` and `.tsv` files name their columns in the first row; `delimiter`
    separates their cells, and is guessed if it is not given. In a `.txt` file blank lines separate documents; each
    document is a row with its `text` and the number of its first `line`. All of these may be compressed by gzip
    (`.jsonl.gz`), and may be UTF-16 with a byte-order mark. `split` names a split of a folder. A file may have at most
    `MAX_BYTES`, unpacked; a caller that does not hold the rows may allow more for one object per line: `most_by_line`.
    Raises ConfigError with the line at fault for anything else.
    """
    if os.path.isdir(path):  # unlike Path.is_dir, this is False for a name that no file can have
        _refuse_delimiter(path, delimiter)
        return _guarded(path, _folder_rows(path, split))
    kind = kind_of(path)
    if kind not in KINDS:
        if not os.path.exists(path):
            check_size(path, MAX_BYTES)
        raise ConfigError(
            f"{path}: unknown kind of file {path.suffix!r}; rows are read from {', '.join(KINDS)} (also compressed as "
            f".gz), or from a data set folder{'; save the sheet as CSV (UTF-8)' if kind in SHEETS else ''}"
        )
    most = MAX_BYTES if most_by_line is None or kind not in BY_LINE else most_by_line
    check_size(path, most)
    _refuse_foreign(path, kind)
    if kind not in DELIMITED:
        _refuse_delimiter(path, delimiter)
    rows = _guarded(path, _file_rows(path, kind, delimiter, most))
    return rows if split is None else _refuse_split(path, split, rows)


def kind_of(path: Path) -> str:
    """The file extension that decides how a file is read: `.csv` for `a.csv` and for `a.csv.gz`."""
    name = Path(path.stem) if path.suffix.lower() == ".gz" else path
    return name.suffix.lower()


def _file_rows(path: Path, kind: str, delimiter: str | None, most: int) -> Rows:
    if kind == ".parquet":
        return parquet_rows(path)
    if kind in DELIMITED:
        return csv_rows(path, lambda: _open(path), delimiter or DELIMITED[kind])
    return _jsonl_rows(path, most) if kind in BY_LINE else _READERS[kind](path)


FOREIGN = (
    (b"PK\x03\x04", "a zip archive (perhaps an Excel workbook); save the sheet as CSV (UTF-8)"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook; save the sheet as CSV (UTF-8)"),
    (b"PAR1", "a Parquet file; give it a name that ends in .parquet"),
    (b"version https://git-lfs", "a Git LFS pointer instead of the file; fetch the file with `git lfs pull`"),
    (b"<!doctype", "a web page instead of the file; download the file itself"),
    (b"<html", "a web page instead of the file; download the file itself"),
)
"""The first bytes of files that are not what their name says, and what to do about each."""


def _refuse_foreign(path: Path, kind: str) -> None:
    try:
        with path.open("rb") as file:
            start = file.read(64).lstrip()
    except OSError:
        return  # the reader of the rows reports it
    for mark, what in FOREIGN:
        if start[: len(mark)].lower() == mark.lower() and not (kind == ".parquet" and mark == b"PAR1"):
            raise ConfigError(f"{path}: this is {what}")


def _refuse_delimiter(path: Path, delimiter: str | None) -> None:
    if delimiter is not None:
        raise ConfigError(f"{path}: delimiter: only {' and '.join(DELIMITED)} files have a delimiter; leave it out")


def _refuse_split(path: Path, split: str, rows: Rows) -> Rows:
    """Raise ConfigError for a split of a file, with a suggestion if a field of its rows has this value."""
    _, first = next(rows)
    field = next((name for name in first if name.casefold() == "split"), None)
    meant = "to keep rows by the value of a field, write `where: {field: value}`"
    if field is not None:
        meant = f"did you mean `where: {{{field}: {split}}}`?"
    raise ConfigError(f"{path}: split: only a data set folder has splits, and this is a file; {meant}")


def _guarded(path: Path, rows: Rows) -> Rows:
    """The rows of a file, at least one; errors while they are read name the file."""
    number = 0
    try:
        for number, row in rows:
            yield number, row
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8; save the file as UTF-8") from error
    except (OSError, EOFError, zlib.error) as error:
        raise ConfigError(f"{path}: cannot be read: {one_line(error)}") from error
    if number == 0:
        raise ConfigError(f"{path}: the file has no rows")


# --- text, plain or compressed -------------------------------------------------------------------------------------


class _Bounded(gzip.GzipFile):
    """A compressed file that unpacks to at most `most` bytes: a few compressed bytes can hold any number of zeros."""

    def __init__(self, path: Path, most: int) -> None:
        super().__init__(path)
        self._most, self._given = most, 0

    def read(self, size: int | None = -1) -> bytes:
        return self._counted(super().read(self._most + 1 if size is None or size < 0 else size))

    def read1(self, size: int = -1) -> bytes:
        return self._counted(super().read1(size))

    def _counted(self, data: bytes) -> bytes:
        self._given += len(data)
        if self._given > self._most:
            raise OSError(f"the file has more than {self._most / 2**20:,.0f} MiB when unpacked; split it")
        return data


def _open(path: Path, most: int | None = None) -> IO[str]:
    """A text file for reading, unpacked if its first bytes are those of gzip, whatever its name."""
    with path.open("rb") as file:
        if file.read(2) != b"\x1f\x8b":
            return open_text(path)
    with gzip.open(path) as file:
        start = file.read(4)
    return io.TextIOWrapper(_Bounded(path, most or MAX_BYTES), encoding=encoding_of(start), newline="")


def _lines(path: Path, most: int | None = None) -> Iterator[tuple[int, str]]:
    with _open(path, most) as file:
        number = 0
        while True:
            number += 1
            try:
                line = file.readline(MAX_LINE_CHARS)
            except UnicodeDecodeError as error:
                raise ConfigError(f"{path}:{number} or later: not UTF-8; save the file as UTF-8") from error
            if not line:
                return
            if len(line) >= MAX_LINE_CHARS:
                raise ConfigError(
                    f"{path}:{number}: the line has more than {MAX_LINE_CHARS / 2**20:.0f} Mi characters; write one "
                    "row "
                    "per line"
                )
            yield number, line


# --- kinds of file -------------------------------------------------------------------------------------------------


def _jsonl_rows(path: Path, most: int | None = None) -> Rows:
    first = True
    for number, line in _lines(path, most):
        if first and _LIST.match(line):  # a list of objects in a file that is named as if it held one object per line
            check_size(path, MAX_BYTES)
            yield from _json_rows(path)
            return
        if line.strip():
            first = False
            yield number, read_object(line, f"{path}:{number}")


_LIST = re.compile(r"\s*\[\s*(?:\{|$)")


def _json_rows(path: Path) -> Rows:
    with _open(path) as file:
        text = file.read()
    if _is_lines(text):
        yield from _jsonl_rows(path)
        return
    data = read_json(text, str(path))
    if data and isinstance(data, dict):
        data = rows_of(cast("Row", data))
    if not isinstance(data, list):
        raise ConfigError(f"{path}: a list of objects was expected, got {type(data).__name__}")
    for number, row in enumerate(cast("list[Any]", data), start=1):
        yield number, as_row(row, f"{path}: item {number}")


def _is_lines(text: str) -> bool:
    """Whether a text has one object per line: its first line that is not blank is a whole object, and more follow."""
    first, _, rest = text.strip().partition("\n")
    return first.startswith("{") and first.rstrip().endswith("}") and bool(rest)


def _text_rows(path: Path) -> Rows:
    first, document = 0, list[str]()
    for number, line in _lines(path):
        if line.strip():
            first = first if document else number
            document.append(line.rstrip("\r\n"))
        elif document:
            yield first, {"text": "\n".join(document).strip(), "line": first}
            document = []
    if document:
        yield first, {"text": "\n".join(document).strip(), "line": first}


SAVED = ("dataset_info.json", "dataset_dict.json", "state.json")
"""Every folder that `save_to_disk` writes contains one of these; they hold no rows."""


def _folder_rows(path: Path, split: str | None) -> Rows:
    if not any((path / name).is_file() for name in SAVED) and (files := _row_files(path)):
        raise NotThere(f"{path}: a file was expected, got a folder; name one of its files: {', '.join(files)}")
    yield from dataset_rows(path, split)


def _row_files(folder: Path) -> list[str]:
    """The first files in a folder from which rows can be read."""
    return sorted(name for name in os.listdir(folder) if kind_of(Path(name)) in KINDS)[:LISTED]


BY_LINE = (".jsonl", ".ndjson")
"""The kinds of file that have one object per line."""
_READERS: dict[str, Callable[[Path], Rows]] = {
    ".json": _json_rows,
    ".txt": _text_rows,
}
SHEETS = (".xlsx", ".xls", ".ods")
DELIMITED: dict[str, str | None] = {".csv": None, ".tsv": "\t"}
"""The kinds of file with delimited cells, and the delimiter if it is fixed."""
KINDS = (".jsonl", ".json", ".csv", ".parquet", ".txt", ".ndjson", ".tsv")
