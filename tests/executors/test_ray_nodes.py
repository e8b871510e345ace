"""`--executor ray`: what nodes have room for, and a cluster of two nodes on this machine whose nodes are killed."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.executors.conftest import SUITE
from tests.support.judge_files import write_cases
from tests.support.ray_cluster import Nodes
from tests.support.same_record import comparable
from tests.support.stub_backend import asked, askers, write_stub
from tests.support.tiny_model import make_tiny_model
from tunegate.cases.case import Case
from tunegate.cli import main
from tunegate.exceptions import CannotJudge
from tunegate.executors import ray_nodes
from tunegate.executors.executor import Opening
from tunegate.executors.ray_nodes import RayNodes, shares_of
from tunegate.gates.draw import GatePlace, draw_fresh
from tunegate.gates.runner import GateRunner
from tunegate.models.blocks import Block, expect
from tunegate.models.model import GenerationSettings
from tunegate.record.read_run import read_run
from tunegate.record.run_log import RunLog
from tunegate.suites.suite_file import load_suite
from tunegate_suites import build_check

Capture = pytest.CaptureFixture[str]
HERE = "ray:127.0.0.1:1"


def node(name: str, cpus: float, gpus: float = 0.0) -> dict[str, Any]:
    return {"NodeID": name, "NodeManagerHostname": f"host-{name}", "Resources": {"CPU": cpus, "GPU": gpus}}


@pytest.mark.parametrize(
    ("nodes", "gpus", "cpus", "shares"),
    [
        ([node("a", 8), node("b", 4)], None, None, [("a", 0, 8), ("b", 0, 4)]),  # a copy for each node
        ([node("a", 8)], None, 4, [("a", 0, 4), ("a", 0, 4)]),
        ([node("a", 8, 2), node("b", 4)], None, None, [("a", 1, 1), ("a", 1, 1)]),  # GPUs, where there are any
        ([node("a", 8, 8)], 4, 2, [("a", 4, 2), ("a", 4, 2)]),
        ([node("a", 1, 8)], 1, 1, [("a", 1, 1)]),  # one core
        ([node("a", 8, 2)], 0, 4, [("a", 0, 4), ("a", 0, 4)]),
        ([node("a", 8, 1)], 2, None, []),
        ([node("a", 8, 1)], 0.2, 1, [("a", 0.2, 1)] * 5),
        ([node("a", 20, 1)], 0.05, 1, [("a", 0.05, 1)] * 20),
        ([node("head", 0)], None, None, []),
    ],
)
def test_how_many_copies_nodes_have_room_for(nodes: Any, gpus: Any, cpus: Any, shares: Any) -> None:
    assert [(one.node, one.gpus, one.cpus) for one in shares_of(nodes, gpus, cpus)] == shares


def test_without_the_extra_it_is_named(project: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(["gate", write_stub(project / "stub"), "--suite", "suite.yaml", "--executor", "ray"]) == 2
    assert "needs the extra 'ray'" in capsys.readouterr().err


def test_an_address_where_nothing_listens_is_one_line(project: Path, capsys: Capture) -> None:
    pytest.importorskip("ray")
    assert main(["gate", write_stub(project / "stub"), "--suite", "suite.yaml", "--executor", HERE]) == 3
    said = capsys.readouterr().err
    assert "executor ray: nothing answers at 127.0.0.1:1" in said
    assert len(said.splitlines()) == 1


def test_a_cluster_that_is_gone_is_one_line(project: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    """Ray would try its address, which is still written down, for minutes."""
    pytest.importorskip("ray")
    for name, where in (("RAY_ADDRESS", "127.0.0.1:2"), ("", "127.0.0.1:3")):
        if name:
            monkeypatch.setenv(name, where)
        else:
            monkeypatch.delenv("RAY_ADDRESS")
            (project / "current").write_text(where)
            monkeypatch.setattr(ray_nodes, "CURRENT", project / "current")
        assert main(["gate", write_stub(project / "stub"), "--suite", "suite.yaml", "--executor", "ray"]) == 3
        assert f"executor ray: nothing answers at {where}" in capsys.readouterr().err


# --- a cluster -----------------------------------------------------------------------------------------------------

on_cluster = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.filterwarnings("ignore")]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the suite, without another copy of the stub on the path."""
    monkeypatch.chdir(tmp_path)
    write_cases()
    Path("suite.yaml").write_text(SUITE)
    return tmp_path


def blocks(count: int, size: int = 4) -> list[Block]:
    names = [[f"{number}-{one}" for one in range(size)] for number in range(count)]
    return [
        Block("generate", tuple(Case(one, f"{one}?") for one in ids), GenerationSettings(max_new_tokens=4))
        for ids in names
    ]


