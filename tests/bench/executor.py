"""Two copies of a model against one: throughput as a ratio within one run, and the memory of each copy.

    python -m tests.bench executor

- A stub that takes a fixed time for each block shows what dispatching costs (goal: 1.8).
- SmolLM2-135M answers 100 genes cases in one process with all cores, and in two processes with half of them each.
- A stub that judges, 64 answers at a time as in `tunegate judge` (goal: 1.8).
- Two trainings side by side against one after the other: a stub that waits, and a real one of a tiny model.
- With the extra `ray`, two nodes of a cluster on this machine, with one core each, against one such node.

Opening the models is not part of the rate; it is told beside it. On a machine where other work runs, only the stubs'
ratios say something: they wait instead of computing.
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.bench.generation import MAX_NEW_TOKENS, MODEL, genes_cases
from tests.support.stub_backend import install, write_stub
from tests.support.tiny_model import make_tiny_model
from tunegate.cases.case import Case
from tunegate.executors.executor import Opening, StartsWorkers
from tunegate.executors.model_on_workers import Workers, open_on
from tunegate.executors.processes import Processes
from tunegate.executors.ray_nodes import RayNodes
from tunegate.gates.runner import blocks_of
from tunegate.models.blocks import Block, expect
from tunegate.models.model import GenerationSettings
from tunegate.processes import usable_cores
from tunegate.reading.chats import Message
from tunegate.training.ray_trainings import RayTrainings
from tunegate.training.side_by_side import SideBySide, TrainingProcesses
from tunegate.training.trainer import SubprocessTrainer, TrainJob, TrainResult
from tunegate_suites.judges.local import LocalJudge
from tunegate_suites.options import LocalModels

STUB_CASES, STUB_BLOCK_S, ROUNDS = 160, 0.25, 2
JUDGED_AT_ONCE = 64
TRAINING_S = 10.0
WAITING = (
    sys.executable,
    "-c",
    f"""
