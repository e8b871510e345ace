"""An exclusive lock on an open file, released when its process ends: `flock`, or on Windows `msvcrt`."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from typing import Any

from tunegate.exceptions import ConfigError

_FAR_BYTE = 2**31 - 2
"""Windows locks bytes, not files, and a locked byte cannot be read: this byte is beyond the end of any record."""


def lock(fd: int, *, wait: bool) -> None:
    """Take the lock; with `wait` as soon as it is free, otherwise at once.

    Raises BlockingIOError if another process has the lock, ConfigError on a system without such locks.
    """
    for name, take in (("fcntl", _flock), ("msvcrt", _lock_byte)):
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        take(module, fd, wait)
        return
    raise ConfigError("records need file locks, but this Python has neither fcntl (Linux, macOS) nor msvcrt (Windows)")


def _flock(fcntl: Any, fd: int, wait: bool) -> None:
    fcntl.flock(fd, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)


def _lock_byte(msvcrt: Any, fd: int, wait: bool) -> None:
    """Retry for as long as it takes: `LK_LOCK` gives up after ten seconds."""
    while True:
        try:
            _at(fd, _FAR_BYTE, lambda: msvcrt.locking(fd, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1))
        except OSError as error:
            if not wait:
                raise BlockingIOError(error.errno, error.strerror) from error
        else:
            return


def _at(fd: int, offset: int, work: Callable[[], object]) -> None:
    """Run `work` at another position of the file, then restore the position."""
    before = os.lseek(fd, 0, os.SEEK_CUR)
    os.lseek(fd, offset, os.SEEK_SET)
    try:
        work()
    finally:
        os.lseek(fd, before, os.SEEK_SET)
