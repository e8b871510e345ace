"""A limit on the computing time of a single call into C code."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager


class TooSlow(Exception):
    """The time limit was reached."""


@contextmanager
def time_limit(seconds: float) -> Generator[None]:
    """Raise TooSlow in the block when it computes for longer than `seconds`.

    This is CPU time of the process, not wall-clock time: a busy machine must not change what a check finds. It uses an
    alarm signal, which Python's regular expressions check while they run. If there is no such signal (outside the main
    thread, on Windows), the block runs without a limit. An alarm that other code has set is restored, minus the time
    that passed.
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
