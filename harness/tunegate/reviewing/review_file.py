"""The file that a page of `tunegate review` saves: a line about the page, and one for each answer that was judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, cast

from tunegate.exceptions import ConfigError
from tunegate.gates.people import REVIEW, prompt_sha256_of
from tunegate.reading.rows import Row, read_rows
from tunegate.reviewing.sheet import Kind

Word = Literal["right", "wrong", "can't tell"]
CANT_TELL: Word = "can't tell"
WORDS: tuple[Word, ...] = ("right", "wrong", CANT_TELL)
SIDES = ("left is better", "right is better", CANT_TELL)
HEADER = ("kind", "record_sha256", "rubric_sha256", "page_sha256", "reviewer")
Key = tuple[str, tuple[str, ...]]
"""The id of a case, and the hashes of the answer or answers that were shown, in order."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a reviewer said in one turn. `verdict` is right, wrong or can't tell; of a pair, the hash of the better
    answer or can't tell. `parts` are the marks of the rubric's items. Older files do not name the prompt."""

    line: int
    key: Key
    verdict: str
    parts: Mapping[str, str] = field(default_factory=dict[str, str])
    comment: str = ""
    order: int = 0
    repeat_of: int | None = None
    seconds: float = 0.0
    prompt_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class ReviewFile:
    """What one reviewer saved. `records` are the hashes of the reviewed gates; `settles` marks an adjudication."""

    path: Path
    kind: Kind
    records: tuple[str, ...]
    rubric_sha256: str
    page_sha256: str
    reviewer: str
    settles: bool
    saved: str
    rows: tuple[Said, ...]

    @property
    def first(self) -> dict[Key, Said]:
        """What was said at the first showing of each answer."""
        return {one.key: one for one in self.rows if one.repeat_of is None}


def read_review(path: Path) -> ReviewFile:
    """The file of one reviewer; raises ConfigError with the line at fault."""
    rows = list(read_rows(path))
    header = rows[0][1] if rows else {}
    if header.get("format") != REVIEW:
        raise ConfigError(f"{path}: not a file that a page of `tunegate review` saved: its first line is not a header")
    missing = [name for name in HEADER if not isinstance(header.get(name), str) or not header[name]]
    kind = header.get("kind")
    if missing or kind not in ("answers", "pairs"):
        raise ConfigError(f"{path}:1: {(missing or ['kind'])[0]}: missing or wrong; save the file again from its page")
    records = [str(header["record_sha256"]), *([str(header.get("against_sha256"))] if kind == "pairs" else [])]
    reviewer, saved = str(header["reviewer"]), str(header.get("saved"))
    if not _is_moment(saved):
        raise ConfigError(f"{path}:1: saved: expected a time such as 2026-11-30T10:00:00Z, got {saved!r:.60}")
    for number, row in rows[1:]:
        if row.get("reviewer") != reviewer:
            raise ConfigError(
                f"{path}:{number}: reviewer: expected {reviewer!r:.60} as on line 1, got {row.get('reviewer')!r:.60}"
            )
    said = tuple(_said(path, number, row, kind) for number, row in rows[1:])
    _check_turns(path, said)
    return ReviewFile(
        path,
        kind,
        tuple(records),
        str(header["rubric_sha256"]),
        str(header["page_sha256"]),
        reviewer,
        header.get("settles") is True,
        saved,
        said,
    )


def _said(path: Path, number: int, row: Row, kind: Kind) -> Said:
    place = f"{path}:{number}"
    shas = [row.get(name) for name in ("response_sha256", *(("other_sha256",) if kind == "pairs" else ()))]
    case_id, order, repeat_of = row.get("case_id"), row.get("order"), row.get("repeat_of")
    if not isinstance(case_id, str) or not all(isinstance(sha, str) for sha in shas) or not isinstance(order, int):
        raise ConfigError(f"{place}: expected case_id, response_sha256 and order, got {sorted(row)}")
    if repeat_of is not None and not isinstance(repeat_of, int):
        raise ConfigError(f"{place}: repeat_of: expected a number or null, got {repeat_of!r:.60}")
    allowed: Sequence[str] = SIDES if kind == "pairs" else WORDS
    label = _one_of(f"{place}: label", row.get("label"), allowed)
    given: Any = row.get("items") or {}
    if not isinstance(given, Mapping):
        raise ConfigError(f"{place}: items: expected a mapping, got {given!r:.60}")
    marks = cast("Mapping[object, object]", given)
    parts = {str(name): _one_of(f"{place}: items.{name}", mark, allowed) for name, mark in marks.items()}
    left_right = cast("list[str]", shas)
    better: dict[str, str] = dict(zip(SIDES, left_right, strict=False)) if kind == "pairs" else {}
    verdict = better.get(label, label)
    comment = str(row.get("comment") or "")
    seconds = row.get("seconds")
    return Said(
        line=number,
        key=(case_id, tuple(sorted(left_right))),
        verdict=verdict,
        parts=parts,
        comment=comment,
        order=order,
        repeat_of=repeat_of,
        seconds=float(seconds) if isinstance(seconds, int | float) else 0.0,
        prompt_sha256=prompt_sha256_of(row),
    )


def _is_moment(text: str) -> bool:
    try:
        return bool(datetime.fromisoformat(text))
    except ValueError:
        return False


def _one_of(place: str, value: object, allowed: Sequence[str]) -> str:
    if value not in allowed:
        raise ConfigError(f"{place}: expected one of {', '.join(allowed)}, got {value!r:.60}")
    return str(value)


def _check_turns(path: Path, said: Sequence[Said]) -> None:
    """Each turn once, each answer once but for repeats, and a repeat of the same answer."""
    turns: dict[int, Said] = {}
    first: dict[Key, Said] = {}
    for one in said:
        if one.order in turns:
            raise ConfigError(f"{path}:{one.line}: order {one.order} is on line {turns[one.order].line} too")
        turns[one.order] = one
        if one.repeat_of is None:
            if one.key in first:
                raise ConfigError(f"{path}:{one.line}: {one.key[0]!r} is on line {first[one.key].line} too")
            first[one.key] = one
        elif one.repeat_of not in turns or turns[one.repeat_of].key != one.key:
            raise ConfigError(f"{path}:{one.line}: repeat_of: turn {one.repeat_of} did not show this answer")
