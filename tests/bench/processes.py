"""Whole processes, measured from outside: wall seconds and peak memory."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cost:
    """What one process took. `peak_mib` is its largest resident size; `cpu_seconds` are those of all its threads."""

    seconds: float
    peak_mib: float
    exit_code: int
    cpu_seconds: float


def measure(command: Sequence[str], cwd: str | None = None) -> Cost:
    """Run a command to its end, its output thrown away."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=cwd)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    computing = usage.ru_utime + usage.ru_stime
    return Cost(time.perf_counter() - started, usage.ru_maxrss / 1024, process.returncode, computing)


def median_cost(command: Sequence[str], runs: int, cwd: str | None = None) -> Cost:
    """The run of median time, after one that is not counted."""
    measure(command, cwd)
    return sorted((measure(command, cwd) for _ in range(runs)), key=lambda cost: cost.seconds)[runs // 2]
