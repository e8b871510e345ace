"""The executor `ray`: one actor for each copy of the model, on the nodes of a Ray cluster.

Actors are pinned to nodes. Ray never restarts them, and retries none of their calls: `dispatch.py` gives a lost block
to another actor, and `tunegate.processes` does so for blocks of training rows (`blocks_on_ray.py`).
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from tunegate.exceptions import CannotJudge, ConfigError, message_of
from tunegate.executors.executor import Opened, Opening, Reply, Worker, WorkerGone, WorkerLost
from tunegate.executors.held_models import HeldModels, portable
from tunegate.executors.model_on_workers import open_on
from tunegate.models.blocks import Block
from tunegate.models.model import Model
from tunegate.optional import optional_import
from tunegate.processes import InOrder

PATIENCE_S = 30.0
"""How long the cluster has to give the first copy of the model its GPUs and cores."""
CONNECT_S = 10.0
ROUNDING = 1e-9
"""1 / 0.2 copies are 5, although 0.2 is a little more than a fifth."""
WITHOUT_HEAD, WITHOUT_HEAD_S = "RAY_gcs_rpc_server_reconnect_timeout_s", 86400
"""After this time without the head, Ray ends this process with exit code 1, as if a gate had failed; by default after a
minute. The nodes end after a minute in any case, and what they do then is lost to us as with any lost node."""
CURRENT = Path(os.environ.get("RAY_TMPDIR") or "/tmp", "ray", "ray_current_cluster")
"""Where Ray writes the address of the cluster that was started on this machine last."""


@dataclass(frozen=True, slots=True)
class RayNodes:
    """The nodes of the cluster at `address`. A node gets as many copies of the model as it has GPUs or cores for;
    None: a GPU for each copy if a node has one; without GPUs, one copy on each node, with all its cores."""

    address: str = "auto"
    gpus_per_model: float | None = None
    cpus_per_model: float | None = None
    timeout_s: float = 3600.0
    patience_s: float = PATIENCE_S
    kind: str = "ray"

    def open(self, opening: Opening) -> Model:
        return open_on(self, opening)

    @property
    def in_order(self) -> InOrder:
        from tunegate.executors.blocks_on_ray import in_order_on

        return partial(in_order_on, self)

    def start(self) -> Sequence[Worker]:
        """One actor for each copy that the nodes have room for now.

        Raises CannotJudge within bounds if there is no cluster, or if it gives no copy its GPUs and cores.
        """
        ray = connected(self.address)
        shares = self.shares(ray)
        return started(
            ray, shares, lambda share, number: RayWorker(ray, share, number, self.timeout_s), self.patience_s
        )

    def shares(self, ray: Any) -> Sequence[Share]:
        """The copies that the nodes have room for; waits for a node that has room for one."""
        until = time.monotonic() + self.patience_s
        while True:
            nodes = _living(ray)
            shares = shares_of(nodes, self.gpus_per_model, self.cpus_per_model)
            if shares:
                return shares
            if time.monotonic() > until:
                wanted = Share("", self.gpus_per_model or 0.0, self.cpus_per_model or 1.0)
                raise CannotJudge(
                    f"executor ray: no node can give {in_words(wanted)}; the cluster has "
                    f"{'; '.join(map(_of_node, nodes)) or 'no node'}"
                )
            time.sleep(1.0)


@dataclass(frozen=True, slots=True)
class Share:
    """What one copy of the model gets of a node."""

    node: str
    gpus: float
    cpus: float
    host: str = ""


def shares_of(
    nodes: Iterable[Mapping[str, Any]], gpus_per_model: float | None, cpus_per_model: float | None
) -> list[Share]:
    """The copies of a model that nodes have room for, as `ray.nodes()` describes them.

    >>> node = {"NodeID": "a", "NodeManagerHostname": "h", "Resources": {"CPU": 8.0, "GPU": 2.0}}
    >>> [(share.gpus, share.cpus) for share in shares_of([node], None, None)]
    [(1.0, 1.0), (1.0, 1.0)]
    """
    nodes = list(nodes)
    per_model = gpus_per_model
    if per_model is None:
        per_model = 1.0 if any(node["Resources"].get("GPU", 0) >= 1 for node in nodes) else 0.0
    shares: list[Share] = []
    for node in nodes:
        gpus, cpus = float(node["Resources"].get("GPU", 0)), float(node["Resources"].get("CPU", 0))
        cores = cpus_per_model or (1.0 if per_model else cpus)
        room = [int(have / need + ROUNDING) for have, need in ((gpus, per_model), (cpus, cores)) if need]
        host = str(node.get("NodeManagerHostname", ""))
        shares += [Share(str(node["NodeID"]), per_model, cores, host)] * min(room, default=0)
    return shares


def actor_on(ray: Any, share: Share, kind: type[Any], *arguments: Any) -> Any:
    """A new actor of this class, with this share of its node. Ray neither restarts it nor repeats its calls."""
    on_node = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(share.node, soft=False)
    actor = ray.remote(kind).options(
        num_gpus=share.gpus, num_cpus=share.cpus, max_restarts=0, max_task_retries=0, scheduling_strategy=on_node
    )
    return actor.remote(*arguments)


class RayActor:
    """An actor with its share of a node, and the references to it and to its first answer."""

    def __init__(self, ray: Any, share: Share, number: int, timeout_s: float, kind: type[Any], *arguments: Any) -> None:
        self._ray, self._timeout_s = ray, timeout_s
        self._place = f"worker {number + 1} on {share.host} (node {share.node:.8})"
        self._actor = actor_on(ray, share, kind, *arguments)
        self.ready = self._actor.ready.remote()

    @property
    def place(self) -> str:
        return self._place

    def get(self, reference: Any) -> Any:
        """What a call returned; raises WorkerLost."""
        try:
            return self._ray.get(reference, timeout=self._timeout_s)
        except self._ray.exceptions.GetTimeoutError as error:
            raise WorkerLost(f"no answer within {self._timeout_s:g} s") from error
        except Exception as error:  # actor died, node died, object lost, unavailable: all the same to a block
            raise WorkerLost(cause_of(error)) from error

    def close(self) -> None:
        """End the actor at once."""
        with suppress(Exception):  # the cluster may be gone
            if self._ray.is_initialized():  # otherwise Ray looks for a cluster first, for minutes
                self._ray.kill(self._actor)


class RayWorker(RayActor):
    """An actor that holds models."""

    def __init__(self, ray: Any, share: Share, number: int, timeout_s: float) -> None:
        super().__init__(ray, share, number, timeout_s, Remote)

    def open(self, opening: Opening) -> Opened:
        return self._call("open", opening)

    def answer(self, opening: Opening, block: Block) -> Reply:
        try:
            self.get(self._actor.ready.remote())
        except WorkerLost as lost:
            raise WorkerGone(str(lost)) from lost
        return self._call("answer", opening, block)

    def sha256_now(self, opening: Opening) -> str:
        return self._call("sha256_now", opening)

    def _call(self, method: str, *arguments: Any) -> Any:
        returned, value = self.get(self._actor.call.remote(method, *arguments))
        if not returned:
            raise value
        return value


class Remote:
    """The actor. What its model raises is a value: an error that Ray raises is a lost worker."""

    def __init__(self) -> None:
        self._held = HeldModels()

    def ready(self) -> bool:
        return True

    def call(self, method: str, *arguments: Any) -> tuple[bool, Any]:
        try:
            return True, getattr(self._held, method)(*arguments)
        except Exception as error:
            return False, portable(error)


def connected(address: str) -> Any:
    """The module `ray`, connected to the cluster; raises MissingExtra, or CannotJudge without a cluster."""
    os.environ.setdefault(WITHOUT_HEAD, str(WITHOUT_HEAD_S))
    ray = optional_import("ray", "ray", "the executor ray")
    optional_import("ray.util.scheduling_strategies", "ray", "the executor ray")
    if ray.is_initialized():
        if head := getattr(ray.get_runtime_context(), "gcs_address", ""):  # a client of Ray's (ray://) does not know it
            _check_reachable(head)  # Ray would wait for a head that is gone
        return ray
    found = _known_here() if address == "auto" else address
    if found != "auto" and "://" not in found:
        _check_reachable(found)
    terminate = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address=found, log_to_driver=False, logging_level="ERROR", configure_logging=False)
    except Exception as error:
        if found == "auto" and isinstance(error, ConnectionError):
            raise CannotJudge(
                "executor ray: no Ray cluster runs on this machine: start one with `ray start --head`, or name its "
                "address (ray:HOST:PORT)"
            ) from error
        raise CannotJudge(f"executor ray: no cluster at {found!r}: {cause_of(error)}") from error
    finally:
        with suppress(ValueError):  # not in the main thread
            signal.signal(signal.SIGTERM, terminate)  # Ray's own handler would lose the exit code 143
    ray._private.worker._worker_logs_enabled = False  # Ray prints lost nodes to standard output, also beside JSON
    return ray


def _known_here() -> str:
    """The address that `auto` stands for, if it is written down; Ray would try a cluster that is gone for minutes."""
    if named := os.environ.get("RAY_ADDRESS"):
        return named
    try:
        return (CURRENT.read_text(encoding="utf-8").strip()) or "auto"
    except OSError:
        return "auto"


def _check_reachable(address: str) -> None:
    """Raise at once for an address where nothing listens: Ray would try for a minute."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise ConfigError(f"executor ray: address: expected HOST:PORT or auto, got {address!r}")
    try:
        socket.create_connection((host, int(port)), CONNECT_S).close()
    except (OSError, OverflowError) as error:
        raise CannotJudge(f"executor ray: nothing answers at {address}: {error}") from error


