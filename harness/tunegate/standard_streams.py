"""How Tunegate's processes begin and end: standard streams, SIGTERM, and output that cannot be written."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
import threading
from collections.abc import Generator
from typing import NoReturn, TextIO


class Terminated(KeyboardInterrupt):
    """SIGTERM arrived: it ends the process as Ctrl-C does, with the same record on disk."""


def terminate_as_interrupted() -> None:
    """Let SIGTERM raise Terminated in the main thread."""
    signal.signal(signal.SIGTERM, _terminate)


def _terminate(*_: object) -> NoReturn:
    raise Terminated


def die_with_standard_input() -> None:
    """End this process at once when its standard input ends, whose other end belongs to the parent process.

    A child that outlived `kill -9` of its parent would go on for nobody, or race with what resumes its work. Checking
    the parent's id would be too late if the parent was killed first, and would find a launcher in between alive.
    """

    def watch() -> None:
        while os.read(0, 1):
            pass
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextlib.contextmanager
def no_exit_but_ours() -> Generator[None]:
    """Make `os._exit` end this process with 3 for every code: a metric that exits with 0 has not passed a gate.

    Forked processes keep their own exit codes.
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
    """Make sure that all three standard streams can be used.

    The number of a closed stream would be reused by the next opened file: results could be printed into a record.
    A closed standard output is replaced by a stream that refuses writes, so that no result is lost unnoticed.
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
            stream.reconfigure(errors="backslashreplace")  # do not fail on a terminal that cannot show emoji


def flushed(exit_code: int) -> int:
    """The exit code, or 3 instead of 0 if output cannot be written: Python would notice later, and exit with 120."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            give_up(stream)
            exit_code = exit_code or 3
    return exit_code


def give_up(stream: TextIO) -> None:
    """Discard what is still buffered for the stream, so that Python reports no error at exit either."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
