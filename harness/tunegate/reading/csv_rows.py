"""Rows of CSV files as spreadsheets write them: any delimiter, cells of any length, blank rows, Windows line breaks."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Generator, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, Any

from tunegate.exceptions import ConfigError
from tunegate.reading.cells import Cell

DELIMITERS = (",", "\t", ";", "|")
"""The delimiters that are tried if none is given, the most likely first."""
SAMPLE_ROWS = 50
"""How many rows a delimiter is tried on."""
LONGEST_CELL = 2**31 - 1
"""The module csv reads at most 131,072 characters by default; a C long on any system can hold this number."""

Open = Callable[[], IO[str]]
"""A function that opens the file at its start."""
Record = tuple[int, list[str]]
"""The line number on which a row begins, and its cells."""


def csv_rows(path: Path, open_file: Open, delimiter: str | None) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line, row) of a CSV file whose first row names the columns; a row's cells are `Cell`s.

    Rows without any text and columns without a name are left out. Line breaks inside cells become `\\n`. Raises
    ConfigError for a duplicated name, and for a row with more or fewer cells than names.
    """
    delimiter = delimiter or _declared(open_file) or sniffed(open_file)
    records = _records(path, open_file, delimiter)
    _, header = next(records, (1, list[str]()))
    if _spaced(header):
        records.close()
        records = _records(path, open_file, delimiter, spaced=True)
        _, header = next(records)
    _check_header(path, header)
    for line, cells in records:
        if not _fits(cells, len(header)):
            expected = f"{len(header)} column{' was' if len(header) == 1 else 's were'} expected, as in the first line"
            raise ConfigError(
                f"{path}:{line}: {expected}, got {len(cells)}, with {delimiter!r} as the delimiter; correct the row "
                "or set `delimiter`"
            )
        yield line, {name: Cell(_one_newline(cell)) for name, cell in zip(header, cells, strict=False) if name}


def _spaced(header: Sequence[str]) -> bool:
    """Whether a space follows each delimiter, as in `id, prompt, reference`: it is not part of the cells."""
    return len(header) > 1 and all(name.startswith(" ") for name in header[1:])


def _fits(cells: Sequence[str], columns: int) -> bool:
    """Whether a row has as many cells as there are columns, ignoring blank cells at its end."""
    return len(cells) >= columns and not any(cell.strip() for cell in cells[columns:])


def _declared(open_file: Open) -> str | None:
    """The delimiter that the first line names, if it is `sep=;` as Excel writes it."""
    with open_file() as file:
        told = _SEP.fullmatch(file.readline(8))
    return told[1] if told else None


_SEP = re.compile(r"sep=(.)\s*")


def sniffed(open_file: Open) -> str:
    """The delimiter that splits the first rows into the most columns, the same number in each; a comma if none does."""
    widths = {delimiter: _width(open_file, delimiter) for delimiter in DELIMITERS}
    return max(DELIMITERS, key=lambda delimiter: widths[delimiter])  # the first of those that are equal


def _width(open_file: Open, delimiter: str) -> int:
    """How many columns a delimiter gives for the first rows; 1 if the rows differ."""
    records = _records(Path(), open_file, delimiter)
    try:
        first, *others = [cells for _, cells in islice(records, SAMPLE_ROWS)] or [[""]]
    except ConfigError:
        return 1
    finally:
        records.close()
    return len(first) if all(_fits(cells, len(first)) for cells in others) else 1


def _records(path: Path, open_file: Open, delimiter: str, *, spaced: bool = False) -> Generator[Record]:
    """The rows that contain any text."""
    literal = delimiter == "\t" and _is_unquoted(open_file)
    quoting = csv.QUOTE_NONE if literal else csv.QUOTE_MINIMAL
    with open_file() as file:
        skipped = 1 if _SEP.fullmatch(file.readline(8)) else 0
        if not skipped:
            file.seek(0)
        reader = csv.reader(file, strict=True, delimiter=delimiter, skipinitialspace=spaced, quoting=quoting)
        while True:
            line = reader.line_num + skipped + 1
            try:
                cells = _next(reader)
            except csv.Error as error:
                raise ConfigError(f"{path}:{line}: not valid CSV: {error}") from error
            except UnicodeDecodeError as error:
                raise ConfigError(f"{path}:{line} or later: not UTF-8; save the file as UTF-8") from error
            if cells is None:
                return
            if any(cell.strip() for cell in cells):
                yield line, [_unquoted(cell) for cell in cells] if literal else cells


def _is_unquoted(open_file: Open) -> bool:
    """Whether each line of a tab-separated file is a row, so that quotation marks are normal characters.

    This is false if a quoted cell contains a tab or a line break: then lines have different numbers of tabs.
    """
    with open_file() as file:
        tabs = (line.count("\t") for line in file if line.strip())
        columns = next(tabs, 0)
        return columns > 0 and all(count == columns for count in tabs)


def _unquoted(cell: str) -> str:
    """A cell without the quotation marks around the whole cell."""
    return cell[1:-1].replace('""', '"') if _QUOTED.fullmatch(cell) else cell


_QUOTED = re.compile(r'"(?:[^"]|"")*"')


def _next(reader: Iterator[list[str]]) -> list[str] | None:
    """The next row, with cells of any length: the limit applies to the whole process and is restored at once."""
    limit = csv.field_size_limit(LONGEST_CELL)
    try:
        return next(reader, None)
    finally:
        csv.field_size_limit(limit)


def _check_header(path: Path, header: Sequence[str]) -> None:
    named = [name for name in header if name]
    twice = next((name for name in named if named.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"{path}:1: the column {twice!r} is duplicated; rename or delete one of the two")


def _one_newline(cell: str) -> str:
    return cell.replace("\r\n", "\n").replace("\r", "\n") if "\r" in cell else cell
