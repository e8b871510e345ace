"""A data card: measures of a data set, taken before any training; JSON, with its own hash.

The only text it shows are answers that many rows share; of personal data it shows kinds and row numbers only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from tunegate.hashes import ascii_json, sha256_hex

UNKNOWN = "unknown"
"""The language of rows that are too short to recognise."""


@dataclass(frozen=True, slots=True)
class Lengths:
    """Tokens per row. `bins` are (first, last, rows); the last bin also contains all longer rows.

    `longer` counts the rows above `max_length`, of which `longer_rows` are the first; for text that is cut instead,
    `chunks` is the number of pieces.
    """

    how: str
    exact: bool
    of: int
    total: int
    shortest: int
    median: int
    p90: int
    p99: int
    longest: int
    bins: tuple[tuple[int, int, int], ...]
    max_length: int | None = None
    longer: int = 0
    longer_rows: tuple[int, ...] = ()
    chunks: int | None = None


@dataclass(frozen=True, slots=True)
class Repeated:
    """Rows that repeat an earlier row; `contradictions` are prompts with more than one answer."""

    exact: int
    rows: tuple[int, ...]
    contradictions: int


@dataclass(frozen=True, slots=True)
class Pii:
    """Personal data by kind. `of` rows were checked; `rows` are the first rows with some. `done`: kept or masked."""

    done: str
    of: int
    kinds: dict[str, int]
    rows: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class DataCard:
    """The measures of a data set. `sha256` is that of the examples trained on, as in the record of a run.

    `rows` were selected from the file, `trained` of them are trained on, `left_out` says why the others are not: the
    numbers add up. `of` in a part is the number of rows it was measured on.
    """

    file: str
    method: str
    rows: int
    trained: int
    sha256: str
    summary: str
    left_out: dict[str, int]
    left_out_rows: dict[str, list[list[int]]]
    lengths: Lengths
    repeated: Repeated
    pii: Pii
    answers: dict[str, int]
    different_answers: int
    labels: dict[str, int]
    tags: dict[str, int]
    different_tags: int
    languages: dict[str, int]
    language_fault: str = ""
    parts: dict[str, dict[str, int]] = field(default_factory=dict[str, dict[str, int]])

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; `card_sha256` is the hash of all the others."""
        values = json.loads(json.dumps(asdict(self)))
        return {**values, "card_sha256": sha256_hex(ascii_json(values))}


def card_from_json(values: Mapping[str, Any]) -> DataCard | None:
    """The card that `to_json` wrote; None if another version wrote it."""
    own: dict[str, Any] = {name: value for name, value in values.items() if name != "card_sha256"}
    try:
        lengths = Lengths(**own["lengths"])
        bins = tuple((int(low), int(high), int(rows)) for low, high, rows in lengths.bins)
        own |= {"lengths": replace(lengths, bins=bins, longer_rows=tuple(lengths.longer_rows))}
        own |= {"repeated": Repeated(**own["repeated"]), "pii": Pii(**own["pii"])}
        return DataCard(**own)
    except (KeyError, TypeError, ValueError):
        return None
