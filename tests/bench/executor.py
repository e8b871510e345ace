"""Two copies of a model against one: throughput as a ratio within one run, and the memory of each copy.

    python -m tests.bench executor

- A stub that takes a fixed time for each block shows what dispatching costs (goal: 1.8).
- SmolLM2-135M answers 100 genes cases in one process with all cores, and in two processes with half of them each.
- With the extra `ray`, two nodes of a cluster on this machine, with one core each, against one such node.

Opening the models is not part of the rate; it is told beside it. On a machine where other work runs, only the stub's
ratio says something: its copies wait instead of computing.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.bench.generation import MAX_NEW_TOKENS, MODEL, genes_cases
from tests.support.stub_backend import install, write_stub
from tunegate.cases.case import Case
from tunegate.executors.executor import Opening, StartsWorkers
from tunegate.executors.model_on_workers import open_on
from tunegate.executors.processes import Processes
from tunegate.executors.ray_nodes import RayNodes
from tunegate.gates.runner import blocks_of
from tunegate.models.blocks import Block, expect
from tunegate.models.model import GenerationSettings

STUB_CASES, STUB_BLOCK_S, ROUNDS = 160, 0.25, 2
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
        if find_spec("ray") is None:
            print("ray: the extra is not installed")
            return
        with cluster() as (address, add_node):
            alone = {name: measured(RayNodes(address), *each) for name, each in work.items()}
            add_node()
            for name, each in work.items():
                tell(f"{name}, nodes of Ray", alone[name], measured(RayNodes(address), *each))


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
    peaks = [(tally.peak_bytes or 0) / 2**20 for tally in model.dispatcher.tallies]
    model.close()
    return Measured(best, [answers[case.id] for case in cases], peaks, open_s)


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
