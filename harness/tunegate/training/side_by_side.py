"""Several trainings at once: those of attempts whose settings do not depend on the outcome of an earlier one.

Only the training is done ahead. Attempts are gated, decided and recorded in order, so the record is that of a run that
trains them one after the other. The training of an attempt that is not needed, because an earlier one passed, is
stopped and removed, and is not on record.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from tunegate.training.trainer import HELD, PYTHON, STDERR, TrainJob, TrainResult, result_of, written


class Training(Protocol):
    """A training that was begun."""

    @property
    def is_running(self) -> bool:
        """Whether it has not ended: it needs its place."""
        ...

    def result(self) -> TrainResult | None:
        """Wait until it has ended. As with `Trainer`, an error of the training is part of the result.

        None: it was killed, or ran out of memory, which it may not do alone.
        """
        ...

    def stop(self) -> None:
        """End it at once, if it still runs."""
        ...


class SideBySide(Protocol):
    """A place where several trainings run at once, at most `places`."""

    @property
    def places(self) -> int:
        """How many there are now: a node may be lost."""
        ...

    def begin(self, job: TrainJob) -> Training: ...


class Begun:
    """The trainings of a stage that were begun, by attempt, each with what tells it from others."""

    def __init__(self) -> None:
        self._by_attempt: dict[int, tuple[str, Training]] = {}

    def __len__(self) -> int:
        return len(self._by_attempt)

    def __contains__(self, number: int) -> bool:
        return number in self._by_attempt

    def add(self, number: int, identity: str, training: Training) -> None:
        self._by_attempt[number] = (identity, training)

    def is_the_same(self, number: int, identity: str) -> bool:
        """Whether this training of an attempt was begun; another one, which is not needed, is stopped."""
        if number not in self._by_attempt:
            return False
        begun, training = self._by_attempt[number]
        if begun != identity:
            training.stop()
            del self._by_attempt[number]
        return begun == identity

    def result(self, number: int) -> TrainResult | None:
        result = self._by_attempt[number][1].result()
        del self._by_attempt[number]
        return result

    def keep(self, count: int) -> None:
        """Stop all that run but the first `count`, to make room; they begin again later, from their checkpoints."""
        running = [number for number, (_, training) in sorted(self._by_attempt.items()) if training.is_running]
        for number in running[max(0, count) :]:
            self._by_attempt.pop(number)[1].stop()

    def stop(self) -> list[int]:
        """Stop all; returns the attempts whose trainings were begun and not needed."""
        for _, training in self._by_attempt.values():
            training.stop()
        numbers = sorted(self._by_attempt)
        self._by_attempt.clear()
        return numbers


# --- on this machine -------------------------------------------------------------------------------------------------


def visible_gpus() -> tuple[str, ...]:
    """The NVIDIA GPUs that a process here may use, as CUDA_VISIBLE_DEVICES names them."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return tuple(name for part in named.split(",") if (name := part.strip()))
    return tuple(str(number) for number, _ in enumerate(Path("/dev").glob("nvidia[0-9]*")))


@dataclass(frozen=True)
class TrainingProcesses:
    """`places` trainings at once, each a fresh process with an equal share of the cores, unless OMP_NUM_THREADS is set,
    and with one of the GPUs, counted round."""

    places: int
    cores: int
    gpus: tuple[str, ...] = ()
    command: tuple[str, ...] = PYTHON
    _taken: set[int] = field(default_factory=set[int])

    def begin(self, job: TrainJob) -> Training:
        place = next(number for number in range(len(self._taken) + 1) if number not in self._taken)
        self._taken.add(place)
        environment = {"OMP_NUM_THREADS": str(max(1, self.cores // self.places)), **os.environ, HELD: "1"}
        if self.gpus:
            environment["CUDA_VISIBLE_DEVICES"] = self.gpus[place % len(self.gpus)]
        return TrainingProcess(
            self.command, job, environment, f"process {place + 1}", lambda: self._taken.discard(place)
        )


class TrainingProcess:
    """A training in a process; it ends with this process."""

    def __init__(
        self,
        command: tuple[str, ...],
        job: TrainJob,
        environment: Mapping[str, str],
        place: str,
        ended: Callable[[], None],
    ) -> None:
        self._job, self._place = job, place
        started = time.monotonic()
        self._process = subprocess.Popen(
            [*command, *written(job)], stdin=subprocess.PIPE, stdout=STDERR, env=environment
        )
        self._seconds = 0.0

        def wait() -> None:
            self._process.wait()
            self._seconds = time.monotonic() - started
            ended()

        self._waiting = threading.Thread(target=wait, daemon=True, name=job.label)
        self._waiting.start()

    @property
    def is_running(self) -> bool:
        return self._waiting.is_alive()

    def result(self) -> TrainResult | None:
        self._waiting.join()
        self._close()
        result = result_of(self._job, self._process.returncode, self._seconds)
        if self._process.returncode < 0 or result.failure == "out of memory":
            return None
        return replace(result, executor={"kind": "processes", "workers": [{"place": self._place}]})

    def stop(self) -> None:
        self._process.kill()
        self._waiting.join()
        self._close()

    def _close(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
