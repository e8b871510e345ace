"""A process that imports the training libraries once and forks a child for each training; Linux only.

Each training is still a process of its own: its memory is freed, a crash does not end the run, and its random state is
its own. It saves the seconds of computing that every fresh process spends on importing torch, transformers and TRL. The
server imports; it computes nothing and starts no thread of Python, so that a fork is safe. Whatever is unusual (a GPU,
another environment, another folder, a server that ended) makes the training a fresh process instead.

The two processes talk over a socket, one JSON object a message:

    to the server    {"arguments": […], "environment": {…}, "folder": "…"}, with the read end of a pipe
    from the server  {"exit_code": 0}

The pipe becomes the child's standard input: it closes when the process that wants the training ends. The kernel kills
the child if the server ends.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

SERVE = "--serve"
"""The option of `training_process` that makes it a server; its value is the descriptor of the socket."""
MESSAGE_BYTES = 1 << 20
ENDING_S = 10.0
"""How long a training whose server was killed may take to end."""
PR_SET_PDEATHSIG = 1
"""Of `prctl`, from linux/prctl.h."""
GPUS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
"""Files of a machine whose GPU torch can use: a driver that was initialized before a fork fails after it."""


def is_possible() -> bool:
    """Whether this machine can fork a training: Linux without a GPU."""
    return sys.platform == "linux" and not any(map(os.path.exists, GPUS))


# --- the side that wants trainings -----------------------------------------------------------------------------------


class TrainingServer:
    """Starts the server and sends it jobs; `train` returns None where a fresh process must train instead.

    `command` runs `training_process`; `output` is the descriptor that gets the standard output of trainings.
    """

    def __init__(self, command: Sequence[str], environment: dict[str, str], output: int) -> None:
        self._command = [*command, SERVE]
        self._added = environment
        self._output = output
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._one_at_a_time = threading.Lock()

    def start(self) -> None:
        """Let the server import; does nothing if it was started before, or where there can be none."""
        if self._process is not None or not is_possible():
            return
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [*self._command, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                env=os.environ | self._added,
                pass_fds=[theirs.fileno()],
            )
        self._socket = ours

    def train(self, arguments: Sequence[str]) -> int | None:
        """The exit code of a training, negative for a signal; None if the server cannot do it, or ended meanwhile.

        If this is interrupted, the server and the training are killed.
        """
        if not self._one_at_a_time.acquire(blocking=False):
            return None
        try:
            self.start()
            return None if self._socket is None else self._trained(self._socket, arguments)
        finally:
            self._one_at_a_time.release()

    def _trained(self, server: socket.socket, arguments: Sequence[str]) -> int | None:
        job = {"arguments": list(arguments), "environment": os.environ | self._added, "folder": str(Path.cwd())}
        read_end, held = os.pipe()
        answer = b""
        try:
            with suppress(OSError):
                try:
                    socket.send_fds(server, [json.dumps(job).encode()], [read_end])
                finally:
                    os.close(read_end)
                answer = server.recv(MESSAGE_BYTES)
            return json.loads(answer)["exit_code"] if answer else None
        finally:
            if not answer:  # the server ended, or Ctrl-C: a training must not outlive its parent, nor meet another
                self.close()
                _wait_until_unread(held)
            os.close(held)

    def close(self) -> None:
        """Kill the server, and with it its training; a server without one has nothing to lose."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def _wait_until_unread(held: int) -> None:
    """Wait until no process has the other end of a pipe: until the training has ended."""
    poll = select.poll()
    poll.register(held, 0)
    poll.poll(ENDING_S * 1000)


# --- the server ------------------------------------------------------------------------------------------------------


def serve(descriptor: int, prepare: Callable[[], None], train: Callable[[list[str]], int]) -> int:
    """Fork a child for each job that arrives, until the other side ends; in a child, returns its exit code.

    `prepare` imports. A job that needs another environment than this process has ends the server.
    """
    interrupt = signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C reaches every process of the terminal; the client decides
    begun = dict(os.environ)
    with socket.socket(fileno=descriptor) as client:
        prepare()
        gc.collect()
        gc.freeze()  # a child's garbage collector does not touch, and so copy, what was imported
        while True:
            try:
                message, descriptors, _, _ = socket.recv_fds(client, MESSAGE_BYTES, 1)
            except ConnectionResetError:
                return 0
            if not message:
                return 0
            job = json.loads(message)
            if not _is_fit(job, begun):
                return 1
            server = os.getpid()
            child = os.fork()
            if child == 0:
                client.close()
                _become_training(descriptors[0], server)
                signal.signal(signal.SIGINT, interrupt)
                return train(job["arguments"])
            os.close(descriptors[0])
            _, status = os.waitpid(child, 0)
            with suppress(OSError):  # the other side may have ended, which the next turn sees
                client.send(json.dumps({"exit_code": os.waitstatus_to_exitcode(status)}).encode())


def _is_fit(job: dict[str, Any], begun: dict[str, str]) -> bool:
    """Whether a fresh process would have what this one has: the folder, and every variable with the same value.

    Variables that the imports set here may be set or missing there.
    """
    wanted: dict[str, str] = job["environment"]
    same = all(os.environ.get(name) == value for name, value in wanted.items())
    return same and begun.keys() <= wanted.keys() and job["folder"] == str(Path.cwd()) and threading.active_count() == 1


def _become_training(held: int, server: int) -> None:
    """In a new child: end with the server and with standard input, as a fresh process does with the latter."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != server:  # it ended before the line above
        os._exit(1)
    os.dup2(held, 0)
    os.close(held)
