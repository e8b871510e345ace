"""How a process of ours begins and ends: its three streams, the signal that ends it, and what arrives of its output."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
from collections.abc import Generator
from typing import NoReturn, TextIO


class Terminated(KeyboardInterrupt):
    """SIGTERM came: what Ctrl-C ends, it ends too, and what Ctrl-C leaves on record stays."""


def terminate_as_interrupted() -> None:
    """Let SIGTERM raise Terminated in the main thread."""
    signal.signal(signal.SIGTERM, _terminate)


def _terminate(*_: object) -> NoReturn:
    raise Terminated


@contextlib.contextmanager
def no_exit_but_ours() -> Generator[None]:
    """Let `os._exit` end this process with 3, whatever code it is given: a metric that ends with 0 has passed no gate.

    Processes that are forked within end as they like.
    """
    leave, ours = os._exit, os.getpid()

    def refuse(status: int) -> NoReturn:
        if os.getpid() == ours:
            with contextlib.suppress(Exception):
                sys.stderr.write(f"\ntunegate: a check or a model called os._exit({status}): no verdict\n")
                sys.stderr.flush()
            status = 3
        leave(status)

    os._exit = refuse
    try:
        yield
    finally:
        os._exit = leave


def open_streams() -> None:
    """Make three streams that can be used.

    One that was closed would be the next file that is opened: a record, say, into which results are printed. Nothing
    can be written to what standard output becomes then, so that no result is lost unnoticed.
    """
    for name, direction, mode in (
        ("stdin", os.O_RDONLY, "r"),
        ("stdout", os.O_RDONLY, "w"),
        ("stderr", os.O_WRONLY, "w"),
    ):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, direction), mode, closefd=False))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that has no emoji is no reason to fail


def flushed(exit_code: int) -> int:
    """The exit code, or 3 instead of 0 where output does not arrive: Python finds that out later, and ends with 120."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            give_up(stream)
            exit_code = exit_code or 3
    return exit_code


def give_up(stream: TextIO) -> None:
    """Let what is still to be written there go nowhere, so that nothing is said of it at exit either."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
