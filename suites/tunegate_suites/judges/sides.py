"""The two sides of a column of human labels: which of its values pass, which fail, and which rows are left out.

Only named values count: a value must be named for a side, or the file is refused. A value that is not among those that
pass is not automatically a failure: it may be a blank cell, "skip" or another spelling.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from tunegate.exceptions import LISTED, ConfigError, nearest

BLANK = ""
"""No label: a blank cell, null, NaN, a field that the row does not have."""

PLAIN = (("true", "false"), ("1", "0"), ("yes", "no"), ("pass", "fail"), ("correct", "incorrect"))
"""Pairs of values, in upper or lower case, that are recognised without names if a column has only one such pair."""

REVIEWED: Mapping[str, bool | None] = {"right": True, "wrong": False, "can't tell": None}
"""What `tunegate review` writes; the row of an answer that people did not decide is left out."""

_WHOLE = re.compile(r"[-+]?\d+\.0+")


class Named(Protocol):
    """The values that a judge file names."""

    @property
    def passes(self) -> Sequence[str] | None: ...
    @property
    def fails(self) -> Sequence[str] | None: ...
    @property
    def skip(self) -> Sequence[str]: ...


@dataclass(frozen=True, slots=True)
class Scheme:
    """How to read human labels for a judge: its menu, the verdicts that pass, and whether it compares pairs."""

    menu: tuple[str, ...]
    passes: Callable[[str], bool]
    pairwise: bool


def spelled(value: Any) -> str:
    """A label as text: JSON's spelling, 4 for 4.0 (from a column with empty cells), and BLANK for a missing label.

    Raises ValueError for objects and lists.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return BLANK
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str | int | float):
        raise ValueError(f"a text, a number, true or false was expected, got {type(value).__name__}")
    text = str(value).strip()
    return text.partition(".")[0] if _WHOLE.fullmatch(text) else text


def sides_of(column: Sequence[tuple[int, str]], named: Named, scheme: Scheme) -> Mapping[str, bool | None]:
    """Whether each value of a column passes; None for a value whose rows are left out.

    `column` holds (line, `spelled` value). Raises ConfigError for a value on neither side.
    """
    counts = Counter(value for _, value in column)
    left_out: dict[str, bool | None] = dict.fromkeys(named.skip)
    if named.passes is None and named.fails is None:
        by_default = _by_default({value for value in counts if value != BLANK} - left_out.keys(), counts, scheme)
        known = {**by_default, **left_out}
    elif named.passes is None or named.fails is None:
        raise ConfigError(_one_side(counts, named))
    else:
        known = {**dict.fromkeys(named.passes, True), **dict.fromkeys(named.fails, False), **left_out}
    unknown = [(line, value) for line, value in column if value not in known]
    if unknown:
        raise ConfigError(_unknown(unknown, counts, known, named))
    return {value: known[value] for value in counts}


def _by_default(values: set[str], counts: Counter[str], scheme: Scheme) -> dict[str, bool | None]:
    """The first default reading in which all values have a side, or the reading that covers most values."""
    readings = _readings(values, scheme)
    return max(readings, key=lambda reading: sum(counts[value] for value in values if value in reading))


def _readings(values: set[str], scheme: Scheme) -> list[dict[str, bool | None]]:
    if scheme.pairwise:
        return [{"1": True, "2": False}]
    menu: dict[str, bool | None] = {label: scheme.passes(label) for label in scheme.menu}
    taken = {label.lower() for label in menu}
    # On a scale from 1 to 5, 1 and 0 are not a pair: 1 is the worst verdict.
    plain = [{passing: True, failing: False} for passing, failing in PLAIN if not taken & {passing, failing}]
    first = {**menu, **(plain[0] if "true" not in taken and "false" not in taken else {})}
    reviewed = [] if taken & REVIEWED.keys() else [REVIEWED]
    return [first, *(_any_case(reading, values) for reading in [first, *plain, *reviewed])]


def _any_case(reading: Mapping[str, bool | None], values: set[str]) -> dict[str, bool | None]:
    lowered = {value.lower(): side for value, side in reading.items()}
    return {**reading, **{value: lowered[value.lower()] for value in values if value.lower() in lowered}}


# --- messages -------------------------------------------------------------------------------------------------------


def _one_side(counts: Counter[str], named: Named) -> str:
    given, missing = ("passes", "fails") if named.fails is None else ("fails", "passes")
    named_values = named.passes if named.fails is None else named.fails
    others = [value for value in counts if value not in (BLANK, *(named_values or ()), *named.skip)]
    wanted = json.dumps(others, ensure_ascii=False) if len(others) == 1 else "[...]"
    return (
        f"labels.{given} is set but labels.{missing} is not, and only named values are labels"
        f"{_absent(named_values or (), counts)}; {_contents(counts)}; add {missing}: {wanted} to the labels of the "
        "judge file"
        f"{_blanks_out(counts, named)}"
    )


def _unknown(
    unknown: Sequence[tuple[int, str]], counts: Counter[str], known: Mapping[str, bool | None], named: Named
) -> str:
    line, value = next(((line, value) for line, value in unknown if value != BLANK), unknown[0])
    if value == BLANK:
        return (
            f"{counts[BLANK]} rows have no human label, first row {line}; {_contents(counts)}"
            f"{_blanks_out(counts, named)}"
        )
    names = ", ".join(value or "blank" for value in known)
    return (
        f"row {line}: the human label {value!r} is none of {names}{nearest(value, filter(None, known))}; "
        f"{_contents(counts)}; name each value in the judge file with labels: "
        f"{{passes: [...], fails: [...]}}, or leave out its rows with skip: [{json.dumps(value, ensure_ascii=False)}]"
    )


def _absent(named_values: Sequence[str], counts: Counter[str]) -> str:
    """A note on a named value that is not in the column, with similar values."""
    missing = [value for value in named_values if value not in counts]
    return "".join(f"; no label is {value!r}{nearest(value, filter(None, counts))}" for value in missing[:1])


def _contents(counts: Counter[str]) -> str:
    shown = [f"{repr(value) if value else 'nothing'} ({count} rows)" for value, count in counts.most_common(LISTED)]
    more = f" and {len(counts) - LISTED} other values" if len(counts) > LISTED else ""
    return f"the column contains {', '.join(shown)}{more}"


def _blanks_out(counts: Counter[str], named: Named) -> str:
    if BLANK not in counts or BLANK in named.skip:
        return ""
    return '; leave out the rows without a label with labels: {skip: [""]}'
