"""The executor `processes`: several processes on this machine, each with its own copy of the model."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from signal import Signals
from typing import Any

from tunegate.exceptions import CannotJudge
from tunegate.executors.executor import Opened, Opening, Reply, Worker, WorkerGone, WorkerLost
from tunegate.executors.model_on_workers import open_on
from tunegate.models.blocks import Block
from tunegate.models.model import Model
from tunegate.processes import INTERPRETER, InOrder, in_order, usable_cores

STDERR = 2
"""The file descriptor: what a model prints must not mix with `--json`."""
COMMAND = (*INTERPRETER, "-m", "tunegate.executors.worker_process")


@dataclass(frozen=True, slots=True)
class Processes:
    """`count` processes. Each gets an equal share of the cores, unless OMP_NUM_THREADS is set; with GPUs, worker N uses
    GPU N, counted round. `timeout_s` is the longest time for a block, and for opening the model."""

    count: int
    timeout_s: float = 3600.0
    kind: str = "processes"

    def open(self, opening: Opening) -> Model:
        return open_on(self, opening)

    @property
    def in_order(self) -> InOrder:
        return partial(in_order, processes=self.count)

    def start(self) -> Sequence[Worker]:
        started: list[Worker] = []
        try:
            started.extend(ProcessWorker(number, self.count, self.timeout_s) for number in range(self.count))
        except CannotJudge:
            for worker in started:
                worker.close()
            raise
        return started


class ProcessWorker:
    """A worker process and the socket to it. It is killed when this object is closed, and ends with this process."""

    def __init__(self, number: int, count: int, timeout_s: float) -> None:
        self._number, self._timeout_s = number, timeout_s
        ours, theirs = socket.socketpair()
        environment = {"OMP_NUM_THREADS": str(max(1, usable_cores() // count)), **os.environ}
        command = [*COMMAND, str(theirs.fileno()), str(number)]
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=STDERR, pass_fds=[theirs.fileno()], env=environment
            )
        except OSError as error:
            raise CannotJudge(f"executor processes: cannot start a process: {error.strerror}") from error
        theirs.close()
        self._pipe = Connection(ours.detach())
        self._given_up = ""

    @property
    def place(self) -> str:
        return f"process {self._number + 1}"

    @property
    def pid(self) -> int:
        return self._process.pid

    def open(self, opening: Opening) -> Opened:
        return self._call("open", opening)

    def answer(self, opening: Opening, block: Block) -> Reply:
        return self._call("answer", opening, block)

    def sha256_now(self, opening: Opening) -> str:
        return self._call("sha256_now", opening)

    def close(self) -> None:
        self._process.kill()  # the thread that waits for an answer sees the end of the socket
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()

    def _call(self, method: str, *arguments: Any) -> Any:
        try:
            self._pipe.send((method, arguments))
        except OSError as error:  # nobody reads at the other end
            raise WorkerGone(self._how_it_ended()) from error
        try:
            if not self._pipe.poll(self._timeout_s):
                self._given_up = f"no answer within {self._timeout_s:g} s"
                self.close()  # what it still says would be taken for the answer to the next call
                raise WorkerLost(self._given_up)
            returned, value = self._pipe.recv()
        except (EOFError, OSError) as error:
            raise WorkerLost(self._how_it_ended()) from error
        if not returned:
            raise value
        return value

    def _how_it_ended(self) -> str:
        if self._given_up:
            return self._given_up
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        code = self._process.poll()
        if code is None:
            return "the connection to it broke"
        if code >= 0:
            return f"it ended with exit code {code}"
        memory = ", as a system does that runs out of memory" if -code == Signals.SIGKILL else ""
        return f"it was ended by {Signals(-code).name}{memory}"
