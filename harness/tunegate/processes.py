"""Pure work spread over workers: the same results in the same order, whatever the number of workers.

`in_order` starts processes. Such a worker is a fresh interpreter that reads blocks from its standard input and writes
results to its standard output. It never imports the caller's main module, as `multiprocessing` would; it ends when its
input is closed, so none outlives a caller that was killed. `on_workers` takes any other workers, for example on nodes
of a cluster. If a worker cannot do a block (it died, raised an exception, or cannot send the result), and no other
worker does it, the caller does it itself.
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
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from itertools import chain, islice
from typing import Any, Protocol, TypeVar, cast

MOST_WORKERS = 8
"""Above this number, the caller cannot read blocks as fast as the workers do them."""
DONE_HERE = 4
"""This many blocks are done without workers: one takes half a second or more to start."""
ITEMS_PER_BLOCK, CHARACTERS_PER_BLOCK = 1000, 2**20


INTERPRETER = (sys.executable, "-P")
"""Starts this Python. -P: it imports no module from the working folder, as with the `tunegate` script."""


def usable_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


Answer = tuple[bool, Any]
"""Whether a worker has done a block, and its result."""
NOT_DONE: Answer = (False, None)

Item = TypeVar("Item")
Setup = TypeVar("Setup")
Block = TypeVar("Block")
Result = TypeVar("Result")

InOrder = Callable[[Callable[[Any], Callable[[Any], Any]], Any, Iterable[Any]], Generator[Any, None, None]]
"""`in_order`, with any workers."""


class BlockWorker(Protocol):
    """A process, here or elsewhere, that does blocks, one at a time."""

    def ask(self, block: Any) -> Answer:
        """Do a block; any exception means that the worker is lost."""
        ...

    def kill(self) -> None:
        """End it at once, also while another thread waits for an answer."""
        ...

    def close(self) -> None:
        """Free what is left of it, once no thread waits for it."""
        ...


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
) -> Generator[Result, None, None]:
    """Yield `build(setup)(block)` for each block, in order; an exception is raised where its result would be.

    `build` is a function or class of a module, and `setup`, blocks and results can be pickled. At most two blocks per
    process are held at a time. `processes` is by default one per core, and one means: here, without any process. All
    processes are gone when the iterator is exhausted, closed or interrupted.
    """
    count = min(MOST_WORKERS, usable_cores() if processes is None else processes)
    return on_workers(_started(build, setup, count) if count > 1 else (), build, setup, blocks)


def on_workers(
    workers: Iterable[BlockWorker],
    build: Callable[[Setup], Callable[[Block], Result]],
    setup: Setup,
    blocks: Iterable[Block],
    tries: int = 1,
) -> Generator[Result, None, None]:
    """Like `in_order`, with these workers. Iterating over them starts them, if there are more than a few blocks.

    If a worker is lost, its block goes to another one. A block that `tries` workers were lost with is done here.
    """
    blocks = iter(blocks)
    first = list(islice(blocks, DONE_HERE + 1))
    blocks = chain(first, blocks)
    here = cache(lambda: build(setup))
    started: list[BlockWorker] = []
    executor = ThreadPoolExecutor(MOST_WORKERS)
    try:
        started.extend(workers if len(first) > DONE_HERE else ())
        if not started:
            yield from map(here(), blocks)
            return
        ask = _Workers(started, tries).ask
        waiting: deque[tuple[Block, Future[Answer]]] = deque()
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

    def __init__(self, started: Iterable[BlockWorker], tries: int) -> None:
        self._living = set(started)
        self._tries = tries
        self._idle: queue.SimpleQueue[BlockWorker | None] = queue.SimpleQueue()
        for worker in self._living:
            self._idle.put(worker)

    def ask(self, block: Any) -> Answer:
        """Wait for an idle worker, and ask it, or another one if it is lost. A lost worker is not asked again."""
        for _ in range(self._tries):
            worker = self._idle.get()
            if worker is None:
                self._idle.put(None)  # for the other threads, which must not wait either
                break
            try:
                answer = worker.ask(block)
            except Exception:  # it was killed, perhaps because memory ran out, or its answer cannot be read
                self._living.remove(worker)
                if not self._living:
                    self._idle.put(None)
            else:
                self._idle.put(worker)
                return answer
        return NOT_DONE


def _started(build: Callable[[Any], Callable[[Any], Any]], setup: Any, count: int) -> Iterator[_Worker]:
    with suppress(OSError):  # the system allows no more processes, or has no memory for them
        for _ in range(count):
            yield _Worker(build, setup)


class _Worker:
    """One process, and the pipes to it."""

    def __init__(self, build: Callable[[Any], Callable[[Any], Any]], setup: Any) -> None:
        program = f"import sys; sys.path[:] = {sys.path!r}; from tunegate.processes import serve; serve()"
        self._process = subprocess.Popen([*INTERPRETER, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._greeting: Any = (build, setup)

    def ask(self, block: Any) -> Answer:
        """Do a block in the process; raises OSError or EOFError if that is dead."""
        to, back = self._process.stdin, self._process.stdout
        assert to is not None
        assert back is not None
        if self._greeting is not None:
            pickle.dump(self._greeting, to, pickle.HIGHEST_PROTOCOL)
            self._greeting = None
        pickle.dump(block, to, pickle.HIGHEST_PROTOCOL)
        to.flush()
        return cast("Answer", pickle.load(back))

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
        answer = answering(*pickle.load(blocks))
        while True:
            results.write(answer(pickle.load(blocks)))
            results.flush()


def answering(build: Callable[[Any], Callable[[Any], Any]], setup: Any) -> Callable[[Any], bytes]:
    """The side of a worker: a function that does a block and returns the pickled `Answer`."""
    work = cache(lambda: build(setup))

    def answer(block: Any) -> bytes:
        try:
            return pickle.dumps((True, work()(block)), pickle.HIGHEST_PROTOCOL)
        except Exception:  # the caller gets the same exception, when it does the block itself
            return pickle.dumps(NOT_DONE)

    return answer
