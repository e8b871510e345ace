"""How many requests a server is sent at once, found from its answers: additive increase, multiplicative decrease.

As TCP finds the rate of a connection (RFC 5681): the window doubles until more requests at once bring too few more
answers per second, then grows by an eighth at a time while that pays, and is halved when the server refuses a request
or does not answer in time. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, field

BEGIN = 8
"""The first window: as many requests at once as a single server is sent."""
WORTH = 0.5
"""A window that is larger by a share must raise the rate of answers by this part of the share to be kept."""
HOLD = 8
"""After this number of rounds without a gain, a larger window is tried again: a server may become faster."""

FEWEST = 16
"""Answers that tell a rate: they differ in length."""


@dataclass
class Window:
    """How many requests may be under way at a server; `most` bounds `size`.

    >>> window = Window(most=8)
    >>> window.refused()
    >>> window.size
    4
    """

    most: int
    size: int = 0
    _doubling: bool = True
    _hold: int = 0
    _seconds: list[float] = field(default_factory=list[float])
    _best_rate: float = 0.0
    _best_size: int = 0

    def __post_init__(self) -> None:
        self.size = self._best_size = min(self.most, self.size or BEGIN)

    def answered(self, seconds: float, *, full: bool) -> None:
        """Note an answer that took `seconds`. `full`: as many requests were under way as the window allows.

        The rate of a full window follows from the mean (Little's law), however unevenly the answers arrive. The first
        answers after a change of the window do not count: their requests were sent before it.
        """
        if not full:
            self._seconds.clear()
            return
        self._seconds.append(seconds)
        if len(self._seconds) >= self.size + max(self.size, FEWEST):
            counted = self._seconds[self.size :]
            self._end_round(self.size * len(counted) / max(sum(counted), 1e-9))
            self._seconds.clear()

    def refused(self) -> None:
        """Halve the window: the server has too many requests, or did not answer in time."""
        self.size = self._best_size = max(1, self.size // 2)
        self._doubling, self._best_rate, self._hold = False, 0.0, HOLD
        self._seconds.clear()

    def _end_round(self, rate: float) -> None:
        if self._hold:
            self._hold -= 1
        elif rate < self._best_rate * (1 + WORTH * (self.size / self._best_size - 1)):
            self.size, self._doubling, self._hold = self._best_size, False, HOLD
            return
        self._best_rate, self._best_size = rate, self.size
        if not self._hold:
            step = self.size if self._doubling else max(1, self.size // 8)
            self.size = min(self.most, self.size + step)
