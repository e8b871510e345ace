"""Whole processes, measured from outside: wall seconds and peak memory."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Cost:
    """What one process took. `peak_mib` is its largest resident size.

    `cpu_seconds` also counts the processes that it started, and `tree_mib` adds their memory, as far as it was seen:
    it is looked at ten times a second.
    """

    seconds: float
    peak_mib: float
    exit_code: int
    cpu_seconds: float = 0.0
    tree_mib: float = 0.0


def measure(command: Sequence[str], cwd: str | None = None, output: Path | None = None) -> Cost:
    """Run a command to its end; its output goes to a file, or is thrown away."""
    started = time.perf_counter()
    with Path(os.devnull if output is None else output).open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.DEVNULL, cwd=cwd)
    ended, peak = threading.Event(), [0.0]
    watcher = threading.Thread(target=_watch, args=(process.pid, ended, peak))
    watcher.start()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    ended.set()
    watcher.join()
    process.returncode = os.waitstatus_to_exitcode(status)
    own = usage.ru_maxrss / 1024
    return Cost(seconds, own, process.returncode, usage.ru_utime + usage.ru_stime, max(own, *peak))


def _watch(root: int, ended: threading.Event, peak: list[float]) -> None:
    while not ended.wait(0.1):
        peak[0] = max(peak[0], sum(map(_resident_mib, _tree(root))))


def _tree(root: int) -> list[int]:
    """A process and its children (Linux; elsewhere only the process)."""
    found = [root]
    for pid in found:
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            with suppress(OSError):
                found += map(int, children.read_text().split())
    return found


def _resident_mib(pid: int) -> float:
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    return 0.0


def tree_cpu_seconds(root: int) -> float:
    """Processor seconds so far of a process and of its children that still run (Linux)."""
    ticks = 0
    for pid in _tree(root):
        with suppress(OSError):
            after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(after_name[11]) + int(after_name[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def median_cost(command: Sequence[str], runs: int, cwd: str | None = None) -> Cost:
    """The run of median time, after one that is not counted."""
    measure(command, cwd)
    return sorted((measure(command, cwd) for _ in range(runs)), key=lambda cost: cost.seconds)[runs // 2]
