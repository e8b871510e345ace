"""A limit on the computing time that a single call into C code may take."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager


class TooSlow(Exception):
    """The time is up."""


@contextmanager
def time_limit(seconds: float) -> Generator[None]:
    """Raise TooSlow in the block when it computes for longer than `seconds`.

    The time is the process's own, not that of a clock on the wall: a busy machine must not decide what a check finds.
    Works through an alarm signal, which Python's regular expressions look for while they run. Where there is none to
    be had (another thread than the main one, Windows) the block runs without a limit. An alarm that somebody else has
    set is put back, less the time that went by.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    def ring(*_: object) -> None:
        raise TooSlow

    started = time.process_time()
    handler = signal.signal(signal.SIGVTALRM, ring)
    left, interval = signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, handler)
        if left:
            signal.setitimer(signal.ITIMER_VIRTUAL, max(left - (time.process_time() - started), 0.001), interval)
