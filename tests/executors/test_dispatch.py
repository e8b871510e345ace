"""Blocks, workers and faults: each block is answered once, and a lost worker's block by another one."""

from __future__ import annotations

import copy
import pickle
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunegate.cases.case import Case
from tunegate.checks.check import Sample
from tunegate.exceptions import CannotJudge, ConfigError, Tampered, WorkersFailed
from tunegate.executors.dispatch import MAX_LOST
from tunegate.executors.executor import Opened, Opening, Reply, Worker, WorkerGone, WorkerLost
from tunegate.executors.model_on_workers import ModelOnWorkers, open_on
from tunegate.models.blocks import Block, expect
from tunegate.models.model import GenerationSettings, Model, Response

SETTINGS = GenerationSettings()


def block(*ids: str) -> Block:
    return Block("generate", tuple(Case(one, f"{one}?") for one in ids), SETTINGS)


SAME = Opened("m", "weights", "float32", 2, can_check=True)
JUDGE = Opened("judge", "of the judge", "float32", 2)


@dataclass(eq=False)
class Thread:
    """A worker in this process; `lost_at` are the blocks, counted from 1, at which it is lost."""

    place: str
    lost_at: frozenset[int] = frozenset()
    opened: Opened = SAME
    judge: Opened = JUDGE
    log: list[str] = field(default_factory=list[str])
    gate: threading.Event | None = None
    closed: bool = False
    now: str = "weights"
    on_open: Callable[[], None] = lambda: None

    def open(self, opening: Opening) -> Opened:
        self.on_open()
        return self.judge if opening.judges else self.opened

    def answer(self, opening: Opening, block: Block) -> Reply:
        self.log.append(("judge " if opening.judges else "") + block.cases[0].id)
        if self.gate is not None:
            assert self.gate.wait(10)
        if self.closed or len(self.log) in self.lost_at:
            raise WorkerLost("the node burnt down")
        return Reply(tuple((index, Response(case.id, "stop")) for index, case in enumerate(block.cases)))

    def sha256_now(self, opening: Opening) -> str:
        return self.now

    def close(self) -> None:
        self.closed = True
        if self.gate is not None:
            self.gate.set()


class Gone(Thread):
    """A worker that ended while it had nothing to do."""

    def answer(self, opening: Opening, block: Block) -> Reply:
        raise WorkerGone("the node burnt down")


@dataclass(frozen=True)
class Threads:
    workers: Sequence[Thread]
    kind: str = "threads"

    def start(self) -> Sequence[Worker]:
        return self.workers


def opened_on(*workers: Thread) -> ModelOnWorkers:
    return open_on(Threads(workers), Opening("m"))


def texts(model: Model, one: Block) -> list[str]:
    return [response.text for _, response in one.asked_of(model)]


@given(st.data())
def test_each_block_is_answered_once_whoever_is_lost(data: st.DataObject) -> None:
    blocks = [block(f"{number}a", f"{number}b") for number in range(data.draw(st.integers(1, 8)))]
    losses = st.frozensets(st.integers(1, 4), max_size=1)
    workers = [Thread(f"w{number}", data.draw(losses)) for number in range(data.draw(st.integers(1, MAX_LOST - 1)))]
    workers.append(Thread("survivor"))
    model = opened_on(*workers)
    expect(model, blocks)
    for one in blocks:
        assert texts(model, one) == [case.id for case in one.cases]
    answered = sum(tally.blocks for tally in model.workers.dispatcher.tallies)
    assert answered == len(blocks)
    begun = sum(len(worker.log) for worker in workers)
    assert begun == len(blocks) + sum(bool(tally.lost) for tally in model.workers.dispatcher.tallies)
    model.close()
    assert all(worker.closed for worker in workers)


def test_without_workers_there_is_no_verdict_and_the_cause_is_told() -> None:
    model = opened_on(Thread("a", frozenset([1])), Thread("b", frozenset([1])))
    with pytest.raises(CannotJudge, match="no worker is left to answer: a: the node burnt down; b: the node burnt"):
        texts(model, block("x"))


def test_a_block_that_ends_workers_does_not_get_all_of_them() -> None:
    workers = [Thread(f"w{number}", frozenset([1])) for number in range(MAX_LOST + 2)]
    model = opened_on(*workers)
    with pytest.raises(CannotJudge, match=f"case 'x' ended {MAX_LOST} workers"):
        texts(model, block("x"))
    assert len([worker for worker in workers if worker.log]) == MAX_LOST
    model.close()


