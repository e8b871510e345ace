"""Rows of training data that do not fit their method: counts and lists all of them in one line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tunegate.exceptions import ConfigError

KINDS_SHOWN = 3
RANGES_SHOWN = 20


class DataFaults(ConfigError):
    """The rows with faults, by fault; `fitting` rows have none."""

    def __init__(self, path: Path, faults: Mapping[str, Sequence[int]], fitting: int) -> None:
        self.path = path
        self.faults = {message: list(rows) for message, rows in faults.items()}
        self.fitting = fitting
        super().__init__(self._in_words())

    @property
    def count(self) -> int:
        return sum(map(len, self.faults.values()))

    def _in_words(self) -> str:
        """The first fault in full; if there are more, their number and the rows of each."""
        message, rows = next(iter(self.faults.items()))
        first = f"{self.path}:{rows[0]}: {message}"
        if self.count == 1:
            return first
        others = list(self.faults.items())[1:KINDS_SHOWN]
        more = len(self.faults) - 1 - len(others)
        parts = [f"the same in rows {ranges(rows)}"] if len(rows) > 1 else []
        parts += [f"rows {ranges(rows)}: {message}" for message, rows in others]
        parts += [f"and {more} other {'kind' if more == 1 else 'kinds'} of fault"] if more else []
        return f"{first} [{self.count} of {self.count + self.fitting} rows have faults; {'; '.join(parts)}]"


def counted(n: int, noun: str, plural: str = "") -> str:
    """`1 row`, `1,080 rows`; `plural` is for nouns with an irregular plural."""
    return f"{n:,} {noun if n == 1 else plural or f'{noun}s'}"


def usable_words(rows: int, left_out: Mapping[str, int]) -> str:
    """`1,080 rows, 900 usable; left out: repeats a row 80, part: test 100`: an attempt may train on fewer rows."""
    left = ", ".join(f"{why} {n:,}" for why, n in left_out.items())
    usable = rows - sum(left_out.values())
    return f"{counted(rows, 'row')}, {usable:,} usable" + (f"; left out: {left}" if left else "")


def ranges(numbers: Sequence[int], shown: int = RANGES_SHOWN) -> str:
    """Rising numbers in short form: `3, 7-19, 40`; of many ranges the first ones, and the number of other rows."""
    found: list[list[int]] = []
    for number in numbers:
        if found and found[-1][1] == number - 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    words = [str(low) if low == high else f"{low}-{high}" for low, high in found[:shown]]
    more = sum(high - low + 1 for low, high in found[shown:])
    return ", ".join(words) + (f" and {more} more" if more else "")
