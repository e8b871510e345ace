"""Rows of JSONL, JSON, CSV, Parquet and text files and `datasets` folders, one at a time, with their numbers."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tunegate.exceptions import LISTED, ConfigError, NotThere, nearest
from tunegate.files import check_size, one_line, open_text, read_text
from tunegate.optional import optional_import

MAX_BYTES = 512 * 2**20
MAX_LINE_CHARS = 64 * 2**20

Row = dict[str, Any]


def read_rows(path: Path, split: str | None = None) -> Iterator[tuple[int, Row]]:
    """Yield (line or row number, row) of a `.jsonl`, `.json`, `.csv`, `.parquet`, `.txt` file or a `datasets` folder.

    Rows are read one at a time. A `.json` file holds one list of objects; in a `.txt` file blank lines stand between
    documents, each a row of its `text` and its first `line`. Raises ConfigError for anything else, with the line at
    fault.
    """
    if os.path.isdir(path):  # unlike Path.is_dir, False for a name that no file can have
        return _dataset_rows(path, split)
    reader = _READERS.get(path.suffix.lower())
    if reader is None and not os.path.exists(path):
        check_size(path, MAX_BYTES)
    if reader is None:
        known = ", ".join(_READERS)
        raise ConfigError(
            f"{path}: unknown kind of file {path.suffix!r}; rows are read from {known} or a data set folder"
        )
    check_size(path, MAX_BYTES)
    return _never_empty(path, reader(path))


def _never_empty(path: Path, rows: Iterator[tuple[int, Row]]) -> Iterator[tuple[int, Row]]:
    number = 0
    for number, row in rows:
        yield number, row
    if number == 0:
        raise ConfigError(f"{path}: the file has no rows")


def _jsonl_rows(path: Path) -> Iterator[tuple[int, Row]]:
    for number, line in _lines(path):
        if line.strip():
            yield number, _object(line, f"{path}:{number}")


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    with open_text(path) as file:
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
                    f"{path}:{number}: longer than {MAX_LINE_CHARS / 2**20:.0f} Mi characters; one row a line"
                )
            yield number, line


def _text_rows(path: Path) -> Iterator[tuple[int, Row]]:
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


def _object(text: str, where: str) -> Row:
    try:
        value = json.loads(text, parse_constant=_no_constant, object_pairs_hook=_unique_keys)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{where}: not valid JSON: {one_line(error)}") from error
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: a JSON object was expected, got {type(value).__name__}")
    return value  # pyright: ignore[reportUnknownVariableType]


def _unique_keys(pairs: list[tuple[str, Any]]) -> Row:
    row = dict(pairs)
    if len(row) != len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} stands twice")
    return row


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _json_rows(path: Path) -> Iterator[tuple[int, Row]]:
    try:
        data: Any = json.loads(read_text(path, MAX_BYTES), parse_constant=_no_constant, object_pairs_hook=_unique_keys)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not valid JSON: {one_line(error)}") from error
    if not isinstance(data, list):
        raise ConfigError(f"{path}: a list of objects was expected, got {type(data).__name__}")
    for number, row in enumerate(data, start=1):  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
        if not isinstance(row, dict):
            raise ConfigError(f"{path}: item {number}: a JSON object was expected, got {type(row).__name__}")  # pyright: ignore[reportUnknownArgumentType]
        yield number, row


def _csv_rows(path: Path) -> Iterator[tuple[int, Row]]:
    with open_text(path) as file:
        reader = csv.DictReader(file, strict=True)
        try:
            for row in reader:
                if None in row or None in row.values():
                    width = len(reader.fieldnames or [])
                    raise ConfigError(f"{path}:{reader.line_num}: {width} columns were expected, as in the first line")
                yield reader.line_num, dict(row)
        except csv.Error as error:
            raise ConfigError(f"{path}:{reader.line_num}: not valid CSV: {error}") from error
        except UnicodeDecodeError as error:
            raise ConfigError(f"{path}: not UTF-8; save the file as UTF-8") from error


def _parquet_rows(path: Path) -> Iterator[tuple[int, Row]]:
    arrow = optional_import("pyarrow", "data", f"{path}: reading Parquet")
    parquet = optional_import("pyarrow.parquet", "data", f"{path}: reading Parquet")
    number = 0
    try:
        for batch in parquet.ParquetFile(path).iter_batches():
            for row in batch.to_pylist():
                number += 1
                yield number, row
    except (arrow.ArrowException, OSError) as error:
        raise ConfigError(f"{path}: not valid Parquet: {one_line(error)}") from error


SAVED = ("dataset_info.json", "dataset_dict.json", "state.json")
"""One of them lies in every folder that `save_to_disk` writes; they hold no rows."""


def _row_files(folder: Path) -> list[str]:
    """The first files of a folder that rows can be read from."""
    return sorted(name for name in os.listdir(folder) if Path(name).suffix.lower() in _READERS)[:LISTED]


def _dataset_rows(path: Path, split: str | None) -> Iterator[tuple[int, Row]]:
    if not any((path / name).is_file() for name in SAVED) and (files := _row_files(path)):
        raise NotThere(f"{path}: a folder; name one of its files: {', '.join(files)}")
    datasets = optional_import("datasets", "data", f"{path}: reading a data set folder")
    try:
        data = datasets.load_from_disk(str(path))
    except Exception as error:
        raise ConfigError(f"{path}: not a data set folder (save_to_disk of `datasets`): {one_line(error)}") from error
    if isinstance(data, datasets.DatasetDict):
        if split not in data:
            raise ConfigError(f"{path}: name one of its splits with `split:`{nearest(split or '', data)}")
        data = data[split]
    yield from ((number, dict(row)) for number, row in enumerate(data, start=1))


_READERS: dict[str, Callable[[Path], Iterator[tuple[int, Row]]]] = {
    ".jsonl": _jsonl_rows,
    ".json": _json_rows,
    ".csv": _csv_rows,
    ".parquet": _parquet_rows,
    ".txt": _text_rows,
}
