"""Trainings on the nodes of a cluster of two nodes on this machine: side by side, and with nodes that are killed."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.support.bank import write_jsonl
from tests.support.ray_cluster import Nodes
from tests.support.same_record import comparable
from tests.support.tiny_model import make_tiny_model
from tests.training.test_run_real import PIPELINE as REAL
from tunegate.cli import main
from tunegate.exceptions import CannotJudge, ConfigError, Tampered
from tunegate.executors.ray_nodes import RayNodes, connected
from tunegate.models.fingerprint import fingerprint
from tunegate.record.read_run import read_run
from tunegate.training import ray_trainings
from tunegate.training.ray_trainings import RayTrainings, Watched
from tunegate.training.trainer import TrainJob, TrainResult
from tunegate.versions import installed_versions

# A training that says where it is: each step is a line of `steps`, and it goes on from the last one.
STUB = """
import json, os, sys, time
from pathlib import Path
job = json.loads(Path(sys.argv[1]).read_text())
folder = Path(sys.argv[1]).parent
plan = json.loads((folder / "plan.json").read_text())
threads = __import__("threading").Thread(target=lambda: (sys.stdin.read(), os._exit(1)), daemon=True).start()
with open(folder / "tries", "a") as tries:
    tries.write(str(os.getpid()) + "\\n")
steps = folder / "steps"
while (done := len(steps.read_text().split()) if steps.exists() else 0) < plan["steps"]:
    with open(steps, "a") as file:
        file.write(str(os.getpid()) + "\\n")
    print(f"step {done + 1}", flush=True)
    if plan.get("dies"):
        os.kill(os.getppid(), 9)
        time.sleep(600)
    if "waits for" in plan:
        while not Path(plan["waits for"]).exists():
            time.sleep(0.01)
    time.sleep(plan.get("delay_s", 0))
