"""Gives blocks to workers, one thread for each worker, and a lost worker's block to another one.

Tunegate resubmits by itself. Ray's own retries lose calls: when a node was killed, actors with `max_restarts` and
`max_task_retries` raised ActorUnavailableError (measured with ray 2.60). A block whose answers arrived is never asked
again, and none is with two workers at a time.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from tunegate.exceptions import TunegateError, WorkersFailed, message_of
from tunegate.executors.executor import Opening, Reply, Worker, WorkerGone, WorkerLost
from tunegate.models.blocks import Block

MAX_LOST = 3
"""A block that this many workers did not survive is not given to another one: it would end them all."""

TaskId = tuple[Opening, str]
Said = TypeVar("Said")


@dataclass(frozen=True, slots=True)
class Task:
    """A block for one of the models that the workers hold."""

    opening: Opening
    block: Block

    @property
    def id(self) -> TaskId:
        return self.opening, self.block.id


@dataclass
class Tally:
    """What one worker did: how many blocks of this draw it answered, and how many blocks of answers it judged; its peak
    memory, the size that its batches of answers were reduced to, if they were, and why it is lost ("" while it works).
    """

    place: str
    blocks: int = 0
    judged: int | None = None
    peak_bytes: int | None = None
    halved_batch: int | None = None
    lost: str = ""


class Dispatcher:
    """A queue of blocks in front of workers that hold the same models."""

    def __init__(self, workers: Sequence[Worker]) -> None:
        self._changed = threading.Condition()
        self._workers = {worker: Tally(worker.place) for worker in workers}
        self._busy = {worker: threading.Lock() for worker in workers}
        self._waiting: deque[Task] = deque()
        self._with_worker: set[TaskId] = set()
        self._wanted: set[TaskId] = set()
        self._replies: dict[TaskId, Reply] = {}
        self._ended: Counter[TaskId] = Counter()
        self._closed = False
        for worker in workers:
            threading.Thread(target=self._serve, args=(worker,), daemon=True, name=worker.place).start()

    @property
    def tallies(self) -> Sequence[Tally]:
        return tuple(self._workers.values())

    @property
    def living(self) -> Sequence[Worker]:
        return [worker for worker, tally in self._workers.items() if not tally.lost]

    def begin(self, opening: Opening, blocks: Iterable[Block]) -> None:
        """Make these blocks, in order, the next ones of a model, and drop its other waiting blocks. Answers that have
        arrived are kept, since another draw may ask the same.

        These blocks go before those of other models: the answers that are judged are older than those still to come.
        Those of the model under test begin a draw, with counts of its own of what each worker did.
        """
        wanted = {task.id: task for task in (Task(opening, block) for block in blocks)}
        with self._changed:
            if not opening.judges:
                for tally in self._workers.values():
                    tally.blocks, tally.judged = 0, None
            self._wanted = {name for name in self._wanted if name[0] != opening} | wanted.keys()
            if opening.judges:  # what was left of a batch that ended with an error is asked by nobody again
                kept = ((name, reply) for name, reply in self._replies.items() if name[0] != opening or name in wanted)
                self._replies = dict(kept)
            begun = self._with_worker | self._replies.keys()
            first = [task for name, task in wanted.items() if name not in begun]
            self._waiting = deque([*first, *(task for task in self._waiting if task.opening != opening)])
            self._changed.notify_all()

    def drop(self, opening: Opening) -> None:
        """Drop the waiting blocks of a model."""
        with self._changed:
            self._wanted = {name for name in self._wanted if name[0] != opening}
            self._waiting = deque(task for task in self._waiting if task.opening != opening)

    def reply_to(self, opening: Opening, block: Block) -> Reply:
        """Wait for a model's answers to a block, which is asked next if nothing announced it.

        Raises WorkersFailed if no worker is left that could answer, or if the block ended too many workers.
        """
        task = Task(opening, block)
        with self._changed:
            if task.id not in self._wanted:
                self._wanted.add(task.id)
                if task.id not in self._with_worker | self._replies.keys():
                    self._waiting.appendleft(task)
                    self._changed.notify_all()
            while task.id not in self._replies:
                self._check_hope(task)
                self._changed.wait()
            self._wanted.remove(task.id)
            return self._replies.pop(task.id)

    def everywhere(self, ask: Callable[[Worker], Said]) -> dict[str, Said]:
        """Ask something of all living workers, each between two blocks; gives the answers by place. A worker that is
        lost meanwhile is left out. An error ends all workers, so that nobody waits for the others."""

        def one(worker: Worker) -> tuple[str, Said] | None:
            try:
                with self._busy[worker]:
                    return worker.place, ask(worker)
            except WorkerLost as lost:
                self._lose(worker, lost)
                return None
            except TunegateError as error:
                raise type(error)(f"{worker.place}: {error}") from error

        living = self.living
        pool = ThreadPoolExecutor(max(1, len(living)))
        try:
            return dict(found for found in pool.map(one, living) if found is not None)
        except BaseException:
            self.close()
            raise
        finally:
            pool.shutdown()

    def close(self) -> None:
        """End all workers; whoever waits for a block gets WorkersFailed."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for worker in self._workers:
            worker.close()

    def _check_hope(self, task: Task) -> None:
        causes = [f"{tally.place}: {tally.lost}" for tally in self._workers.values() if tally.lost]
        if self._closed or len(causes) == len(self._workers):
            told = "; ".join(causes) or "the executor was closed"
            raise WorkersFailed(f"no worker is left to answer: {told}; the same command goes on with what is answered")
        if self._ended[task.id] >= MAX_LOST:
            what = (
                f"for the judge {task.opening.spec}" if task.opening.judges else f"with case {task.block.cases[0].id!r}"
            )
            raise WorkersFailed(f"the block {what} ended {MAX_LOST} workers: {'; '.join(causes)}")

    def _serve(self, worker: Worker) -> None:
        """The life of one worker: take the next block, answer it, until it is lost or everything is closed."""
        tally = self._workers[worker]
        while (task := self._next(tally)) is not None:
            try:
                with self._busy[worker]:
                    if tally.lost:  # while it opened a judge
                        raise WorkerGone(tally.lost)
                    reply = worker.answer(task.opening, task.block)
            except Exception as error:  # WorkerLost; a fault of ours must not leave the others waiting either
                self._lose(worker, error, task)
                return
            with self._changed:
                tally.peak_bytes = reply.peak_bytes
                if task.opening.judges:
                    tally.judged = (tally.judged or 0) + 1
                else:
                    tally.blocks += 1
                    tally.halved_batch = reply.halved_batch
                self._with_worker.remove(task.id)
                self._replies[task.id] = reply
                self._changed.notify_all()

    def _lose(self, worker: Worker, cause: Exception, task: Task | None = None) -> None:
        """Note that a worker is lost; the block that it had is the next for the others."""
        with self._changed:
            tally = self._workers[worker]
            tally.lost = tally.lost or message_of(cause) or type(cause).__name__
            if task is not None:
                self._with_worker.remove(task.id)
                self._ended[task.id] += not isinstance(cause, WorkerGone)
                if task.id in self._wanted and self._ended[task.id] < MAX_LOST:
                    self._waiting.appendleft(task)
            self._changed.notify_all()
        worker.close()

    def _next(self, tally: Tally) -> Task | None:
        """The next block for a worker; None when it is lost, or everything is closed."""
        with self._changed:
            while not self._waiting and not self._closed and not tally.lost:
                self._changed.wait()
            if self._closed or tally.lost:
                return None
            task = self._waiting.popleft()
            self._with_worker.add(task.id)
            return task