class TestCluster:
    pytestmark = on_cluster

    def test_the_command_gives_the_same_record(self, nodes: Nodes, place: Path) -> None:
        make_tiny_model(Path("model"))
        command = [sys.executable, "-c", "from tunegate.cli import console_main; console_main()", "gate", "model"]
        command += ["--suite", "suite.yaml", "--batch-size", "8"]
        env = {**os.environ, "OMP_NUM_THREADS": "1"}
        on_ray = [*command, "--run", "both", "--executor", f"ray:{nodes.cluster.address}"]
        done = subprocess.run(on_ray, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 1, done.stderr
        assert "answered by model, 2 workers of ray" in done.stdout
        assert subprocess.run([*command, "--run", "alone"], env=env, check=False).returncode == 1
        assert comparable(Path("both")) == comparable(Path("alone"))
        facts = read_run(Path("both")).gates["suite"].executor
        assert facts is not None
        assert len({worker["place"] for worker in facts["workers"]}) == 2
        assert sum(worker["blocks"] for worker in facts["workers"]) == 5

    @pytest.mark.parametrize("at", range(1, 21))
    def test_a_killed_node_changes_nothing(self, nodes: Nodes, place: Path, at: int) -> None:
        """Ten blocks, each begun at one of ten points, and the kill early or late in it."""
        stub = place / "stub"
        model = RayNodes(nodes.cluster.address).open(Opening(write_stub(stub, delay_s=0.15)))
        killed = at % 2

        def kill() -> None:
            while len(asked(stub)) < (at + 1) // 2:
                time.sleep(0.01)
            time.sleep(0.1 * (at % 2))
            nodes.kill(killed)

        killer = threading.Thread(target=kill, daemon=True)
        killer.start()
        suite = load_suite(Path("suite.yaml"), build_check)
        with RunLog.open(place / "run") as log:
            drawn = draw_fresh(GatePlace("suite"), suite, 40, 1, frozenset())
            decision = GateRunner(log).run(
                GatePlace("suite"), suite, suite.terms(suite.plan, curtail=False), model, drawn
            )
        killer.join()
        nodes.replace(killed)
        assert decision.passed == 40
        gate = read_run(place / "run").gates["suite"]
        assert [outcome.response for outcome in gate.outcomes] == [f"answer {case}" for case in gate.case_ids]
        lines = asked(stub)
        assert len(lines) - len(set(lines)) <= 1  # the block that the node had, and none that was answered
        assert len(set(lines)) == 10

    def test_all_nodes_killed_is_invalid_and_bounded(self, nodes: Nodes, place: Path) -> None:
        stub = place / "stub"
        model = RayNodes(nodes.cluster.address).open(Opening(write_stub(stub, delay_s=0.3)))
        ten = blocks(10)
        expect(model, ten)
        started = time.monotonic()
        list(ten[0].asked_of(model))
        nodes.kill(0)
        nodes.kill(1)
        try:
            with pytest.raises(CannotJudge, match=r"no worker is left to answer: worker [12] on .*; worker [12] on "):
                [list(one.asked_of(model)) for one in ten[1:]]
            assert time.monotonic() - started < 60
        finally:
            nodes.replace(0)
            nodes.replace(1)

    def test_a_killed_actor_moves_its_block(self, nodes: Nodes, place: Path) -> None:
        stub = place / "stub"
        model = RayNodes(nodes.cluster.address).open(Opening(write_stub(stub, die=[3])))
        five = blocks(5)
        expect(model, five)
        for one in five:
            assert [response.text for _, response in one.asked_of(model)] == [f"answer {c.id}" for c in one.cases]
        assert len(asked(stub)) == 6
        assert len(askers(stub)) == 2

    def test_a_block_that_hangs_is_moved(self, nodes: Nodes, place: Path) -> None:
        stub = place / "stub"
        model = RayNodes(nodes.cluster.address, timeout_s=3.0).open(Opening(write_stub(stub, delay_s=0.1, slow=[1])))
        [one] = blocks(1)
        assert len(list(one.asked_of(model))) == 4
        assert len(asked(stub)) == 2

    @pytest.mark.parametrize(
        ("how", "told"),
        [
            ({"gpus_per_model": 1.0}, "no node can give 1 GPU and 1 core; the cluster has "),
            ({"cpus_per_model": 64.0}, "no node can give 64 cores"),
        ],
    )
    def test_what_no_node_can_give_is_told_in_time(self, nodes: Nodes, place: Path, how: Any, told: str) -> None:
        started = time.monotonic()
        with pytest.raises(CannotJudge, match=told):
            RayNodes(nodes.cluster.address, patience_s=2.0, **how).open(Opening(write_stub(place / "stub")))
        assert time.monotonic() - started < 30

    def test_nodes_that_others_use_are_told_in_time(self, nodes: Nodes, place: Path) -> None:
        first = RayNodes(nodes.cluster.address).open(Opening(write_stub(place / "one")))
        with pytest.raises(CannotJudge, match="no node gave 1 core within 3 s: others use them"):
            RayNodes(nodes.cluster.address, patience_s=3.0).open(Opening(write_stub(place / "two")))
        [one] = blocks(1)
        assert len(list(one.asked_of(first))) == 4  # the one that has them goes on

    def test_other_weights_on_a_node_are_tampered(self, nodes: Nodes, place: Path) -> None:
        from tunegate.exceptions import Tampered

        with pytest.raises(Tampered, match="a verdict is about one set of bytes"):
            RayNodes(nodes.cluster.address).open(Opening(write_stub(place / "stub", sha256=["one", "two"])))