Path(job["output"]).mkdir()
Path(job["output"], "config.json").write_text("{}")
Path(job["output"], "model.safetensors").write_text("weights")
Path(sys.argv[2]).write_text(json.dumps({"log": [], "summary": {}, "error": None, "failure": "other"}))
"""
COMMAND = (sys.executable, "-c", STUB)


def job_in(folder: Path, **plan: Any) -> TrainJob:
    """A training in a folder of its own, from a model beside it."""
    base = folder.parent / "base"
    base.mkdir(exist_ok=True)
    (base / "config.json").write_text("{}")
    (base / "model.safetensors").write_text("as given")
    folder.mkdir()
    (folder / "plan.json").write_text(json.dumps({"steps": 1, **plan}))
    return TrainJob("sft", str(base), "data.jsonl", str(folder / "model"), 1, label=folder.name)


def lines(path: Path) -> list[str]:
    with suppress(OSError):
        return path.read_text().split()
    return []


def until(true: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 240  # Ray may start a worker slowly on a busy machine
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def is_alive(pid: str) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


# --- the actor, without a cluster ------------------------------------------------------------------------------------


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def begin(actor: Watched, job: TrainJob, folder: Path, **versions: str) -> tuple[bool, Any]:
    command = [*COMMAND, *ray_trainings.written(job)]
    return actor.call("begin", command, str(folder), job.model, {**installed_versions(), **versions})


def test_it_tells_what_a_training_prints_and_leaves(here: Path) -> None:
    actor, job = Watched(), job_in(here / "a", steps=3)
    assert begin(actor, job, here) == (True, fingerprint(Path(job.model)))
    said: list[str] = []
    ended = None
    while ended is None:
        fine, (new, ended) = actor.call("progress", job.output)
        assert fine
        said += new
    returncode, _, sha256 = ended
    assert (returncode, sha256) == (0, fingerprint(Path(job.output)))
    assert said == ["step 1", "step 2", "step 3"]


def test_its_time_is_that_of_the_process_alone(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[float] = []

    def sha256(path: str) -> str:
        hashed.append(time.monotonic())
        time.sleep(0.1)
        hashed.append(time.monotonic())
        return fingerprint(Path(path))

    monkeypatch.setattr(ray_trainings, "model_sha256", sha256)
    actor, job = Watched(), job_in(here / "a")
    begin(actor, job, here)
    while (ended := actor.call("progress", job.output)[1][1]) is None:
        time.sleep(0.01)
    _, hashed_before, hashed_after, _ = hashed
    assert 0 < ended[1] <= hashed_after - hashed_before


@pytest.mark.parametrize("missing", ["the working folder", "the folder of the attempt"])
def test_a_path_that_is_not_shared_is_one_line(here: Path, missing: str) -> None:
    job = job_in(here / "a")
    if missing == "the working folder":
        fine, error = begin(Watched(), job, here / "not-here")
    else:
        command = [*COMMAND, str(here / "not-here" / "job.json"), "result.json", "sha256"]
        fine, error = Watched().call("begin", command, str(here), job.model, installed_versions())
    assert not fine
    assert isinstance(error, ConfigError)
    assert "must be on a path that all nodes share" in str(error)
    assert len(str(error).splitlines()) == 1


def test_another_version_on_a_node_is_refused(here: Path) -> None:
    fine, error = begin(Watched(), job_in(here / "a"), here, torch="0.0.1", platform="another")
    assert not fine
    assert isinstance(error, ConfigError)
    assert "the run has 0.0.1: install the same one" in str(error)
    assert not (here / "a" / "tries").exists()


# --- a cluster -------------------------------------------------------------------------------------------------------

on_cluster = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.filterwarnings("ignore")]


class TestCluster:
    pytestmark = on_cluster

    @pytest.fixture
    def said(self) -> list[str]:
        return []

    @pytest.fixture
    def trainings(self, nodes: Nodes, here: Path, said: list[str]) -> RayTrainings:
        return RayTrainings(RayNodes(nodes.cluster.address, patience_s=90.0), said.append, COMMAND)

    def test_two_nodes_train_at_once(self, trainings: RayTrainings, here: Path, said: list[str]) -> None:
        assert trainings.places == 2
        one = trainings.begin(job_in(here / "one", **{"waits for": str(here / "two" / "steps")}))
        two = trainings.begin(job_in(here / "two", **{"waits for": str(here / "one" / "steps")}))
        for result in (one.result(), two.result()):
            assert isinstance(result, TrainResult)
            assert result.error is None
        assert said.count("step 1") == 2
        places = {line.partition(": trains on ")[2] for line in said if ": trains on " in line}
        assert len(places) == 2

    @pytest.mark.parametrize("killed", [0, 1])
    def test_a_killed_node_loses_no_step(
        self, trainings: RayTrainings, nodes: Nodes, here: Path, said: list[str], killed: int
    ) -> None:
        """Both nodes train; the training of the killed one waits until the other place is free, and goes on there."""
        both = [trainings.begin(job_in(here / name, steps=8, delay_s=0.5)) for name in ("one", "two")]
        until(lambda: all(len(lines(here / name / "steps")) >= 2 for name in ("one", "two")), "no training began")
        nodes.kill(killed)
        try:
            results = [training.result() for training in both]
        finally:
            nodes.replace(killed)
        assert [result.error if result else "killed" for result in results] == [None, None]
        assert [len(lines(here / name / "steps")) for name in ("one", "two")] == [8, 8]
        tries = [lines(here / name / "tries") for name in ("one", "two")]
        assert sorted(map(len, tries)) == [1, 2]
        assert sum(" is lost: " in line for line in said) == 1
        told = [result.executor["workers"] for result in results if result and result.executor]
        assert sorted([bool(worker.get("lost")) for worker in workers] for workers in told) == [[False], [True, False]]
        until(lambda: not any(is_alive(pid) for pids in tries for pid in pids), "a training outlived its node")

    def test_one_that_ends_every_place_is_given_up(
        self, trainings: RayTrainings, here: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ray_trainings, "AVOIDED_S", 2.0)
        with pytest.raises(CannotJudge, match="the training one was lost 3 times: "):
            trainings(job_in(here / "one", steps=9, dies=True))
        assert len(lines(here / "one" / "steps")) == 3
        assert not trainings._taken

    def test_a_stop_ends_it_and_frees_its_place(self, trainings: RayTrainings, here: Path) -> None:
        training = trainings.begin(job_in(here / "one", **{"waits for": "never"}))
        until(lambda: lines(here / "one" / "steps"), "it did not begin")
        training.stop()
        until(lambda: not is_alive(lines(here / "one" / "tries")[0]), "it outlived the stop")
        assert not trainings._taken
        assert trainings(job_in(here / "two")).error is None

    def test_more_than_there_are_places_wait(self, trainings: RayTrainings, here: Path) -> None:
        all_ = [trainings.begin(job_in(here / name, delay_s=0.5)) for name in ("one", "two", "three")]
        assert len(trainings._taken) <= 2
        assert all(training.ended().error is None for training in all_)

    @pytest.mark.parametrize("what", ["starts from", "left"])
    def test_other_weights_than_here_are_tampered(
        self, trainings: RayTrainings, here: Path, monkeypatch: pytest.MonkeyPatch, what: str
    ) -> None:
        job = job_in(here / "one")
        other = job.model if what == "starts from" else job.output
        monkeypatch.setattr(
            ray_trainings, "model_sha256", lambda path: "other" if path == other else fingerprint(Path(path))
        )
        with pytest.raises(Tampered, match=f"{what} the weights .* but here it has other"):
            trainings.begin(job).result()

    @pytest.mark.parametrize("begun", [1, 2])
    def test_nodes_that_others_use_are_told_in_time(
        self, nodes: Nodes, trainings: RayTrainings, here: Path, begun: int
    ) -> None:
        trainings.nodes = RayNodes(nodes.cluster.address, patience_s=2.0)
        with used_by_others(trainings, [0, 1]):
            all_ = [trainings.begin(job_in(here / f"{number}")) for number in range(begun)]
            with pytest.raises(CannotJudge, match="gave no training 1 core within 2 s: others use them"):
                all_[0].ended()
            all_[-1].stop()
        assert not trainings._taken

    def test_a_node_that_others_use_is_left_for_a_free_one(self, trainings: RayTrainings, here: Path) -> None:
        """As the first place is chosen first, the training waits there, until it sees the second one."""
        with used_by_others(trainings, [0]):
            result = trainings(job_in(here / "one"))
        assert result.error is None
        assert result.executor is not None
        assert [sorted(worker) for worker in result.executor["workers"]] == [["place"]]

    @pytest.mark.parametrize("kill", [False, True])
    def test_a_real_run_is_that_of_one_machine(
        self, nodes: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kill: bool
    ) -> None:
        monkeypatch.setenv("OMP_NUM_THREADS", "1")
        folders: list[Path] = []
        for name, option in (("alone", []), ("nodes", ["--executor", f"ray:{nodes.cluster.address}"])):
            place = tmp_path / name
            make_tiny_model(place / "base")
            write_jsonl(
                place / "cases.jsonl", [{"id": str(n), "prompt": f"say {n}", "reference": "x"} for n in range(16)]
            )
            write_jsonl(place / "train.jsonl", [{"prompt": f"tell {n}", "completion": "yes it is"} for n in range(6)])
            text = REAL[: REAL.index("  - name: dpo")].replace("SAVE", "merged").replace("(?s)^.{0,500}$", "^never$")
            retrain = "    retrain: {max_attempts: 2, rows: [2, 4, 6], learning_rate: [1e-3, 1e-4], search: optuna}\n"
            (place / "tunegate.yaml").write_text(text + retrain)
            monkeypatch.chdir(place)
            if kill and option:
                _kill_when(nodes, place / "runs" / "tiny" / "sft" / "attempt-2" / "job.json")
            assert main(["run", *option]) == 1
            folders.append(place)
        if kill:
            nodes.replace(0)
        alone, both = (json.dumps(comparable(one / "runs" / "tiny")).replace(str(one), "") for one in folders)
        assert both == alone
        runs = [read_run(one / "runs" / "tiny") for one in folders]
        weights = [[attempt.model_sha256 for attempt in run.stages["sft"].attempts.values()] for run in runs]
        assert weights[0] == weights[1]
        assert len(weights[0]) == 2
        one, two = runs[1].stages["sft"].attempts.values()
        assert [attempt.summary["threads"] for attempt in (one, two)] == [1, 1]
        for attempt in (one, two):
            assert attempt.executor is not None
            assert attempt.executor["kind"] == "ray"
        report = main(["report", str(folders[1] / "runs" / "tiny")])
        assert report == 0
        assert "trained by (ray)" in (folders[1] / "runs" / "tiny" / "report.html").read_text(encoding="utf-8")


@contextmanager
def used_by_others(trainings: RayTrainings, places: list[int]) -> Iterator[None]:
    """While the cores of these places, in the order in which they are chosen, belong to other actors."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy  # pyright: ignore

    ray = connected(trainings.nodes.address)

    @ray.remote(num_cpus=1)
    class Other:
        def ready(self) -> bool:
            return True

    shares = trainings.nodes.shares(ray)
    strategies = [NodeAffinitySchedulingStrategy(shares[place].node, soft=False) for place in places]
    others = [Other.options(scheduling_strategy=one).remote() for one in strategies]  # pyright: ignore
    ray.get([other.ready.remote() for other in others])
    try:
        yield
    finally:
        for other in others:
            ray.kill(other)


def _kill_when(nodes: Nodes, file: Path) -> None:
    """Kill a node a moment after a file appears: while both trainings import."""
    import threading

    def kill() -> None:
        until(file.exists, "the second training was not begun")
        time.sleep(1.0)
        nodes.kill(0)

    threading.Thread(target=kill, daemon=True).start()
