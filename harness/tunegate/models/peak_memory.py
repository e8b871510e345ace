"""The peak memory of this process and its GPUs, from a point in time on where the system can forget earlier peaks."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

_STATUS, _FORGET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def forget_peaks() -> None:
    """Start again where the system can (Linux, CUDA); elsewhere, the peak is that of the whole process so far."""
    with suppress(OSError):
        _FORGET.write_text("5")
    if (torch := _cuda()) is not None:
        for number in range(torch.cuda.device_count()):
            torch.cuda.reset_peak_memory_stats(number)


def peak_bytes() -> int | None:
    """The peak of the process's memory in RAM; None if the system does not tell."""
    try:
        line = next(one for one in _STATUS.read_text().splitlines() if one.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    except (OSError, StopIteration, ValueError, IndexError):
        return _peak_of_process()


def gpu_peak_bytes() -> int | None:
    """The peaks of the memory that torch gave to this process on each GPU, added up; None without a GPU in use.

    It is an upper bound, since the GPUs need not have their peaks at the same time.
    """
    if (torch := _cuda()) is None:
        return None
    return sum(torch.cuda.max_memory_allocated(number) for number in range(torch.cuda.device_count()))


def _peak_of_process() -> int | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # macOS counts in bytes, Linux in KiB


def _cuda() -> Any:
    torch: Any = sys.modules.get("torch")  # a model that needs it has imported it
    return torch if torch is not None and torch.cuda.is_initialized() else None  # before that, a reset raises
