"""`python -m tunegate.executors.worker_process FD NUMBER`: one worker of the executor `processes`.

It reads calls from the socket FD and writes back what came of them. It ends with its parent process: the standard input
is a pipe that only the parent holds open.
"""

from __future__ import annotations

import signal
import sys
from multiprocessing.connection import Connection

from tunegate.executors.held_models import HeldModels, portable
from tunegate.standard_streams import die_with_standard_input


def main(fd: int, number: int) -> None:
    """Answer calls until the parent closes the socket."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends its workers
    die_with_standard_input()
    held = HeldModels(number)
    with Connection(fd) as pipe:
        while True:
            try:
                method, arguments = pipe.recv()
            except EOFError:
                return
            try:
                pipe.send((True, getattr(held, method)(*arguments)))
            except Exception as error:
                pipe.send((False, portable(error)))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