def test_workers_that_were_gone_before_a_block_say_nothing_about_it() -> None:
    for _ in range(20):  # who takes the block first is chance
        model = opened_on(*(Gone(f"gone {number}") for number in range(MAX_LOST + 1)), Thread("alive"))
        assert texts(model, block("a")) == ["a"]


def test_a_worker_that_is_lost_takes_no_further_block() -> None:
    one, other = Thread("one"), Thread("other")
    model = opened_on(one, other)

    def hashed(worker: Any) -> str:
        if worker is one:
            raise WorkerLost("the node burnt down")
        return "weights"

    assert model.workers.dispatcher.everywhere(hashed) == {"other": "weights"}
    for name in "abcdef":
        texts(model, block(name))
    assert (one.log, other.log) == ([], list("abcdef"))


def test_a_gate_tells_its_own_blocks_only() -> None:
    model = opened_on(Thread("one"))
    for names in ("ab", "cde"):
        expect(model, [block(name) for name in names])
        for name in names:
            texts(model, block(name))
        model.end_draw()
        assert [worker["blocks"] for worker in model.executor["workers"]] == [len(names)]
    expect(model, [])  # a draw whose answers are all known, which are judged
    judge = model.open_judge("judge")
    expect(judge, [block("x")])
    texts(judge, block("x"))
    model.end_draw()
    assert model.executor["workers"] == [{"place": "one", "blocks": 0, "judged": 1}]


def test_workers_begin_before_they_are_asked_and_in_order() -> None:
    worker = Thread("a")
    model = opened_on(worker)
    blocks = [block(str(number)) for number in range(4)]
    expect(model, blocks)
    assert texts(model, blocks[3]) == ["3"]  # not asked before, but answered: the others came first
    assert worker.log == ["0", "1", "2", "3"]
    assert texts(model, blocks[0]) == ["0"]
    assert worker.log == ["0", "1", "2", "3"]
    model.close()


def test_what_is_no_longer_expected_is_not_begun() -> None:
    worker = Thread("a", gate=threading.Event())
    model = opened_on(worker)
    expect(model, [block(str(number)) for number in range(4)])
    model.end_draw()
    assert worker.gate is not None
    worker.gate.set()
    assert texts(model, block("other")) == ["other"]
    assert worker.log in (["other"], ["0", "other"])  # the first may have begun before it was dropped
    model.close()


def test_a_block_that_is_announced_again_is_not_begun_again() -> None:
    worker = Thread("a", gate=threading.Event())
    model = opened_on(worker, Thread("b", gate=worker.gate))
    expect(model, [block("0"), block("1"), block("2")])
    until = time.monotonic() + 10
    while not worker.log and time.monotonic() < until:
        time.sleep(0.01)
    expect(model, [block("0"), block("1"), block("2")])  # one or two of them are with workers
    assert worker.gate is not None
    worker.gate.set()
    assert [texts(model, block(one)) for one in "012"] == [["0"], ["1"], ["2"]]
    model.end_draw()
    assert sum(tally.blocks for tally in model.workers.dispatcher.tallies) == 3
    model.close()


def test_a_block_that_nobody_announced_is_asked_all_the_same() -> None:
    model = opened_on(Thread("a"))
    assert texts(model, block("x", "y")) == ["x", "y"]
    model.close()


def test_blocks_differ_in_all_that_the_model_sees() -> None:
    case = Case("a", "?")
    same = Block("generate", (case,), SETTINGS)
    others = [
        Block("score_choices", (case,), SETTINGS),
        Block("generate", (case, case), SETTINGS),
        Block("generate", (Case("b", "?"),), SETTINGS),
        Block("generate", (Case("a", "!"),), SETTINGS),
        Block("generate", (Case("a", "?", context="c"),), SETTINGS),
        Block("generate", (Case("a", "?", choices=("c",)),), SETTINGS),
        Block("generate", (case,), GenerationSettings(seed=1)),
    ]
    assert len({one.id for one in (same, *others)}) == 1 + len(others)
    assert Block("generate", (Case("a", "?", references=("r",)),), SETTINGS).id == same.id


# --- opening -------------------------------------------------------------------------------------------------------


