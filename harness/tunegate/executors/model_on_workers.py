"""A model that is open on several workers: it answers block by block, as it would in this process."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from tunegate.cases.case import Case
from tunegate.exceptions import CannotJudge, ConfigError, Tampered, TunegateError, WorkersFailed, message_of
from tunegate.executors.dispatch import Dispatcher
from tunegate.executors.executor import Opened, Opening, StartsWorkers
from tunegate.models.blocks import Block
from tunegate.models.model import GenerationSettings, Model, Response
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
    opening: Opening
    workers: Workers

    @property
    def executor(self) -> Mapping[str, Any]:
        """Who answered, for the record."""
        return self.workers.facts

    @property
    def halved_batch(self) -> int | None:
        """The smallest size that a worker's batches were reduced to; None if no worker's were."""
        return min((size for tally in self.workers.dispatcher.tallies if (size := tally.halved_batch)), default=None)

    def expect(self, blocks: Iterable[Block]) -> None:
        self.workers.dispatcher.begin(self.opening, blocks)

    def end_draw(self) -> None:
        self.workers.dispatcher.drop(self.opening)

    def generate(self, cases: Sequence[Case], settings: GenerationSettings) -> Iterator[tuple[int, Response]]:
        return self._ask(Block("generate", tuple(cases), settings))

    def score_choices(self, cases: Sequence[Case], settings: GenerationSettings) -> Iterator[tuple[int, Response]]:
        return self._ask(Block("score_choices", tuple(cases), settings))

    def _ask(self, block: Block) -> Iterator[tuple[int, Response]]:
        reply = self.workers.dispatcher.reply_to(self.opening, block)
        yield from reply.answers
        if reply.error is not None:
            raise reply.error

    @property
    def open_judge(self) -> JudgeOpener:
        return JudgeOpener(self)

    def close(self) -> None:
        """End the workers; without it, they end when the model is no longer used."""
        self.workers.close()


def open_on(executor: StartsWorkers, opening: Opening) -> ModelOnWorkers:
    """Open a model on all workers of an executor at once.

    Raises the errors of `open_model`; Tampered if a worker has other weights; ConfigError if one would compute in
    another way; CannotJudge if no worker is left.
    """
    workers = Workers.of(executor)
    model = workers.open(opening)
    weakref.finalize(model, workers.dispatcher.close)
    return model


@dataclass(frozen=True, eq=False)
class Workers:
    """The workers of an executor, and the models that judge on them, by the names that the user gave them; or why one
    cannot be opened."""

    kind: str
    dispatcher: Dispatcher
    judges: dict[str, ModelOnWorkers | TunegateError] = field(
        default_factory=dict[str, "ModelOnWorkers | TunegateError"]
    )

    @classmethod
    def of(cls, executor: StartsWorkers) -> Workers:
        return cls(executor.kind, Dispatcher(executor.start()))

    @property
    def facts(self) -> Mapping[str, Any]:
        """The kind of executor, and what each worker did, for the record."""
        workers = [asdict(tally) for tally in self.dispatcher.tallies]
        kept = [{name: value for name, value in worker.items() if value not in ("", None)} for worker in workers]
        return {"kind": self.kind, "workers": kept}

    def open(self, opening: Opening) -> ModelOnWorkers:
        """Open a model on all of them at once; if that fails, they end. Raises the errors of `open_on`."""
        spec, where = opening.spec, Path(opening.spec).expanduser()
        sent = replace(opening, spec=str(where.resolve()) if where.exists() else spec, asking={})
        try:
            opened = self.dispatcher.everywhere(lambda worker: worker.open(sent))
            if not opened:
                causes = "; ".join(tally.lost for tally in self.dispatcher.tallies)
                raise CannotJudge(f"model {spec!r}: no worker could open it: {causes}")
            first = _same_everywhere(spec, opened, OF_A_JUDGE if opening.judges else REMEDIES)
        except BaseException:
            self.close()
            raise
        return ModelOnWorkers(
            spec if first.name == sent.spec else first.name,
            str(first.sha256),
            first.dtype,
            first.block_size,
            first.notes,
            first.chat_templates,
            partial(_hash_everywhere, spec, sent, self.dispatcher) if first.can_check else None,
            sent,
            self,
        )

    def open_judge(self, spec: str) -> Model:
        """Open a model that judges, unless it is open. Raises Tampered if a worker has other weights, and WorkersFailed
        if it cannot be opened for any other reason: no answer can be judged."""
        if spec not in self.judges:
            try:
                self.judges[spec] = self.open(Opening(spec, judges=True))
            except Tampered as error:
                self.judges[spec] = error
            except Exception as error:  # an error of a library says nothing about an answer either
                why = f"the judge cannot be opened on the workers: {message_of(error) or type(error).__name__}"
                self.judges[spec] = WorkersFailed(why)
        found = self.judges[spec]
        if isinstance(found, TunegateError):
            raise found
        return found

    def close(self) -> None:
        self.dispatcher.close()


class JudgeOpener:
    """Opens judges where a model is open, which stays open as long as this object lives.

    Checks may copy the samples that hold it; sent to another process, it is None there, and a judge is opened in that
    process. It is not a dataclass, since `asdict` would copy what is inside.
    """

    def __init__(self, beside: ModelOnWorkers) -> None:
        self._beside = beside

    def __call__(self, spec: str) -> Model:
        return self._beside.workers.open_judge(spec)

    def __deepcopy__(self, memo: object) -> JudgeOpener:
        return self

    def __reduce__(self) -> tuple[Callable[[], None], tuple[()]]:
        return _none, ()


def _none() -> None:
    return None


REMEDIES = {"number type": "set --dtype", "batch size": "set --batch-size"}
OF_A_JUDGE = dict.fromkeys(REMEDIES, "use machines of one kind")


def _same_everywhere(spec: str, opened: Mapping[str, Opened], remedies: Mapping[str, str]) -> Opened:
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
        _refuse_unlike(spec, (place, _facts(first)), (other, _facts(one)), remedies)
    ours = {name: version for name, version in installed_versions().items() if name in first.versions}
    theirs = {name: first.versions[name] for name in ours}
    _refuse_unlike(spec, (place, _versions(theirs)), ("this machine", _versions(ours)), remedies)  # on record
    return first


def _facts(opened: Opened) -> dict[str, object]:
    """What can change an answer, by name, beside the weights."""
    return {"number type": opened.dtype, "batch size": opened.block_size, **_versions(opened.versions)}


def _versions(versions: Mapping[str, str]) -> dict[str, object]:
    return {f"version of {name}": version for name, version in sorted(versions.items())}


def _refuse_unlike(
    spec: str,
    one: tuple[str, Mapping[str, object]],
    other: tuple[str, Mapping[str, object]],
    remedies: Mapping[str, str],
) -> None:
    """Raise ConfigError for the first fact that differs between two places, each given with its facts."""
    (place, ours), (elsewhere, theirs) = one, other
    for what in dict.fromkeys((*ours, *theirs)):
        if ours.get(what) != theirs.get(what):
            raise ConfigError(
                f"model {spec!r}: the workers would answer differently: {place} has the {what} {ours.get(what)}, but "
                f"{elsewhere} has {theirs.get(what)}; {remedies.get(what, 'install the same one')}"
            )


def _hash_everywhere(spec: str, opening: Opening, dispatcher: Dispatcher) -> str:
    """The fingerprint that the files have now, on all workers; raises Tampered if they differ."""
    found = dispatcher.everywhere(lambda worker: worker.sha256_now(opening))
    if not found:
        raise CannotJudge(f"model {spec!r}: no worker is left to hash its files again")
    if len(set(found.values())) > 1:
        told = ", ".join(f"{sha256:.12} on {place}" for place, sha256 in found.items())
        raise Tampered(f"model {spec!r}: its files changed while it was in use: {told}")
    return next(iter(found.values()))
