"""The machine that times a model: its facts, and how much the time of one piece of work varies on it."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from tunegate.models.timing import Fact
from tunegate.processes import usable_cores
from tunegate.versions import installed_versions

REPEATS = 41
"""How often the same piece of work is timed. Odd, so that the median is one of the times."""
SLOW = 1.2
"""A repeat that takes this many times the median counts as slow."""
NOISY = 0.05
"""From this share of slow repeats, a limit in absolute time also judges what else the machine does."""


def repeat_share(clock: Callable[[], float] = time.perf_counter, work: Callable[[], object] | None = None) -> float:
    """The share of repeats of the same piece of work (a few milliseconds) that take over 1.2 times the median.

    >>> ticks = iter(range(1000))
    >>> repeat_share(lambda: float(next(ticks)), lambda: None)
    0.0
    """
    busy = work or (lambda: sum(range(100_000)))
    busy()
    times: list[float] = []
    for _ in range(REPEATS):
        started = clock()
        busy()
        times.append(clock() - started)
    usual = median(times)
    return sum(one > SLOW * usual for one in times) / REPEATS


def machine_facts() -> dict[str, Fact]:
    """Processor, cores, memory, GPU, threads and versions of this machine, and its `repeat_share`, all by name."""
    torch: Any = sys.modules.get("torch")  # a model that needs it has imported it
    facts: dict[str, Fact] = {
        "cpu": _cpu(),
        "cores": usable_cores(),
        "repeat_share": round(repeat_share(), 3),
        **installed_versions(),
    }
    if (memory := _memory_mb()) is not None:
        facts["memory_mb"] = memory
    if torch is not None:
        facts["threads"] = int(torch.get_num_threads())
        if torch.cuda.is_available():
            facts["gpu"] = str(torch.cuda.get_device_name())
            facts["gpu_memory_mb"] = int(torch.cuda.get_device_properties(0).total_memory // 10**6)
    return facts


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()


def _memory_mb() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 10**6
    except (AttributeError, ValueError, OSError):
        return None
