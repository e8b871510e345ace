"""`python -m tunegate.executors.worker_process FD NUMBER`: one worker of the executor `processes`.

It reads calls from the socket FD and writes back what came of them. It ends with its parent process: the standard input
is a pipe that only the parent holds open.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from multiprocessing.connection import Connection

from tunegate.executors.held_model import HeldModel, portable


def main(fd: int, number: int) -> None:
    """Answer calls until the parent closes the socket."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends its workers
    threading.Thread(target=_die_with_standard_input, daemon=True).start()
    held = HeldModel(number)
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


def _die_with_standard_input() -> None:
    """End at once, even in the middle of a block: nobody is left to read the answers."""
    while os.read(0, 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