def check_versions(place: str, found: Mapping[str, str], wanted: Mapping[str, str], whose: str) -> None:
    """Raise ConfigError for a place whose versions differ from the wanted ones, which are those of `whose`."""
    for name, version in wanted.items():
        if found.get(name) != version:
            raise ConfigError(
                f"executor ray: {place} has {name} {found.get(name)}, {whose} {version}: install the same one"
            )


Actor = TypeVar("Actor", bound=RayActor)


def started(ray: Any, shares: Sequence[Share], make: Callable[[Share, int], Actor], patience_s: float) -> list[Actor]:
    """An actor for each share (`make` also gets its number), as far as they start in time; the others are closed.
    Raises CannotJudge if there is none."""
    actors: list[Actor] = []
    try:
        actors.extend(make(share, number) for number, share in enumerate(shares))
        ready, faults = _ready(ray, actors, patience_s)
    except BaseException:  # Ctrl-C
        for actor in actors:
            actor.close()
        raise
    for actor in actors:
        if actor not in ready:
            actor.close()
    if not ready and faults:
        raise CannotJudge(f"executor ray: no worker could start: {'; '.join(faults)}")
    if not ready:
        raise CannotJudge(f"executor ray: no node gave {in_words(shares[0])} within {patience_s:g} s: others use them")
    return ready


