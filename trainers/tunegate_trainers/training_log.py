"""The progress of a training in a log file: a plain line now and then, instead of a bar."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, TextIO

from transformers import TrainerCallback

from tunegate.progress import duration, rate_of
from tunegate.text.printable import printable

EVERY_S = 30.0
"""The minimum seconds between two lines."""


class LoggedProgress(TrainerCallback):
    """Prints the first step, the last, and one about every half minute: progress, loss or reward, and time left."""

    def __init__(self, label: str, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._label = printable(label)
        self._stream = stream
        self._clock = clock
        self._began = 0.0
        self._figure = ""
        self._first: tuple[int, float] | None = None  # step and time; the pace is measured from there
        self._told = 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._began = self._clock()

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        figure = _figure(logs or {})
        if not figure:  # the last entry of a log sums up the others
            return
        self._figure = figure
        step, now = state.global_step, self._clock()
        if self._first is None:
            self._first, self._told = (step, now), now
            self._say(state)
        elif now - self._told >= EVERY_S and step < state.max_steps:
            self._told = now
            rate = rate_of(step - self._first[0], now - self._first[1])
            self._say(state, None if rate is None else f"about {duration((state.max_steps - step) / rate)} left")

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._first is not None:
            self._say(state, f"took {duration(self._clock() - self._began)}")

    def _say(self, state: Any, time_told: str | None = None) -> None:
        if state.is_world_process_zero:
            told = ", ".join(
                part for part in (f"step {state.global_step} of {state.max_steps}", self._figure, time_told) if part
            )
            print(f"{self._label}: {told}", file=self._stream, flush=True)


def _figure(logs: Mapping[str, Any]) -> str:
    """The loss or reward of a step. A policy shows its reward, because its loss is always about zero."""
    name = next((name for name in ("reward", "loss") if name in logs), None)
    return "" if name is None else f"{name} {float(logs[name]):.3g}"
