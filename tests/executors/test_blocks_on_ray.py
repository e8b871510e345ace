"""`--executor` for leakage: the same leaks as here, and on a cluster of two nodes on this machine that are killed."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.bank import write_jsonl
from tests.support.leak_helpers import prompts, rows
from tests.support.ray_cluster import Nodes
from tests.support.stub_backend import is_alive
from tunegate import processes
from tunegate.cli import main
from tunegate.exceptions import CannotJudge, ConfigError
from tunegate.executors.blocks_on_ray import by_turns, versions
from tunegate.executors.ray_nodes import RayNodes, Share, check_versions
from tunegate.leaks.leakage import Leak, Looking, compare
from tunegate.processes import DONE_HERE

Capture = pytest.CaptureFixture[str]
QUESTION = "Where does the long river of the northern plains end after the last of its many rapids"
TAUGHT = [f"{QUESTION} {number // 7}?" if number % 7 == 0 else f"Tell me about {number}." for number in range(40)]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """40 training rows that are blocks of their own, some of which leak a case."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(processes, "ITEMS_PER_BLOCK", 1)
    write_jsonl(Path("train.jsonl"), [{"prompt": text, "completion": "yes"} for text in TAUGHT])
    write_jsonl(Path("cases.jsonl"), [{"id": "river", "prompt": f"{QUESTION} 1?", "reference": "yes"}])
    Path("suite.yaml").write_text("cases: cases.jsonl\nchecks: [exact]\nplan: {draw: 1, accept: 1}\n")


def leakage(*more: str) -> int:
    return main(["leakage", "train.jsonl", "--suite", "suite.yaml", "--json", *more])


@pytest.mark.usefixtures("files")
def test_processes_find_the_same(capsys: Capture) -> None:
    assert leakage() == 3
    alone = capsys.readouterr().out
    assert leakage("--executor", "processes:2") == 3
    assert capsys.readouterr().out == alone


@pytest.mark.usefixtures("files")
def test_without_a_cluster_it_is_one_line(capsys: Capture) -> None:
    pytest.importorskip("ray")
    assert leakage("--executor", "ray:127.0.0.1:1") == 3
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("tunegate leakage: executor ray: nothing answers at 127.0.0.1:1")


@pytest.mark.usefixtures("files")
def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert leakage("--executor", "ray") == 2
    assert "needs the extra 'ray'" in capsys.readouterr().err


@pytest.mark.usefixtures("files")
def test_few_rows_need_no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "ITEMS_PER_BLOCK", 10)
    assert len(TAUGHT) // 10 <= DONE_HERE
    assert leakage("--executor", "ray:127.0.0.1:1") == 3


@pytest.mark.parametrize("name", ["tunegate", "python"])
def test_a_node_with_another_version_is_refused(name: str) -> None:
    ours = versions()
    check_versions("worker 1", {**ours, "torch": "another"}, ours, "this machine")
    with pytest.raises(ConfigError, match=f"worker 1 has {name} 0.0.1, this machine {ours[name]}: install the same"):
        check_versions("worker 1", {**ours, name: "0.0.1"}, ours, "this machine")


def test_every_node_gets_its_turn() -> None:
    shares = [Share(node, 0, 1, str(number)) for number, node in enumerate("aaabcc")]
    assert [share.host for share in by_turns(shares)] == ["0", "3", "4", "1", "5", "2"]
    assert by_turns([]) == []


# --- a cluster -----------------------------------------------------------------------------------------------------

DOUBLER = '''
import os, signal, time
from pathlib import Path

def doubler(setup):
    """Doubles numbers; on a worker, `fatal` ones end it, all but the first `times`."""
    folder, caller, fatal, times = setup
    def double(number):
        if os.getpid() != caller:
            here = Path(folder, str(number))
            with here.open("a") as file:
                file.write(f"{os.getpid()}\\n")
            if number in fatal and len(here.read_text().split()) <= times:
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(0.1)
        return 2 * number, os.getpid()
    return double
'''
"""Blocks are numbers; each that a worker begins is a line in a file of its name."""
NUMBERS = range(30)


on_cluster = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.filterwarnings("ignore")]


