"""Work spread over workers: in order, with the same results, and no process is left when it ends in any way."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunegate import processes
from tunegate.exceptions import CannotJudge, ConfigError, SettingError
from tunegate.processes import Answer, in_order, on_workers

ROWS = range(30)


NINTH_DIES, ALL_DIE = 1000, 2000
"""Numbers to add, for which one block, or every block, ends its process."""


def adder(to: int) -> Callable[[int], tuple[int, int]]:
    def add(number: int) -> tuple[int, int]:
        if number == 7 and to < 0:
            raise ConfigError("seven is refused")
        if (to == ALL_DIE or (to == NINTH_DIES and number == 9)) and os.environ.get("TEST_PARENT") != str(os.getpid()):
            os._exit(9)  # as if the system had killed it
        sys.stdout.write("a word between the results")
        return number + to, os.getpid()

    return add


def refuser(setup: None) -> Callable[[int], None]:
    def refuse(number: int) -> None:
        raise SettingError("args.max_length", f"{number} is refused")

    return refuse


def maker(setup: None) -> Callable[[int], Callable[[], int]]:
    return lambda number: lambda: number


def sleeper(folder: str) -> Callable[[int], None]:
    def sleep(number: int) -> None:
        Path(folder, str(number)).touch()
        time.sleep(600)

    return sleep


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[subprocess.Popen[bytes]]]:
    """The processes that were started; all must have ended when the test ends."""
    children: list[subprocess.Popen[bytes]] = []

    class Watched(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, *args: object, **named: object) -> None:
            super().__init__(*args, **named)  # type: ignore[call-overload]
            children.append(self)

    monkeypatch.setattr(processes.subprocess, "Popen", Watched)
    monkeypatch.setenv("TEST_PARENT", str(os.getpid()))
    yield children
    assert all(child.poll() is not None for child in children)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_results_are_in_order_whatever_the_number_of_processes(
    count: int, started: list[subprocess.Popen[bytes]]
) -> None:
    results = list(in_order(adder, 5, iter(ROWS), count))
    assert [total for total, _ in results] == [number + 5 for number in ROWS]
    assert len(started) == (count if count > 1 else 0)
    assert (os.getpid() in {pid for _, pid in results}) == (count == 1)


@pytest.mark.parametrize("count", [None, 2])
def test_few_blocks_start_no_process(count: int | None, started: list[subprocess.Popen[bytes]]) -> None:
    assert len(list(in_order(adder, 5, range(processes.DONE_HERE), count))) == processes.DONE_HERE
    assert not started


def test_no_more_processes_are_started_than_the_caller_can_feed(
    started: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "MOST_WORKERS", 2)
    assert len(list(in_order(adder, 5, ROWS, 1000))) == len(ROWS)
    assert len(started) == 2


def test_an_exception_is_raised_where_its_result_would_be(started: list[subprocess.Popen[bytes]]) -> None:
    results = in_order(adder, -1, iter(ROWS), 2)
    assert [next(results)[0] for _ in range(7)] == list(range(-1, 6))
    with pytest.raises(ConfigError, match="seven is refused"):
        next(results)
    assert len(started) == 2


def test_an_exception_that_no_process_can_send_is_raised_as_it_is(started: list[subprocess.Popen[bytes]]) -> None:
    with pytest.raises(SettingError, match=r"^args.max_length: 0 is refused$") as raised:
        list(in_order(refuser, None, iter(ROWS), 2))
    assert raised.value.key == "args.max_length"
    assert len(started) == 2


def test_a_result_that_no_process_can_send_is_made_here(
    started: list[subprocess.Popen[bytes]], capfd: pytest.CaptureFixture[str]
) -> None:
    assert [result() for result in in_order(maker, None, iter(ROWS), 2)] == list(ROWS)
    assert len(started) == 2
    assert capfd.readouterr().err == ""


def test_a_block_whose_process_died_is_done_here_and_the_others_by_the_living(
    started: list[subprocess.Popen[bytes]],
) -> None:
    results = list(in_order(adder, NINTH_DIES, iter(ROWS), 2))
    assert [total for total, _ in results] == [number + NINTH_DIES for number in ROWS]
    assert [number for number, (_, pid) in enumerate(results) if pid == os.getpid()] == [9]
    assert len(started) == 2


def test_without_a_living_process_everything_is_done_here(started: list[subprocess.Popen[bytes]]) -> None:
    results = list(in_order(adder, ALL_DIE, iter(ROWS), 3))
    assert results == [(number + ALL_DIE, os.getpid()) for number in ROWS]
    assert len(started) == 3


@pytest.mark.parametrize("possible", [0, 1])
def test_processes_that_cannot_start_are_done_without(
    possible: int, started: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    start = processes.subprocess.Popen

    def refuse(*args: object, **named: object) -> subprocess.Popen[bytes]:
        if len(started) == possible:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return start(*args, **named)  # type: ignore[call-overload]

    monkeypatch.setattr(processes.subprocess, "Popen", refuse)
    results = list(in_order(adder, 5, iter(ROWS), 3))
    assert [total for total, _ in results] == [number + 5 for number in ROWS]
    assert {pid for _, pid in results} == ({child.pid for child in started} or {os.getpid()})
    assert len(started) == possible


@pytest.mark.parametrize("sent", [b"", b"\x80\x05"], ids=["nothing", "a part"])
def test_a_worker_whose_caller_ends_before_it_greets_says_nothing(sent: bytes) -> None:
    code = (
        "import select\nfrom tunegate.processes import serve\n"
        "del select.poll  # so that no thread ends it first\nserve()"
    )
    ended = subprocess.run([sys.executable, "-c", code], input=sent, capture_output=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, b"")


def test_no_process_is_left_when_the_caller_stops_early(started: list[subprocess.Popen[bytes]]) -> None:
    with closing(in_order(adder, 5, iter(ROWS), 2)) as results:
        assert next(results)[0] == 5
    assert len(started) == 2


def test_workers_end_with_a_caller_that_was_killed() -> None:
    """SIGKILL of the caller closes its pipes, and a worker without input ends."""
    code = (
        "import os\nfrom tests.test_in_order import adder\nfrom tunegate.processes import in_order\n"
        "results = in_order(adder, 5, iter(range(10**9)), 2)\n"
        "print({next(results)[1] for _ in range(20)}, flush=True)\nos.kill(os.getpid(), 9)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=Path(__file__).parents[1]
    )
    workers = [int(pid) for pid in ended.stdout.strip().strip("{}").split(",")]
    assert len(workers) == 2
    assert ended.returncode == -9  # `run` has returned: no worker holds the pipe of its errors open any more


def test_a_worker_does_not_finish_its_block_for_a_caller_that_was_killed(tmp_path: Path) -> None:
    code = (
        "import os, threading, time\nfrom tests.test_in_order import sleeper\nfrom tunegate.processes import in_order\n"
        "def kill():\n"
        f"    while len(os.listdir({str(tmp_path)!r})) < 2:\n        time.sleep(0.05)\n    os.kill(os.getpid(), 9)\n"
        "threading.Thread(target=kill).start()\n"
        f"list(in_order(sleeper, {str(tmp_path)!r}, range(9), 2))"
    )
    root = Path(__file__).parents[1]
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=root)
    assert (ended.returncode, ended.stderr) == (-9, "")


# --- any workers ---------------------------------------------------------------------------------------------------


@dataclass(eq=False)
class Doubler:
    """A worker in this process; it is lost at its n-th block, or at certain blocks."""

    lost_at: int = 0
    lost_by: frozenset[int] = frozenset()
    asked: list[int] = field(default_factory=list[int])
    ended: list[str] = field(default_factory=list[str])

    def ask(self, block: int) -> Answer:
        assert not self.ended
        self.asked.append(block)
        if len(self.asked) == self.lost_at or block in self.lost_by:
            raise OSError("the node burnt down")
        return True, (2 * block, "there")

    def kill(self) -> None:
        self.ended.append("killed")

    def close(self) -> None:
        self.ended.append("closed")


def doubler_here(setup: None) -> Callable[[int], tuple[int, str]]:
    return lambda number: (2 * number, "here")


def doubled(workers: Iterable[Doubler], tries: int) -> list[tuple[int, str]]:
    return list(on_workers(workers, doubler_here, None, ROWS, tries))


@given(st.lists(st.integers(0, 6), max_size=4), st.integers(1, 3))
def test_whoever_is_lost_each_block_is_done_once_and_in_order(lost_at: list[int], tries: int) -> None:
    workers = [Doubler(at) for at in lost_at]
    assert [result for result, _ in doubled(workers, tries)] == [2 * number for number in ROWS]
    lost = [worker for worker in workers if len(worker.asked) == worker.lost_at > 0]
    again = Counter(number for worker in workers for number in worker.asked)
    assert sum(again.values()) <= len(ROWS) + len(lost)
    assert all(worker.ended == ["killed", "closed"] for worker in workers)


@pytest.mark.parametrize("tries", [1, 3])
def test_a_block_that_ends_its_workers_is_done_here_and_the_others_go_on(tries: int) -> None:
    workers = [Doubler(lost_by=frozenset([7])) for _ in range(5)]
    assert [number for number, (_, where) in enumerate(doubled(workers, tries)) if where == "here"] == [7]
    assert [number for worker in workers for number in worker.asked].count(7) == tries


def test_a_lost_workers_block_is_done_by_another() -> None:
    assert {where for _, where in doubled([Doubler(2), Doubler(3), Doubler()], 3)} == {"there"}


def test_workers_are_started_for_many_blocks_only_and_a_failure_to_start_is_raised() -> None:
    def refused() -> Iterator[Doubler]:
        yield first
        raise CannotJudge("nothing answers")

    first = Doubler()
    few = range(processes.DONE_HERE)
    assert list(on_workers(refused(), doubler_here, None, few)) == [(2 * number, "here") for number in few]
    assert not first.ended
    with pytest.raises(CannotJudge, match="nothing answers"):
        doubled(refused(), 1)
    assert first.ended == ["killed", "closed"]