def _ready(ray: Any, actors: Sequence[Actor], patience_s: float) -> tuple[list[Actor], list[str]]:
    """The actors that started in time, and why others could not start. Once one has started, the rest have a third of
    the time."""
    by_ref = {actor.ready: actor for actor in actors}
    done, waiting = ray.wait(list(by_ref), num_returns=1, timeout=patience_s)
    if waiting and done:
        more, _ = ray.wait(waiting, num_returns=len(waiting), timeout=patience_s / 3)
        done = [*done, *more]
    ready: list[Actor] = []
    faults: list[str] = []
    for actor in (by_ref[ref] for ref in done):
        try:
            ray.get(actor.ready, timeout=1.0)
            ready.append(actor)
        except Exception as error:  # it died while it started, or its node has other software
            faults.append(f"{actor.place}: {cause_of(error)}")
    return ready, faults


def _living(ray: Any) -> list[Mapping[str, Any]]:
    try:
        return [node for node in ray.nodes() if node["Alive"]]
    except Exception as error:  # Ray's own: the head is gone
        raise CannotJudge(f"executor ray: the cluster tells no nodes: {cause_of(error)}") from error


def in_words(share: Share) -> str:
    """`1 GPU and 1 core`."""
    told = [(share.gpus, "GPU"), (share.cpus, "core")]
    return " and ".join(f"{count:g} {what}{'' if count == 1 else 's'}" for count, what in told if count)


def _of_node(node: Mapping[str, Any]) -> str:
    has = node["Resources"]
    return f"{node.get('NodeManagerHostname', '?')} with {has.get('CPU', 0):g} cores and {has.get('GPU', 0):g} GPUs"


def cause_of(error: Exception) -> str:
    """The first line of Ray's long explanations, with its kind."""
    lines = [line.strip() for line in message_of(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0]:.120}" if lines else type(error).__name__