import json, sys, time
from pathlib import Path
time.sleep({TRAINING_S})
output = Path(json.loads(Path(sys.argv[1]).read_text())["output"])
output.mkdir()
output.joinpath("config.json").write_text("{{}}")
output.joinpath("model.safetensors").write_text("weights")
Path(sys.argv[2]).write_text(json.dumps({{"log": [], "summary": {{}}, "error": None, "failure": "other"}}))
""",
)
"""The stub of a training: waits, and leaves the same weights."""
TINY_ARGS = {"per_device_train_batch_size": 8, "max_steps": 100}
CASES, BATCH = 100, 8
"""Those of the real model: 13 blocks, so that two copies end at about the same time."""


@dataclass(frozen=True)
class Measured:
    """The best rate of a few rounds, the answers in order, the peak memory of each copy, and the time to open them."""

    cases_per_s: float
    answers: list[str]
    peaks_mib: list[float]
    open_s: float


def main() -> None:
    with tempfile.TemporaryDirectory() as place, stub_installed(Path(place)):
        stub = Opening(write_stub(Path(place) / "stub", delay_s=STUB_BLOCK_S))
        real = Opening(MODEL, batch_size=BATCH)
        work = {
            "stub": (stub, [Case(f"c{n}", f"{n}?") for n in range(STUB_CASES)]),
            "model": (real, genes_cases(CASES)),
        }
        for name, (opening, cases) in work.items():
            tell(f"{name}, processes", *(measured(Processes(count), opening, cases) for count in (1, 2)))
        one, two = (judged_per_s(Processes(count), stub.spec) for count in (1, 2))
        print(f"a stub judges, processes: one {one:.2f} answers/s, two {two:.2f} answers/s, ratio {two / one:.2f}")
        trainings(Path(place))
        if find_spec("ray") is None:
            print("ray: the extra is not installed")
            return
        with cluster() as (address, add_node):
            alone = {name: measured(RayNodes(address), *each) for name, each in work.items()}
            add_node()
            for name, each in work.items():
                tell(f"{name}, nodes of Ray", alone[name], measured(RayNodes(address), *each))
            waits = waiting(Path(place) / "on-nodes")
            nodes = RayTrainings(RayNodes(address), command=WAITING)
            compare("a stub, nodes of Ray", [partial(nodes, job) for job in waits[:2]], nodes, waits[2:])


def trainings(place: Path) -> None:
    """Seconds of two trainings, one after the other and side by side; both ways start fresh processes."""
    cores = usable_cores()
    waits = waiting(place / "stubs")
    alone = SubprocessTrainer(WAITING)
    compare("a stub", [partial(alone, job) for job in waits[:2]], TrainingProcesses(2, cores, (), WAITING), waits[2:])
    model = make_tiny_model(place / "tiny")
    rows = place / "rows.jsonl"
    rows.write_text("".join(f'{{"prompt": "say {n}", "completion": "yes it is"}}\n' for n in range(64)))
    jobs = [replace(job, model=str(model), data=str(rows), args=TINY_ARGS) for job in in_folders(place / "real")]
    alone = SubprocessTrainer()
    compare("a tiny model", [partial(alone, job) for job in jobs[:2]], TrainingProcesses(2, cores), jobs[2:])
    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**10
    print(f"  the largest process so far: {largest:.0f} MiB", flush=True)


def compare(label: str, alone: list[Callable[[], TrainResult]], beside: SideBySide, jobs: Sequence[TrainJob]) -> None:
    started = time.perf_counter()
    results = [train() for train in alone]
    one_by_one = time.perf_counter() - started
    started = time.perf_counter()
    begun = [beside.begin(job) for job in jobs]
    results += [result for training in begun if (result := training.result())]
    both = time.perf_counter() - started
    assert [result.error for result in results] == [None] * 4, results
    print(
        f"two trainings, {label}: one after the other {one_by_one:.1f} s, side by side {both:.1f} s, "
        f"ratio {one_by_one / both:.2f}",
        flush=True,
    )


def waiting(place: Path) -> list[TrainJob]:
    """Four jobs of the stub, on a model of no size."""
    base = place / "base"
    base.mkdir(parents=True)
    (base / "config.json").write_text("{}")
    (base / "model.safetensors").write_text("weights")
    return [replace(job, model=str(base)) for job in in_folders(place)]


def in_folders(place: Path) -> list[TrainJob]:
    jobs = [TrainJob("sft", "", "", str(place / name / "model"), 1, label=name) for name in "abcd"]
    for job in jobs:
        Path(job.output).parent.mkdir(parents=True)
    return jobs


def measured(executor: StartsWorkers, opening: Opening, cases: list[Case]) -> Measured:
    started = time.perf_counter()
    model = open_on(executor, opening)
    open_s = time.perf_counter() - started
    best, answers = 0.0, dict[str, str]()
    for round_ in range(ROUNDS):
        settings = GenerationSettings(max_new_tokens=MAX_NEW_TOKENS, seed=round_)  # greedy: another block, same answers
        batches = blocks_of(cases, model.block_size, in_draw_order=False)
        blocks = [Block("generate", tuple(batch), settings) for batch in batches]
        started = time.perf_counter()
        expect(model, blocks)
        for block in blocks:
            answers |= {block.cases[index].id: response.text for index, response in block.asked_of(model)}
        best = max(best, len(cases) / (time.perf_counter() - started))
    peaks = [(tally.peak_bytes or 0) / 2**20 for tally in model.workers.dispatcher.tallies]
    model.close()
    return Measured(best, [answers[case.id] for case in cases], peaks, open_s)


def judged_per_s(executor: StartsWorkers, spec: str) -> float:
    with closing(Workers.of(executor)) as workers:
        judge = LocalJudge(spec, "weights", ("yes", "no"), LocalModels())
        questions: list[tuple[Message, ...]] = [({"role": "user", "content": f"{n}?"},) for n in range(JUDGED_AT_ONCE)]
        judge.ask(questions, workers.open_judge)  # opens it
        started = time.perf_counter()
        for _ in range(ROUNDS):
            judge.ask(questions, workers.open_judge)
        return ROUNDS * len(questions) / (time.perf_counter() - started)


def tell(label: str, one: Measured, two: Measured) -> None:
    same = sum(a == b for a, b in zip(one.answers, two.answers, strict=True))
    ratio = two.cases_per_s / one.cases_per_s
    print(f"{label}: one {one.cases_per_s:.2f} cases/s, two {two.cases_per_s:.2f} cases/s, ratio {ratio:.2f}")
    print(f"  opened in {one.open_s:.1f} s and {two.open_s:.1f} s; {same} of {len(one.answers)} answers are the same")
    print(f"  peak memory of each copy, MiB: {', '.join(f'{peak:.0f}' for peak in two.peaks_mib)}", flush=True)


@contextmanager
def stub_installed(place: Path) -> Iterator[None]:
    """The stub backend on the path of this process and of those that it starts."""
    site, before = str(install(place / "site")), os.environ.get("PYTHONPATH")
    sys.path.insert(0, site)
    os.environ["PYTHONPATH"] = os.pathsep.join([site, *([before] if before else [])])
    yield
    sys.path.remove(site)


@contextmanager
def cluster() -> Iterator[tuple[str, Callable[[], None]]]:
    """The address of a cluster with a head without cores and a node with one, and a call that adds another node."""
    import ray
    from ray.cluster_utils import Cluster  # pyright: ignore

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    found: Any = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})

    def add_node() -> None:
        found.add_node(num_cpus=1)
        found.wait_for_nodes()

    add_node()
    yield found.address, add_node
    ray.shutdown()
    found.shutdown()


if __name__ == "__main__":
    main()
