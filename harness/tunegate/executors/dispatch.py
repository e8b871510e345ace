"""Gives blocks to workers, one thread for each worker, and a lost worker's block to another one.

Tunegate resubmits by itself. Ray's own retries lose calls: when a node was killed, actors with `max_restarts` and
`max_task_retries` raised ActorUnavailableError (measured with ray 2.60). A block whose answers arrived is never asked
again, and none is with two workers at a time.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tunegate.exceptions import CannotJudge, message_of
from tunegate.executors.executor import Reply, Worker, WorkerGone, WorkerLost
from tunegate.models.blocks import Block

MAX_LOST = 3
"""A block that this many workers did not survive is not given to another one: it would end them all."""


@dataclass
class Tally:
    """What one worker did: how many blocks of this draw it answered, its peak memory, the size that its batches were
    reduced to, if they were, and why it is lost ("" while it works)."""

    place: str
    blocks: int = 0
    peak_bytes: int | None = None
    halved_batch: int | None = None
    lost: str = ""


class Dispatcher:
    """A queue of blocks in front of workers that hold the same model."""

    def __init__(self, workers: Sequence[Worker], lost: Mapping[str, str] | None = None) -> None:
        """`lost` are workers that did not get this far: their places and why."""
        self._changed = threading.Condition()
        self._lost_before = tuple(Tally(place, lost=cause) for place, cause in (lost or {}).items())
        self._workers = {worker: Tally(worker.place) for worker in workers}
        self._busy = {worker: threading.Lock() for worker in workers}
        self._waiting: deque[Block] = deque()
        self._with_worker: set[str] = set()
        self._wanted: set[str] = set()
        self._replies: dict[str, Reply] = {}
        self._ended: Counter[str] = Counter()
        self._closed = False
        for worker in workers:
            threading.Thread(target=self._serve, args=(worker,), daemon=True, name=worker.place).start()

    @property
    def tallies(self) -> Sequence[Tally]:
        return (*self._workers.values(), *self._lost_before)

    @property
    def living(self) -> Sequence[Worker]:
        return [worker for worker, tally in self._workers.items() if not tally.lost]

    def begin(self, blocks: Iterable[Block]) -> None:
        """These blocks are next, in order, and no others: what else waits is dropped. Answers that came stay, since
        another draw may ask the same."""
        wanted = {block.id: block for block in blocks}
        with self._changed:
            if wanted:
                for tally in self._workers.values():
                    tally.blocks = 0
            self._wanted = set(wanted)
            begun = self._with_worker | self._replies.keys()
            self._waiting = deque(block for name, block in wanted.items() if name not in begun)
            self._changed.notify_all()

    def reply_to(self, block: Block) -> Reply:
        """Wait for the answers to a block, which is asked next if nothing announced it.

        Raises CannotJudge when no worker is left that could answer.
        """
        with self._changed:
            if block.id not in self._wanted:
                self._wanted.add(block.id)
                if block.id not in self._with_worker | self._replies.keys():
                    self._waiting.appendleft(block)
                    self._changed.notify_all()
            while block.id not in self._replies:
                self._check_hope(block)
                self._changed.wait()
            self._wanted.remove(block.id)
            return self._replies.pop(block.id)

    def everywhere(self, ask: Callable[[Worker], str]) -> dict[str, str]:
        """Ask something of all living workers, by place. A worker that is lost meanwhile is left out."""

        def one(worker: Worker) -> tuple[str, str] | None:
            try:
                with self._busy[worker]:
                    return worker.place, ask(worker)
            except WorkerLost as lost:
                self._lose(worker, lost)
                return None

        living = self.living
        with ThreadPoolExecutor(max(1, len(living))) as pool:
            return dict(found for found in pool.map(one, living) if found is not None)

    def close(self) -> None:
        """End all workers; whoever waits for a block gets CannotJudge."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for worker in self._workers:
            worker.close()

    def _check_hope(self, block: Block) -> None:
        causes = [f"{tally.place}: {tally.lost}" for tally in self._workers.values() if tally.lost]
        if self._closed or len(causes) == len(self._workers):
            told = "; ".join(causes) or "the executor was closed"
            raise CannotJudge(f"no worker is left to answer: {told}; the same command goes on with what is answered")
        if self._ended[block.id] >= MAX_LOST:
            raise CannotJudge(
                f"the block with case {block.cases[0].id!r} ended {MAX_LOST} workers: {'; '.join(causes)}"
            )

    def _serve(self, worker: Worker) -> None:
        """The life of one worker: take the next block, answer it, until it is lost or everything is closed."""
        while (block := self._next(self._workers[worker])) is not None:
            try:
                with self._busy[worker]:
                    reply = worker.answer(block)
            except Exception as error:  # WorkerLost; a fault of ours must not leave the others waiting either
                self._lose(worker, error, block)
                return
            tally = self._workers[worker]
            with self._changed:
                tally.blocks += 1
                tally.peak_bytes, tally.halved_batch = reply.peak_bytes, reply.halved_batch
                self._with_worker.remove(block.id)
                self._replies[block.id] = reply
                self._changed.notify_all()

    def _lose(self, worker: Worker, cause: Exception, block: Block | None = None) -> None:
        """Note that a worker is lost; the block that it had is the next for the others."""
        with self._changed:
            self._workers[worker].lost = message_of(cause) or type(cause).__name__
            if block is not None:
                self._with_worker.remove(block.id)
                self._ended[block.id] += not isinstance(cause, WorkerGone)
                if block.id in self._wanted and self._ended[block.id] < MAX_LOST:
                    self._waiting.appendleft(block)
            self._changed.notify_all()
        worker.close()

    def _next(self, tally: Tally) -> Block | None:
        """The next block for a worker; None when it is lost, or everything is closed."""
        with self._changed:
            while not self._waiting and not self._closed and not tally.lost:
                self._changed.wait()
            if self._closed or tally.lost:
                return None
            block = self._waiting.popleft()
            self._with_worker.add(block.id)
            return block
