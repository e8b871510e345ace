"""Pure work spread over processes: the same results in the same order, whatever the number of processes.

A worker is a fresh interpreter that reads blocks from its standard input and writes results to its standard output. It
never imports the caller's main module, as `multiprocessing` would; it ends when its input is closed, so none outlives a
caller that was killed. A block that no worker does (it died, raised an exception, or cannot send the result) is done by
the caller itself.
"""

from __future__ import annotations

import gc
import os
import pickle
import queue
import select
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from itertools import chain, islice
from typing import Any, TypeVar, cast

MOST_PROCESSES = 8
"""Above this number, the caller cannot read blocks as fast as the workers do them."""
DONE_HERE = 4
"""This many blocks are done without processes: a worker takes about half a second to start."""
ITEMS_PER_BLOCK, CHARACTERS_PER_BLOCK = 1000, 2**20


INTERPRETER = (sys.executable, "-P")
"""Starts this Python. -P: it imports no module from the working folder, as with the `tunegate` script."""


def usable_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_Answer = tuple[bool, Any]
"""Whether a worker has done a block, and its result."""
NOT_DONE: _Answer = (False, None)

Item = TypeVar("Item")
Setup = TypeVar("Setup")
Block = TypeVar("Block")
Result = TypeVar("Result")


def in_blocks(items: Iterable[Item], characters: Callable[[Item], int]) -> Iterator[list[Item]]:
    """The items in blocks of bounded size; `characters` says how long an item is."""
    block: list[Item] = []
    size = 0
    for item in items:
        block.append(item)
        size += characters(item)
        if len(block) == ITEMS_PER_BLOCK or size >= CHARACTERS_PER_BLOCK:
            yield block
            block, size = [], 0
    if block:
        yield block


def in_order(
    build: Callable[[Setup], Callable[[Block], Result]],
    setup: Setup,
    blocks: Iterable[Block],
    processes: int | None = None,
) -> Iterator[Result]:
    """Yield `build(setup)(block)` for each block, in order; an exception is raised where its result would be.

    `build` is a function or class of a module, and `setup`, blocks and results can be pickled. At most two blocks per
    process are held at a time. `processes` is by default one per core, and one means: here, without any process. All
    processes are gone when the iterator is exhausted, closed or interrupted.
    """
    blocks = iter(blocks)
    first = list(islice(blocks, DONE_HERE + 1))
    count = min(MOST_PROCESSES, usable_cores()) if processes is None else processes
    if count < 2 or (processes is None and len(first) <= DONE_HERE):
        work = build(setup)
        yield from (work(block) for block in chain(first, blocks))
    else:
        yield from _spread(build, setup, chain(first, blocks), count)


def _spread(
    build: Callable[[Any], Callable[[Any], Any]], setup: Any, blocks: Iterator[Any], count: int
) -> Iterator[Any]:
    here = cache(lambda: build(setup))
    started: list[_Worker] = []
    executor = ThreadPoolExecutor(count)
    try:
        with suppress(OSError):  # the system allows no more processes, or has no memory for them
            while len(started) < count:
                started.append(_Worker(build, setup))
        if not started:
            yield from map(here(), blocks)
            return
        ask = _Workers(started).ask
        waiting: deque[tuple[Any, Future[_Answer]]] = deque()
        while True:
            for block in islice(blocks, 2 * len(started) - len(waiting)):
                waiting.append((block, executor.submit(ask, block)))
            if not waiting:
                return
            block, future = waiting.popleft()
            is_done, result = future.result()
            yield result if is_done else here()(block)
    finally:
        for worker in started:
            worker.kill()
        executor.shutdown(cancel_futures=True)
        for worker in started:
            worker.close()


class _Workers:
    """Those that live; each has one block at a time."""

    def __init__(self, started: Iterable[_Worker]) -> None:
        self._living = set(started)
        self._idle: queue.SimpleQueue[_Worker | None] = queue.SimpleQueue()
        for worker in self._living:
            self._idle.put(worker)

    def ask(self, block: Any) -> _Answer:
        """Wait for an idle worker, and ask it. A worker that fails is not asked again."""
        worker = self._idle.get()
        answer = NOT_DONE
        if worker is not None:
            try:
                answer = worker.ask(block)
            except Exception:  # it was killed, perhaps because memory ran out, or its answer cannot be read
                self._living.remove(worker)
                worker = None
        if worker is not None or not self._living:  # None: nobody is left to wait for
            self._idle.put(worker)
        return answer


class _Worker:
    """One process, and the pipes to it."""

    def __init__(self, build: Callable[[Any], Callable[[Any], Any]], setup: Any) -> None:
        program = f"import sys; sys.path[:] = {sys.path!r}; from tunegate.processes import serve; serve()"
        self._process = subprocess.Popen([*INTERPRETER, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._greeting: Any = (build, setup)

    def ask(self, block: Any) -> _Answer:
        """Do a block in the process; raises OSError or EOFError if that is dead."""
        to, back = self._process.stdin, self._process.stdout
        assert to is not None
        assert back is not None
        if self._greeting is not None:
            pickle.dump(self._greeting, to, pickle.HIGHEST_PROTOCOL)
            self._greeting = None
        pickle.dump(block, to, pickle.HIGHEST_PROTOCOL)
        to.flush()
        return cast("_Answer", pickle.load(back))

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with suppress(OSError):  # what was not yet written has no reader any more
                pipe.close()


def _end_with_caller() -> None:
    """End at once when nobody holds the other end of standard input any more, also within a block: it would be done
    for nobody, and a half block would be read as an error. Where there is no `poll`, the block is finished first."""
    if not hasattr(select, "poll"):
        return
    poll = select.poll()
    poll.register(0, 0)

    def watch() -> None:
        poll.poll()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def serve() -> None:
    """Do blocks from standard input until it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group: the caller decides
    _end_with_caller()
    gc.set_threshold(50_000)  # by default, Python looks for cycles after every 700 new objects
    blocks, results = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # what a library prints must not get between the results
    with suppress(EOFError, pickle.UnpicklingError):  # nothing more is sent, or not all of it
        build, setup = pickle.load(blocks)
        work = cache(lambda: build(setup))
        while True:
            block = pickle.load(blocks)
            try:
                answer = pickle.dumps((True, work()(block)), pickle.HIGHEST_PROTOCOL)
            except Exception:  # the caller meets it again, with all that it holds
                answer = pickle.dumps(NOT_DONE)
            results.write(answer)
            results.flush()