class TestCluster:
    pytestmark = on_cluster

    @pytest.fixture
    def build(self, nodes: Nodes) -> Any:
        (nodes.home / "doubler_of_tests.py").write_text(DOUBLER)
        return importlib.import_module("doubler_of_tests").doubler

    @pytest.fixture
    def row_by_row(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(processes, "ITEMS_PER_BLOCK", 1)

    def test_the_command_finds_the_same(self, nodes: Nodes, files: None, capsys: Capture) -> None:
        assert leakage() == 3
        alone = capsys.readouterr().out
        assert leakage("--executor", f"ray:{nodes.cluster.address}") == 3
        assert capsys.readouterr().out == alone

    def test_both_nodes_do_blocks_and_their_actors_end(self, nodes: Nodes, build: Any, tmp_path: Path) -> None:
        setup = str(tmp_path), os.getpid(), frozenset[int](), 0
        results = list(RayNodes(nodes.cluster.address).in_order(build, setup, NUMBERS))
        assert [double for double, _ in results] == [2 * number for number in NUMBERS]
        assert len(askers := {pid for _, pid in results}) == 2
        assert os.getpid() not in askers
        assert not living(askers)
        assert all(len(beginners(tmp_path, number)) == 1 for number in NUMBERS)

    def test_actors_end_when_the_caller_stops_early(self, nodes: Nodes, build: Any, tmp_path: Path) -> None:
        setup = str(tmp_path), os.getpid(), frozenset[int](), 0
        with closing(RayNodes(nodes.cluster.address).in_order(build, setup, NUMBERS)) as results:
            askers = {next(results)[1] for _ in range(10)}
        assert len(askers) == 2
        assert not living(askers)

    def test_a_killed_actors_block_goes_to_the_other(self, nodes: Nodes, build: Any, tmp_path: Path) -> None:
        setup = str(tmp_path), os.getpid(), frozenset([5]), 1
        results = list(RayNodes(nodes.cluster.address).in_order(build, setup, NUMBERS))
        assert [double for double, _ in results] == [2 * number for number in NUMBERS]
        assert os.getpid() not in {pid for _, pid in results}
        assert len(set(beginners(tmp_path, 5))) == 2

    def test_when_no_actor_is_left_everything_is_done_here(self, nodes: Nodes, build: Any, tmp_path: Path) -> None:
        setup = str(tmp_path), os.getpid(), frozenset([5]), 9
        results = list(RayNodes(nodes.cluster.address).in_order(build, setup, NUMBERS))
        assert [double for double, _ in results] == [2 * number for number in NUMBERS]
        assert results[5][1] == results[-1][1] == os.getpid()

    @pytest.mark.parametrize("at", [0, 9, 19, 28])
    def test_a_killed_nodes_blocks_go_to_the_other(self, nodes: Nodes, build: Any, tmp_path: Path, at: int) -> None:
        def kill() -> None:
            while not (tmp_path / str(at)).exists():
                time.sleep(0.01)
            nodes.kill(at % 2)

        killer = threading.Thread(target=kill, daemon=True)
        killer.start()
        setup = str(tmp_path), os.getpid(), frozenset[int](), 0
        try:
            results = list(RayNodes(nodes.cluster.address).in_order(build, setup, NUMBERS))
        finally:
            killer.join()
            nodes.replace(at % 2)
        assert [double for double, _ in results] == [2 * number for number in NUMBERS]
        assert os.getpid() not in {pid for _, pid in results}
        assert sum(len(beginners(tmp_path, number)) for number in NUMBERS) <= len(NUMBERS) + 1

    def test_all_nodes_killed_leak_the_same_in_bounded_time(self, nodes: Nodes, row_by_row: None) -> None:
        expected, started = found(), time.monotonic()

        def kill(label: str, done: int, *rest: object) -> None:
            if (label, done) == ("leaks", 3):
                nodes.kill(0)
                nodes.kill(1)

        try:
            assert found(Looking(progress=kill, in_order=RayNodes(nodes.cluster.address).in_order)) == expected
            assert time.monotonic() - started < 60
        finally:
            nodes.replace(0)
            nodes.replace(1)

    def test_cores_that_others_use_are_told_in_time(self, nodes: Nodes, build: Any, tmp_path: Path) -> None:
        setup = str(tmp_path), os.getpid(), frozenset[int](), 0
        ray = RayNodes(nodes.cluster.address, patience_s=3.0)
        with closing(ray.in_order(build, setup, NUMBERS)) as results:
            next(results)
            with pytest.raises(CannotJudge, match="no node gave 1 core within 3 s: others use them"):
                list(ray.in_order(build, setup, NUMBERS))
            assert [double for double, _ in results] == [2 * number for number in NUMBERS[1:]]

    def test_ctrl_c_ends_the_actors(self, nodes: Nodes, build: Any, tmp_path: Path) -> None:
        setup = str(tmp_path), os.getpid(), frozenset[int](), 0
        threading.Timer(3.0, os.kill, [os.getpid(), signal.SIGINT]).start()
        with pytest.raises(KeyboardInterrupt):
            list(RayNodes(nodes.cluster.address).in_order(build, setup, range(10**6)))
        assert not living({pid for number in NUMBERS for pid in beginners(tmp_path, number)})


def found(looking: Looking | None = None) -> list[Leak]:
    leaks = compare(rows(*TAUGHT), [prompts(f"{QUESTION} 1?")], looking)
    assert leaks
    return leaks


def beginners(folder: Path, number: int) -> list[int]:
    """The workers that began a block."""
    return [int(pid) for pid in (folder / str(number)).read_text().split()]


def living(pids: set[int]) -> set[int]:
    """Those that have not ended after a while."""
    until = time.monotonic() + 10
    while (left := set(filter(is_alive, pids))) and time.monotonic() < until:
        time.sleep(0.05)
    return left
