"""Trainings on the nodes of a Ray cluster: each is a process that an actor starts and watches.

As with a training here, the process reads its job from the attempt's folder and writes model, checkpoints and result to
it, so all nodes must share that path. The actor says what the process prints, the hash of the weights that it starts
from, and that of the weights it left; both must be those that are seen here. If a node is lost, another one trains,
from the last checkpoint. As for models (`executors/ray_nodes.py`), Ray repeats nothing.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from tunegate.data.methods import method_of
from tunegate.exceptions import CannotJudge, ConfigError, Tampered, TunegateError
from tunegate.executors.dispatch import MAX_LOST
from tunegate.executors.executor import WorkerLost
from tunegate.executors.held_models import portable
from tunegate.executors.ray_nodes import RayNodes, Share, actor_on, cause_of, check_versions, connected, in_words
from tunegate.models.open_model import model_sha256
from tunegate.training.trainer import HELD, PYTHON, Trainer, TrainJob, TrainResult, result_of, written
from tunegate.versions import installed_versions

POLL_S = 0.5
"""How often a node is asked what its training printed, and whether it ended."""
PLACE_S = 5.0
"""How long a training waits for the cores of one node while another node is free."""
AVOIDED_S = 20.0
"""How long a node is left alone after it lost a training: Ray may take this long to notice that it is dead."""


@dataclass
class RayTrainings:
    """The places of a cluster where trainings run: as many as the nodes have room for copies of the model.

    It is also the trainer of one training. `say` gets each line that a training prints.
    """

    nodes: RayNodes
    say: Callable[[str], None] = lambda line: None
    command: tuple[str, ...] = PYTHON
    _taken: list[Share] = field(default_factory=list[Share])
    _at_work: list[Share] = field(default_factory=list[Share])
    _lost: dict[str, float] = field(default_factory=dict[str, float])
    _changing: threading.Lock = field(default_factory=threading.Lock)

    @property
    def places(self) -> int:
        return len(self._shares(connected(self.nodes.address)))

    def begin(self, job: TrainJob) -> RayTraining:
        return RayTraining(self, job)

    def __call__(self, job: TrainJob) -> TrainResult:
        training = self.begin(job)
        try:
            return training.ended()
        finally:
            training.stop()

    def or_here(self, here: Trainer) -> Trainer:
        """Trains on a node, but `here` what starts processes of its own: with a launcher, or by another trainer."""
        return lambda job: self(job) if job.launcher is None and method_of(job.method).resumes else here(job)

    def take(self, ray: Any) -> Share | None:
        """A place where none of these trainings runs; None if there is none at present."""
        with self._changing:
            free = self._shares(ray)
            for share in self._taken:
                if share in free:
                    free.remove(share)
            if free:
                self._taken.append(free[0])
            return free[0] if free else None

    def leave(self, share: Share) -> None:
        with self._changing:
            self._taken.remove(share)

    @contextmanager
    def at_work(self, share: Share) -> Generator[None]:
        """While its node trains: that place will become free."""
        self._at_work.append(share)
        try:
            yield
        finally:
            self._at_work.remove(share)

    @property
    def any_at_work(self) -> bool:
        return bool(self._at_work)

    def is_another_free(self, ray: Any) -> bool:
        """Whether there is a place that no training of this run has taken."""
        return len(self._shares(ray)) > len(self._taken)

    def avoid(self, share: Share) -> None:
        """Leave a node alone for a while."""
        self._lost[share.node] = time.monotonic()

    def _shares(self, ray: Any) -> list[Share]:
        now = time.monotonic()
        return [share for share in self.nodes.shares(ray) if now - self._lost.get(share.node, -AVOIDED_S) >= AVOIDED_S]


class NodeLost(WorkerLost):
    """The place of a training ended, or cannot be reached."""

    def __init__(self, place: str, cause: str) -> None:
        super().__init__(f"{place} is lost: {cause}")
        self.facts = {"place": place, "lost": cause}


class RayTraining:
    """A training on a node, and on another one if that is lost, at most three times. A thread follows it."""

    def __init__(self, trainings: RayTrainings, job: TrainJob) -> None:
        self._trainings, self._job = trainings, job
        self._ray = connected(trainings.nodes.address)
        self._stopped, self._wanted = threading.Event(), threading.Event()
        self._result: TrainResult | None = None
        self._was_killed = False
        self._lost: list[NodeLost] = []
        self._waited = 0.0
        self._fault: Exception | None = None
        self._thread = threading.Thread(target=self._follow, daemon=True, name=job.label)
        self._thread.start()

    @property
    def is_running(self) -> bool:
        return self._thread.is_alive()

    def ended(self) -> TrainResult:
        """Wait for the result. Raises CannotJudge if no node trains it; Tampered for other weights on a node."""
        self._wanted.set()
        self._thread.join()
        if self._fault is not None:
            raise self._fault
        assert self._result is not None
        return self._result

    def result(self) -> TrainResult | None:
        result = self.ended()
        return None if self._was_killed or result.failure == "out of memory" else result

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _follow(self) -> None:
        lost = self._lost
        try:
            while self._result is None and not self._stopped.is_set():
                try:
                    self._result = self._on_a_node()
                except NodeLost as error:
                    lost.append(error)
                    if len(lost) == MAX_LOST:
                        raise CannotJudge(
                            f"the training {self._job.label} was lost {MAX_LOST} times: {'; '.join(map(str, lost))}"
                        ) from error
                    self._trainings.say(f"{self._job.label}: {error}; it goes on at another place")
        except TunegateError as error:
            self._fault = error
        except Exception as error:  # Ray's own, for example if the cluster is gone
            self._fault = CannotJudge(f"executor ray: the training {self._job.label}: {cause_of(error)}")

    def _on_a_node(self) -> TrainResult | None:
        """Train at one place; None if this was stopped, or should try another place. Raises NodeLost."""
        share = self._place()
        if share is None:
            return None
        try:
            node = _Node(self._ray, share, self._trainings.nodes.timeout_s)
            try:
                return self._trained(node)
            except NodeLost:
                self._trainings.avoid(share)
                raise
            finally:
                node.close()
        finally:
            self._trainings.leave(share)

    def _place(self) -> Share | None:
        """Wait for a free place, which another training of this run may have."""
        while (share := self._trainings.take(self._ray)) is None:
            if self._stopped.wait(POLL_S):
                return None
        return share

    def _trained(self, node: _Node) -> TrainResult | None:
        if not self._is_ready(node):
            return None
        with self._trainings.at_work(node.share):
            return self._watched(node)

    def _watched(self, node: _Node) -> TrainResult | None:
        self._trainings.say(f"{self._job.label}: trains on {node.place}")
        command = [*self._trainings.command, *written(self._job)]
        before = node.call("begin", command, str(Path.cwd()), self._job.model, installed_versions())
        self._compare(node, self._job.model, before, "starts from")
        while not self._stopped.wait(POLL_S):
            lines, ended = node.call("progress", self._job.output)
            for line in lines:
                self._trainings.say(line)
            if ended is not None:
                return self._ended(node, *ended)
        return None

    def _is_ready(self, node: _Node) -> bool:
        """Wait for the actor, which others may keep from its cores; False if this was stopped, or if another place has
        become free. It is bounded while the run waits for this training and none of its trainings is at work."""
        here, patience_s = 0.0, self._trainings.nodes.patience_s
        while not node.is_ready(POLL_S):
            if self._stopped.is_set():
                return False
            is_idle = self._wanted.is_set() and not self._trainings.any_at_work
            here, self._waited = here + POLL_S, self._waited + POLL_S if is_idle else 0.0
            if here > PLACE_S and self._trainings.is_another_free(self._ray):
                self._trainings.avoid(node.share)
                return False
            if self._waited > patience_s:
                raise CannotJudge(
                    f"executor ray: {node.place} gave no training {in_words(node.share)} within {patience_s:g} s: "
                    "others use them"
                )
        return True

    def _ended(self, node: _Node, returncode: int, seconds: float, sha256: str | None) -> TrainResult:
        self._was_killed = returncode < 0
        result = result_of(self._job, returncode, seconds)
        if result.error is None:
            self._compare(node, self._job.output, sha256, "left")
        return replace(
            result, executor={"kind": "ray", "workers": [*(lost.facts for lost in self._lost), {"place": node.place}]}
        )

    def _compare(self, node: _Node, model: str, theirs: str | None, what: str) -> None:
        """Compare the hash that a node has of a model with the one seen here."""
        ours = model_sha256(model)
        if ours != theirs:
            raise Tampered(
                f"{model}: the training on {node.place} {what} the weights {theirs or 'unknown':.12}, but here it has "
                f"{ours or 'unknown':.12}; all nodes must share this path"
            )


class _Node:
    """The actor of a training."""

    def __init__(self, ray: Any, share: Share, timeout_s: float) -> None:
        self._ray, self.share, self._timeout_s = ray, share, timeout_s
        self.place = f"{share.host} (node {share.node:.8})"
        self._actor = actor_on(ray, share, Watched)
        self._ready = self._actor.ready.remote()

    def is_ready(self, timeout_s: float) -> bool:
        """Whether it has started within this time."""
        done, _ = self._ray.wait([self._ready], timeout=timeout_s)
        if done:
            self._get(self._ready)
        return bool(done)

    def call(self, method: str, *arguments: Any) -> Any:
        returned, value = self._get(self._actor.call.remote(method, *arguments))
        if not returned:
            raise value
        return value

    def close(self) -> None:
        """End the actor, and with it its training."""
        with suppress(Exception):  # the cluster may be gone
            self._ray.kill(self._actor)

    def _get(self, reference: Any) -> Any:
        try:
            return self._ray.get(reference, timeout=self._timeout_s)
        except Exception as error:  # the actor or its node died, or does not answer
            raise NodeLost(self.place, cause_of(error)) from error


class Watched:
    """The actor: starts a training and watches it. The training ends with the actor, whose pipe is its standard input.

    What is raised here is a value: an error that Ray raises is a lost node.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._started = 0.0
        self._lines: list[str] = []
        self._reader: threading.Thread | None = None

    def ready(self) -> bool:
        return True

    def call(self, method: str, *arguments: Any) -> tuple[bool, Any]:
        try:
            return True, getattr(self, method)(*arguments)
        except Exception as error:
            return False, portable(error)

    def begin(self, command: Sequence[str], folder: str, model: str, versions: Mapping[str, str]) -> str | None:
        """Begin a training in the working folder of the run; returns the hash of the weights that it starts from."""
        *_, job, _, _ = command
        _check_shared(folder)
        os.chdir(folder)
        _check_shared(job)
        wanted = {name: version for name, version in versions.items() if name != "platform"}
        check_versions(f"node {os.uname().nodename}", installed_versions(), wanted, "the run has")
        before = model_sha256(model)
        self._started = time.monotonic()
        self._process = subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=os.environ | {HELD: "1"},
            text=True,
            errors="replace",
        )
        assert self._process.stdout is not None
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        self._reader.start()
        return before

    def progress(self, output: str) -> tuple[list[str], tuple[int, float, str | None] | None]:
        """The lines since the last time; once the training has ended, also its exit code, the seconds that its process
        took, and the hash of what it left."""
        assert self._process is not None
        assert self._reader is not None
        returncode, seconds = self._process.poll(), time.monotonic() - self._started
        if returncode is not None:
            self._reader.join(1.0)  # longer only if a process that the training started holds its output
            assert self._process.stdin is not None
            self._process.stdin.close()
        lines = [self._lines.pop(0) for _ in range(len(self._lines))]
        if returncode is None:
            return lines, None
        return lines, (returncode, seconds, model_sha256(output) if Path(output).is_dir() else None)

    def _read(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                if line.strip():
                    self._lines.append(line.rstrip("\n"))


def _check_shared(path: str) -> None:
    if not Path(path).exists():
        raise ConfigError(
            f"executor ray: {path} is not on node {os.uname().nodename}: the run and the working folder must be on a "
            "path that all nodes share"
        )
