"""The side of a worker: which GPU it opens its model on, and what it tells if the model does not fit there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.tiny_model import make_tiny_model
from tunegate.exceptions import ConfigError
from tunegate.executors import held_models
from tunegate.executors.executor import Opened, Opening, Reply
from tunegate.executors.held_models import HeldModels
from tunegate.executors.model_on_workers import open_on
from tunegate.executors.ray_nodes import Remote
from tunegate.models.blocks import Block

torch = pytest.importorskip("torch")


@pytest.fixture
def devices(monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """The devices that models are opened on, on a machine with two GPUs."""
    asked: list[str | None] = []

    def opened(spec: str, *, device: str | None, **_: Any) -> Any:
        asked.append(device)
        return SimpleNamespace(name=spec, sha256="abc", dtype="bfloat16", block_size=1)

    monkeypatch.setattr(held_models, "open_model", opened)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    return asked


def test_processes_of_a_machine_share_its_gpus(devices: list[str | None]) -> None:
    for number in range(3):
        HeldModels(number).open(Opening("model"))
    assert devices == ["cuda:0", "cuda:1", "cuda:0"]


def test_an_actor_has_all_gpus_that_ray_gave_it(devices: list[str | None]) -> None:
    """A named device would be its only one, so that a second GPU of the copy would lie idle."""
    returned, value = Remote().call("open", Opening("model"))
    assert returned, value
    assert devices == [None]


class Here:
    """A worker in this process."""

    place = "process 1"

    def __init__(self, remote: Remote) -> None:
        self.remote = remote

    def _call(self, method: str, *arguments: Any) -> Any:
        returned, value = self.remote.call(method, *arguments)
        if not returned:
            raise value
        return value

    def open(self, opening: Opening) -> Opened:
        return self._call("open", opening)

    def answer(self, opening: Opening, block: Block) -> Reply:
        return self._call("answer", opening, block)

    def sha256_now(self, opening: Opening) -> str:
        return self._call("sha256_now", opening)

    def close(self) -> None: ...


class InThisProcess:
    kind = "processes"

    def start(self) -> Sequence[Here]:
        return [Here(Remote())]


def test_a_model_too_large_for_a_worker_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = torch.nn.Module.to

    def to(module: Any, where: Any) -> Any:
        if isinstance(where, str):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.\nSee the documentation.")
        return real(module, where)

    folder = make_tiny_model(tmp_path / "model")
    monkeypatch.setattr(torch.nn.Module, "to", to)
    with pytest.raises(ConfigError, match=r"^process 1: the weights take .* \(CUDA out of memory\. .*\): .*$"):
        open_on(InThisProcess(), Opening(str(folder)))
