"""Pure work on the nodes of a Ray cluster: an actor for each core does blocks, as a process of this machine does.

The function that does the blocks, with its setup, is sent once, through Ray's object store. The main process reads the
blocks, sends each to an idle actor and takes the results in order (`tunegate.processes`), so nodes need no shared path.
"""

from __future__ import annotations

import pickle
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import replace
from functools import cached_property
from typing import Any

from tunegate.executors.dispatch import MAX_LOST
from tunegate.executors.ray_nodes import RayActor, RayNodes, Share, check_versions, connected, started
from tunegate.processes import MOST_WORKERS, Answer, answering, on_workers
from tunegate.versions import installed_versions


def in_order_on(
    nodes: RayNodes, build: Callable[[Any], Callable[[Any], Any]], setup: Any, blocks: Iterable[Any]
) -> Generator[Any, None, None]:
    """Like `in_order`, by actors on these nodes. A block is done in this process if it ended several actors, or if no
    actor is left. With more than a few blocks, raises CannotJudge if there is no cluster or no free core, and
    ConfigError if a node has another version."""
    return on_workers(_actors(nodes, (build, setup)), build, setup, blocks, MAX_LOST)


def _actors(nodes: RayNodes, work: tuple[Any, Any]) -> Iterator[BlockActor]:
    ray = connected(nodes.address)
    shares = by_turns(replace(nodes, gpus_per_model=0.0, cpus_per_model=1.0).shares(ray))[:MOST_WORKERS]
    sent = ray.put(pickle.dumps(work, pickle.HIGHEST_PROTOCOL))

    def make(share: Share, number: int) -> BlockActor:
        return BlockActor(ray, share, number, nodes.timeout_s, sent)

    actors = started(ray, shares, make, nodes.patience_s)
    try:
        for actor in actors:
            check_versions(actor.place, actor.get(actor.ready), versions(), "this machine")
    except BaseException:  # Ctrl-C, or a node with another version
        for actor in actors:
            actor.close()
        raise
    yield from actors


def by_turns(shares: Iterable[Share]) -> list[Share]:
    """The first share of each node, then the second of each, and so on.

    >>> [share.node for share in by_turns([Share("a", 0, 1), Share("a", 0, 1), Share("b", 0, 1)])]
    ['a', 'b', 'a']
    """
    of_node: dict[str, list[Share]] = defaultdict(list)
    for share in shares:
        of_node[share.node].append(share)
    most = max(map(len, of_node.values()), default=0)
    return [those[turn] for turn in range(most) for those in of_node.values() if turn < len(those)]


def versions() -> dict[str, str]:
    """The versions that can change a result: those of Tunegate and of Python, which has tables of characters."""
    return {name: version for name, version in installed_versions().items() if name in ("tunegate", "python")}


class BlockActor(RayActor):
    """An actor that does blocks. They are pickled here: Ray's own pickling runs Python code for each row."""

    def __init__(self, ray: Any, share: Share, number: int, timeout_s: float, work: Any) -> None:
        super().__init__(ray, share, number, timeout_s, Remote, work)

    def ask(self, block: Any) -> Answer:
        return pickle.loads(self.get(self._actor.done.remote(pickle.dumps(block, pickle.HIGHEST_PROTOCOL))))

    def kill(self) -> None:
        self.close()


class Remote:
    """The actor."""

    def __init__(self, work: bytes) -> None:
        self._work = work

    def ready(self) -> dict[str, str]:
        return versions()

    def done(self, block: bytes) -> bytes:
        return self._answer(pickle.loads(block))

    @cached_property
    def _answer(self) -> Callable[[Any], bytes]:
        return answering(*pickle.loads(self._work))
