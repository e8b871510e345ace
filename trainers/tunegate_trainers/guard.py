"""Run as a script: starts a command, and ends it with all that it started when whoever wants it is gone.

Its standard input is held open by that process, and ends however that ends. It leads a group of processes of its own,
so that a signal to the group reaches the command and what it started; it lets signals pass itself. It imports Python's
own library alone, and so starts in a moment.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

NOT_STARTED = 127
"""The exit code of a shell for a command that is not there."""
GRACE_S = 2.0
"""How long what a command leaves running may take to end, when it is told to."""
PR_SET_CHILD_SUBREAPER = 36
"""Of `prctl`, from linux/prctl.h."""


def main(words: list[str]) -> int:
    """Run the command; returns its exit code, or 128 and the number of the signal that ended it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)  # a handler, unlike "ignored", is not handed down to the command
    _adopt()
    try:
        command = subprocess.Popen(words, stdin=subprocess.DEVNULL)
    except OSError as error:
        sys.stderr.write(f"{words[0]}: {error.strerror}\n")
        return NOT_STARTED
    threading.Thread(target=_end_with_standard_input, daemon=True).start()
    code = command.wait()
    _end_what_is_left()
    return code if code >= 0 else 128 - code


def _adopt() -> None:
    """On Linux, what the command leaves behind becomes a child of this process, and so can be found."""
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _end_what_is_left() -> None:
    """What goes on after the command has ended might change the model after it was hashed."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.killpg(0, signal.SIGTERM)
    end = time.monotonic() + GRACE_S
    number = signal.SIGTERM
    while left := _descendants(os.getpid()):
        _send(number, left)
        time.sleep(0.02)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if time.monotonic() > end:
            number = signal.SIGKILL
        elif number == signal.SIGTERM:
            number = 0  # once is enough


def _end_with_standard_input() -> None:
    while os.read(0, 1):
        pass
    _send(signal.SIGKILL, _descendants(os.getpid()))  # some launchers put each worker into a group of its own
    os.killpg(0, signal.SIGKILL)


def _send(number: int, processes: list[int]) -> None:
    for process in processes:
        with contextlib.suppress(OSError):
            os.kill(process, number)


def _descendants(ancestor: int) -> list[int]:
    """The processes below one, where the system tells in /proc."""
    parents = dict(_parents())
    below = {ancestor}
    while more := {process for process, parent in parents.items() if parent in below} - below:
        below |= more
    return sorted(below - {ancestor})


def _parents() -> Iterator[tuple[int, int]]:
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            yield int(path.parent.name), int(path.read_text(errors="replace").rpartition(")")[2].split()[1])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
