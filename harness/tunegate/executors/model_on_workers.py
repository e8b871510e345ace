"""A model that is open on several workers: it answers block by block, as it would in this process."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tunegate.cases.case import Case
from tunegate.exceptions import CannotJudge, ConfigError, Tampered, TunegateError
from tunegate.executors.dispatch import Dispatcher
from tunegate.executors.executor import Opened, Opening, StartsWorkers, Worker, WorkerLost
from tunegate.models.blocks import Block
from tunegate.models.model import GenerationSettings, Response
from tunegate.versions import installed_versions


@dataclass(frozen=True)
class ModelOnWorkers:
    """The model that every worker opened: the same weights, number type, batches and software on each.

    Blocks that were announced (`expect`) are answered ahead of their turn, in order. `chat_templates` and `notes` are
    those of the model.
    """

    name: str
    sha256: str
    dtype: str | None
    block_size: int
    notes: tuple[str, ...]
    chat_templates: tuple[str, ...]
    sha256_now: Callable[[], str] | None
    kind: str
    dispatcher: Dispatcher

    @property
    def executor(self) -> Mapping[str, Any]:
        """Who answered, for the record: the kind of executor, and what each worker did."""
        workers = [asdict(tally) for tally in self.dispatcher.tallies]
        kept = [{name: value for name, value in worker.items() if value not in ("", None)} for worker in workers]
        return {"kind": self.kind, "workers": kept}

    @property
    def halved_batch(self) -> int | None:
        """The smallest size that a worker's batches were reduced to; None if no worker's were."""
        return min((size for tally in self.dispatcher.tallies if (size := tally.halved_batch)), default=None)

    def expect(self, blocks: Iterable[Block]) -> None:
        self.dispatcher.begin(blocks)

    def generate(self, cases: Sequence[Case], settings: GenerationSettings) -> Iterator[tuple[int, Response]]:
        return self._ask(Block("generate", tuple(cases), settings))

    def score_choices(self, cases: Sequence[Case], settings: GenerationSettings) -> Iterator[tuple[int, Response]]:
        return self._ask(Block("score_choices", tuple(cases), settings))

    def _ask(self, block: Block) -> Iterator[tuple[int, Response]]:
        reply = self.dispatcher.reply_to(block)
        yield from reply.answers
        if reply.error is not None:
            raise reply.error

    def close(self) -> None:
        """End the workers; without it, they end when the model is no longer used."""
        self.dispatcher.close()


def open_on(executor: StartsWorkers, opening: Opening) -> ModelOnWorkers:
    """Open a model on all workers of an executor at once.

    Raises the errors of `open_model`; Tampered if a worker has other weights; ConfigError if one would compute in
    another way; CannotJudge if no worker is left.
    """
    where = Path(opening.spec).expanduser()
    sent = Opening(str(where.resolve()) if where.exists() else opening.spec, opening.dtype, opening.batch_size)
    workers = executor.start()
    try:
        opened, lost = _open_all(workers, sent)
        if not opened:
            raise CannotJudge(f"model {opening.spec!r}: no worker could open it: {'; '.join(lost.values())}")
        first = _same_everywhere(opening.spec, {worker.place: one for worker, one in opened.items()})
    except BaseException:
        for worker in workers:
            worker.close()
        raise
    dispatcher = Dispatcher(list(opened), lost)
    model = ModelOnWorkers(
        opening.spec if first.name == sent.spec else first.name,
        str(first.sha256),
        first.dtype,
        first.block_size,
        first.notes,
        first.chat_templates,
        (lambda: _hash_everywhere(opening.spec, dispatcher)) if first.can_check else None,
        executor.kind,
        dispatcher,
    )
    weakref.finalize(model, dispatcher.close)
    return model


def _open_all(workers: Sequence[Worker], opening: Opening) -> tuple[dict[Worker, Opened], dict[str, str]]:
    """Open the model on all workers at the same time. Those that are lost meanwhile are left out, with their cause."""

    def one(worker: Worker) -> Opened | WorkerLost:
        try:
            return worker.open(opening)
        except WorkerLost as lost:
            worker.close()
            return lost
        except TunegateError as error:
            raise type(error)(f"{worker.place}: {error}") from error

    pool = ThreadPoolExecutor(len(workers))
    try:
        found = dict(zip(workers, pool.map(one, workers), strict=True))
    except BaseException:  # Ctrl-C, or one that cannot open it: the others are not waited for
        for worker in workers:
            worker.close()
        raise
    finally:
        pool.shutdown()
    opened = {worker: one for worker, one in found.items() if isinstance(one, Opened)}
    lost = {worker.place: str(one) for worker, one in found.items() if isinstance(one, WorkerLost)}
    return opened, lost


def _same_everywhere(spec: str, opened: Mapping[str, Opened]) -> Opened:
    """What all workers have in common; raises if they would not answer alike."""
    (place, first), *others = opened.items()
    if first.sha256 is None:
        raise ConfigError(f"model {spec!r}: it has no fingerprint, so workers cannot be compared: leave out --executor")
    for other, one in others:
        if one.sha256 != first.sha256:
            raise Tampered(
                f"model {spec!r}: {place} has the weights {first.sha256:.12}, but {other} has {one.sha256:.12}; a "
                "verdict is about one set of bytes"
            )
        _refuse_unlike(spec, (place, _facts(first)), (other, _facts(one)))
    ours = {name: version for name, version in installed_versions().items() if name in first.versions}
    theirs = {name: first.versions[name] for name in ours}
    _refuse_unlike(spec, (place, _versions(theirs)), ("this machine", _versions(ours)))  # these go on record
    return first


def _facts(opened: Opened) -> dict[str, object]:
    """What can change an answer, by name, beside the weights."""
    return {"number type": opened.dtype, "batch size": opened.block_size, **_versions(opened.versions)}


def _versions(versions: Mapping[str, str]) -> dict[str, object]:
    return {f"version of {name}": version for name, version in sorted(versions.items())}


REMEDIES = {"number type": "set --dtype", "batch size": "set --batch-size"}


def _refuse_unlike(spec: str, one: tuple[str, Mapping[str, object]], other: tuple[str, Mapping[str, object]]) -> None:
    """Raise ConfigError for the first fact that differs between two places, each given with its facts."""
    (place, ours), (elsewhere, theirs) = one, other
    for what in dict.fromkeys((*ours, *theirs)):
        if ours.get(what) != theirs.get(what):
            raise ConfigError(
                f"model {spec!r}: the workers would answer differently: {place} has the {what} {ours.get(what)}, but "
                f"{elsewhere} has {theirs.get(what)}; {REMEDIES.get(what, 'install the same one')}"
            )


def _hash_everywhere(spec: str, dispatcher: Dispatcher) -> str:
    """The fingerprint that the files have now, on all workers; raises Tampered if they differ."""
    found = dispatcher.everywhere(lambda worker: worker.sha256_now())
    if not found:
        raise CannotJudge(f"model {spec!r}: no worker is left to hash its files again")
    if len(set(found.values())) > 1:
        told = ", ".join(f"{sha256:.12} on {place}" for place, sha256 in found.items())
        raise Tampered(f"model {spec!r}: its files changed while it was in use: {told}")
    return next(iter(found.values()))
