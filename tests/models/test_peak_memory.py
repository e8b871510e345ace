"""The peak of the GPU memory: of every GPU that the process uses, measured with a stand-in for torch."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from tunegate.models.peak_memory import forget_peaks, gpu_peak_bytes


class Gpus:
    """What torch.cuda tells of the memory of several GPUs; without a number, it tells of the first."""

    def __init__(self, *peaks: int, used: bool = True) -> None:
        self.peaks, self.used = list(peaks), used

    def is_available(self) -> bool:
        return bool(self.peaks)

    def is_initialized(self) -> bool:
        return self.used

    def device_count(self) -> int:
        return len(self.peaks)

    def max_memory_allocated(self, number: int = 0) -> int:
        return self.peaks[number]

    def reset_peak_memory_stats(self, number: int = 0) -> None:
        if not self.used:
            raise RuntimeError("Allocator not initialized for device 0: did you call init?")
        self.peaks[number] = 0


def torch_with(gpus: Gpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=gpus))


@pytest.mark.parametrize("peaks", [(7,), (5, 4), (0, 9)], ids=["one", "laid over two", "on the second"])
def test_it_is_that_of_all_gpus(peaks: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    torch_with(Gpus(*peaks), monkeypatch)
    assert gpu_peak_bytes() == sum(peaks)
    forget_peaks()
    assert gpu_peak_bytes() == 0


def test_a_gpu_that_is_not_in_use_has_no_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model on a server, or on the processor, beside a GPU."""
    torch_with(Gpus(3, used=False), monkeypatch)
    forget_peaks()
    assert gpu_peak_bytes() is None


def test_without_a_gpu_there_is_no_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    torch_with(Gpus(used=False), monkeypatch)
    forget_peaks()
    assert gpu_peak_bytes() is None