def test_other_weights_on_one_node_are_tampered() -> None:
    workers = Thread("a"), Thread("b", opened=Opened("m", "others", "float32", 2))
    with pytest.raises(Tampered, match="a has the weights weights, but b has others"):
        opened_on(*workers)
    assert all(worker.closed for worker in workers)


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (Opened("m", "weights", "bfloat16", 2), "a has the number type float32, but b has bfloat16; set --dtype"),
        (Opened("m", "weights", "float32", 9), "a has the batch size 2, but b has 9; set --batch-size"),
        (Opened("m", "weights", "float32", 2, versions={"torch": "1"}), "version of torch None, but b has 1"),
    ],
)
def test_workers_that_would_answer_differently_are_refused(other: Opened, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        opened_on(Thread("a"), Thread("b", opened=other))


def test_workers_have_the_versions_that_go_on_record() -> None:
    old = replace(SAME, versions={"python": "3.0"})
    with pytest.raises(ConfigError, match=r"a has the version of python 3\.0, but this machine has 3"):
        opened_on(Thread("a", opened=old), Thread("b", opened=old))


def test_a_model_without_a_fingerprint_is_refused() -> None:
    with pytest.raises(ConfigError, match="no fingerprint"):
        opened_on(Thread("a", opened=Opened("m", None, None, 2)))


def test_a_worker_that_is_lost_while_it_opens_is_left_out() -> None:
    def lose() -> None:
        raise WorkerLost("out of memory")

    model = opened_on(Thread("a", on_open=lose), Thread("b"))
    assert texts(model, block("x")) == ["x"]
    assert model.executor == {
        "kind": "threads",
        "workers": [{"place": "a", "blocks": 0, "lost": "out of memory"}, {"place": "b", "blocks": 1}],
    }
    model.close()
    with pytest.raises(CannotJudge, match="no worker could open it: out of memory"):
        opened_on(Thread("a", on_open=lose))


def test_an_error_of_the_model_names_the_worker() -> None:
    def refuse() -> None:
        raise ConfigError("no such folder")

    with pytest.raises(ConfigError, match=r"^b: no such folder$"):
        opened_on(Thread("a"), Thread("b", on_open=refuse))


def test_files_that_changed_on_one_node_are_tampered() -> None:
    model = opened_on(Thread("a"), Thread("b", now="others"))
    assert model.sha256_now is not None
    with pytest.raises(Tampered, match="weights on a, others on b"):
        model.sha256_now()
    model.close()


def test_the_workers_end_with_the_model() -> None:
    worker = Thread("a")
    model = opened_on(worker)
    assert texts(model, block("x")) == ["x"]
    del model
    assert worker.closed


# --- a judge beside the model --------------------------------------------------------------------------------------


def logged(worker: Thread, count: int) -> list[str]:
    """What a worker was asked, once that is this number of blocks."""
    until = time.monotonic() + 10
    while len(worker.log) < count and time.monotonic() < until:
        time.sleep(0.01)
    return worker.log


def test_what_is_judged_goes_before_what_is_answered() -> None:
    gate = threading.Event()
    worker = Thread("a", gate=gate)
    model = opened_on(worker)
    judge = model.open_judge("judge")
    expect(model, [block(name) for name in "abc"])
    assert logged(worker, 1) == ["a"]
    expect(judge, [block("x"), block("y")])
    gate.set()
    assert [texts(judge, block(name)) for name in "xy"] == [["x"], ["y"]]
    assert [texts(model, block(name)) for name in "abc"] == [["a"], ["b"], ["c"]]
    assert worker.log == ["a", "judge x", "judge y", "b", "c"]


def test_a_judge_is_opened_once_and_counted_apart() -> None:
    opened: list[str] = []
    worker = Thread("a", on_open=lambda: opened.append("a"))
    model = opened_on(worker)
    expect(model, [block("a")])
    assert texts(model, block("a")) == ["a"]
    for name in "xy":
        judge = model.open_judge("judge")
        expect(judge, [block(name)])
        assert texts(judge, block(name)) == [name]
    assert opened == ["a", "a"]
    assert model.executor["workers"] == [{"place": "a", "blocks": 1, "judged": 2}]
    expect(model, [block("b")])  # the next draw
    assert "judged" not in model.executor["workers"][0]


def test_the_same_question_to_both_is_answered_by_each() -> None:
    worker = Thread("a")
    model = opened_on(worker)
    expect(model, [block("x")])
    judge = model.open_judge("judge")
    expect(judge, [block("x")])
    assert texts(judge, block("x")) == texts(model, block("x")) == ["x"]
    assert sorted(worker.log) == ["judge x", "x"]


def test_a_lost_worker_s_judging_is_done_by_another() -> None:
    one, other = Thread("one", frozenset([1])), Thread("other")
    model = opened_on(one, other)
    judge = model.open_judge("judge")
    blocks = [block(str(number)) for number in range(6)]
    expect(judge, blocks)
    assert [texts(judge, each) for each in blocks] == [[each.cases[0].id] for each in blocks]
    assert sorted(set(other.log + one.log)) == [f"judge {number}" for number in range(6)]


def test_a_judge_with_other_weights_on_one_worker_is_tampered() -> None:
    model = opened_on(Thread("a"), Thread("b", judge=replace(JUDGE, sha256="others")))
    with pytest.raises(Tampered, match="model 'judge': a has the weights of the judge, but b has others"):
        model.open_judge("judge")


def test_a_judge_that_would_judge_differently_is_refused() -> None:
    model = opened_on(Thread("a"), Thread("b", judge=replace(JUDGE, dtype="bfloat16")))
    told = "a has the number type float32, but b has bfloat16; use machines of one kind"  # --dtype is not for judges
    with pytest.raises(WorkersFailed, match=told):
        model.open_judge("judge")


def test_a_judge_that_cannot_be_opened_ends_the_gate() -> None:
    def refuse() -> None:
        if len(opened) == 2:
            raise ConfigError("no such folder")
        opened.append("one")

    opened: list[str] = []
    model = opened_on(Thread("a", on_open=refuse), Thread("b", on_open=refuse))
    with pytest.raises(WorkersFailed, match=r"the judge cannot be opened on the workers: [ab]: no such folder$"):
        model.open_judge("judge")


def test_questions_that_end_workers_name_the_judge() -> None:
    workers = [Thread(f"w{number}", frozenset([1])) for number in range(MAX_LOST + 1)]
    model = opened_on(*workers)
    judge = model.open_judge("./judge")
    with pytest.raises(WorkersFailed, match=rf"the block for the judge \./judge ended {MAX_LOST} workers"):
        texts(judge, block("0"))


def test_a_worker_that_is_lost_while_it_opens_a_judge_is_asked_nothing_more() -> None:
    """Its next block is another worker's, did not end it, and its cause is the first."""
    slow, begun, other = Thread("slow"), threading.Event(), Thread("other", gate=threading.Event())

    def times_out() -> None:
        begun.set()
        assert other.gate is not None
        other.gate.wait(5)
        raise WorkerLost("no answer within 1 s")

    model = opened_on(slow, other)
    slow.on_open = times_out
    opening = threading.Thread(target=model.open_judge, args=("judge",))
    opening.start()
    assert begun.wait(10)
    blocks = [block(name) for name in "ab"]
    expect(model, blocks)
    logged(other, 1)
    assert other.gate is not None
    other.gate.set()
    assert [texts(model, one) for one in blocks] == [["a"], ["b"]]
    opening.join(10)
    assert slow.log == []
    assert {one["place"]: one.get("lost") for one in model.executor["workers"]} == {
        "slow": "no answer within 1 s",
        "other": None,
    }
    assert not +model.workers.dispatcher._ended  # pyright: ignore[reportPrivateUsage]


@pytest.mark.parametrize("error", [RuntimeError("CUDA error"), ConfigError("no such model")])
def test_why_a_judge_cannot_be_opened_is_told_each_time(error: Exception) -> None:
    worker = Thread("a")
    model = opened_on(worker)

    def fails() -> None:
        raise error

    worker.on_open = fails
    for _ in range(2):
        with pytest.raises(WorkersFailed, match=rf"the judge cannot be opened on the workers: .*{error}"):
            model.open_judge("judge")


def test_a_sample_can_be_copied_and_sent() -> None:
    """A check may do so; in another process, a judge is opened there."""
    worker = Thread("a")
    sample = Sample(Case("a", "?"), Response("x"), open_judge=opened_on(worker).open_judge)
    assert asdict(sample)["open_judge"] is copy.deepcopy(sample).open_judge is sample.open_judge
    assert pickle.loads(pickle.dumps(sample)) == replace(sample, open_judge=None)
    assert not worker.closed  # a sample outlives the model that answered


def test_what_nobody_asks_any_more_of_a_judge_is_not_kept() -> None:
    model = opened_on(Thread("a"))
    judge = model.open_judge("judge")
    for number in range(5):
        blocks = [block(f"{number}x"), block(f"{number}y")]
        expect(judge, blocks)
        assert texts(judge, blocks[1]) == [f"{number}y"]  # and the first is not asked for
    assert len(model.workers.dispatcher._replies) <= 1  # pyright: ignore[reportPrivateUsage]
