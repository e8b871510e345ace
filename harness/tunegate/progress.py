"""The progress bar of a gate on standard error, its replacement in a log, and durations in words."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Any, Protocol, Self, TextIO

from tunegate.text.printable import printable


class Progress(Protocol):
    """Called after each judged case, or after each of the `unit` that a step counts; the fake is `no_progress`."""

    def __call__(self, label: str, done: int, total: int, unit: str = "cases", /) -> None: ...


def no_progress(label: str, done: int, total: int, unit: str = "cases") -> None:
    """Say nothing."""


_BAR = "{desc}: |{bar}| {n_fmt} of {total_fmt} [{elapsed}]"
_BAR_AND_REST = _BAR.replace("{elapsed}", "{elapsed}, {remaining} left, {rate_fmt}")
"""No percentage: readers would mistake the progress of the gate for the pass rate of the model."""

FIRST_MINUTE_S, LATER_S = 10.0, 60.0
"""Seconds between two lines in a log: often at first, so that a slow gate is noticed soon, then once a minute."""

KNOWN_FROM, KNOWN_FROM_S = 2, 3.0
"""Pieces done, and seconds passed, before the remaining time can be estimated."""


def rate_of(done: int, elapsed_s: float) -> float | None:
    """Pieces per second; None while there is too little data to estimate it."""
    return done / elapsed_s if done >= KNOWN_FROM and elapsed_s >= KNOWN_FROM_S else None


def is_drawn_on(stream: TextIO) -> bool:
    """Whether a bar can be drawn there: on a terminal with at least one row and column.

    `script`, containers and some CI servers provide terminals of 0 rows, which show no bar; they are treated as logs.
    """
    if not stream.isatty():
        return False
    try:
        size = os.get_terminal_size(stream.fileno())
    except OSError:  # not a terminal device of this system: its size is unknown
        return True
    return size.lines > 0 and size.columns > 0


class _Shown(Protocol):
    def update(self, label: str, done: int, total: int, unit: str) -> None: ...
    def close(self) -> None: ...


class Bar:
    """Pieces of work done and left, their number per second, and the remaining time, for one label after another."""

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream or sys.stderr
        shown = _Drawn if is_drawn_on(self._stream) else _Logged
        self._shown: _Shown = shown(self._stream, clock)
        self._said = self._label = ""

    def update(self, label: str, done: int, total: int, unit: str = "cases") -> None:
        """Show that `done` of `total` cases of the gate `label` are judged; a total of 0 is not known yet.

        `unit` names what is counted instead of cases.
        """
        if label != self._said:  # once for a gate, not for each of its cases
            self._said, self._label = label, printable(label)
        self._shown.update(self._label, done, total, unit)

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        self._shown.close()
        print(printable(line), file=self._stream, flush=True)

    def close(self) -> None:
        """Take the bar away."""
        self._shown.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class _Drawn:
    """A bar that is redrawn in place and removed when its gate is done."""

    def __init__(self, stream: TextIO, clock: Callable[[], float]) -> None:
        self._stream = stream
        self._clock = clock
        self._bar: Any = None
        self._label = ""
        self._began = 0.0

    def update(self, label: str, done: int, total: int, unit: str) -> None:
        if self._bar is None or label != self._label:
            from tqdm import tqdm

            self.close()
            self._label, self._began = label, self._clock()
            self._bar = tqdm(
                total=total or None,
                initial=done,
                desc=label,
                unit=f" {unit}",
                leave=False,
                bar_format=_BAR,
                file=self._stream,
            )
        if rate_of(done - self._bar.initial, self._clock() - self._began) is not None:
            self._bar.bar_format = _BAR_AND_REST
        self._bar.update(done - self._bar.n)
        if done == total:
            self.close()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
        self._bar = None


class _Logged:
    """Lines for a log: none for a gate that takes less than ten seconds, later one a minute."""

    def __init__(self, stream: TextIO, clock: Callable[[], float]) -> None:
        self._stream = stream
        self._clock = clock
        self._label: str | None = None
        self._began = self._told = 0.0
        self._begun_with = 0

    def update(self, label: str, done: int, total: int, unit: str) -> None:
        now = self._clock()
        if label != self._label:
            self._label, self._began, self._told, self._begun_with = label, now, now, done
        elapsed = now - self._began
        due = self._told + (FIRST_MINUTE_S if elapsed <= 60 else LATER_S)
        if now >= due and self._begun_with < done and not total:
            self._told = now
            print(f"{label}: {done} done", file=self._stream, flush=True)
        elif now >= due and self._begun_with < done < total:
            self._told = now
            rate = rate_of(done - self._begun_with, elapsed)
            told = "" if rate is None else f", {rate:.2g} a second, about {duration(round((total - done) / rate))} left"
            print(f"{label}: {done} of {total} {unit}{told}", file=self._stream, flush=True)
        if done == total:
            self.close()

    def close(self) -> None:
        self._label = None


def duration(seconds: float) -> str:
    """Seconds in words: `8.3 s`, `41 s`, `3 min 10 s`, `1 h 10 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s".replace(".0 s", " s")
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
