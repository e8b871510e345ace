"""`--executor processes:N`: the same record as in one process, whoever is killed."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.support.one_thread import one_thread as one_thread
from tests.support.same_record import comparable
from tests.support.stub_backend import asked, askers, is_alive, write_stub
from tests.support.tiny_model import make_tiny_model
from tunegate.cli import main
from tunegate.executors.executor import Opening
from tunegate.executors.processes import Processes
from tunegate.models.blocks import Block
from tunegate.models.model import GenerationSettings
from tunegate.record.read_run import read_run
from tunegate.suites.suite_file import load_suite
from tunegate_suites import build_check

Capture = pytest.CaptureFixture[str]


def gate(model: str, *more: str) -> int:
    return main(["gate", model, "--suite", "suite.yaml", *more])


@pytest.mark.slow
def test_a_real_model_gives_the_same_record(project: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    """The docs' command, on weights."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    make_tiny_model(Path("model"))
    assert gate("model", "--batch-size", "8", "--run", "alone") == 1
    assert gate("model", "--batch-size", "8", "--run", "both", "--executor", "processes:2") == 1
    assert comparable(Path("both")) == comparable(Path("alone"))
    assert "answered by model, 2 processes" in capsys.readouterr().out
    facts = read_run(Path("both")).gates["suite"].executor
    assert facts is not None
    assert facts["kind"] == "processes"
    assert sum(worker["blocks"] for worker in facts["workers"]) == 5
    assert all(worker["peak_bytes"] > 1e8 for worker in facts["workers"])
    assert read_run(Path("alone")).gates["suite"].executor is None


def test_two_processes_share_the_blocks_and_end_with_the_gate(project: Path) -> None:
    stub = project / "stub"
    assert gate(write_stub(stub, delay_s=0.1), "--executor", "processes:2") == 0
    assert Counter(Counter(asked(stub)).values()) == {1: 10}  # ten blocks, each asked once
    assert len(askers(stub)) == 2
    until = time.monotonic() + 10
    while any(map(is_alive, askers(stub))) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(map(is_alive, askers(stub)))


@pytest.mark.parametrize("at", [1, 2, 5, 10])
def test_kill_minus_nine_moves_the_block_and_changes_nothing(project: Path, at: int) -> None:
    alone, stub = project / "alone", project / "stub"
    assert gate(write_stub(alone), "--run", "a") == 0
    assert gate(write_stub(stub, delay_s=0.02, die=[at]), "--run", "b", "--executor", "processes:2") == 0
    said = [json.dumps(comparable(Path(run))).replace(str(folder), "") for run, folder in (("a", alone), ("b", stub))]
    assert said[0] == said[1]
    times = Counter(asked(stub))
    assert sorted(times.values()) == [1] * 9 + [2]  # the block of the dead process, and no other
    assert times[asked(stub)[at - 1]] == 2
    facts = read_run(Path("b")).gates["suite"].executor
    assert facts is not None
    lost = [worker["lost"] for worker in facts["workers"] if "lost" in worker]
    assert lost == ["it was ended by SIGKILL, as a system does that runs out of memory"]


def test_all_dead_is_invalid_and_the_same_command_resumes(project: Path, capsys: Capture) -> None:
    stub = project / "stub"
    command = write_stub(stub, die=[4, 5], delay_s=0.01), "--run", "run", "--executor", "processes:2"
    assert gate(*command) == 3
    assert "no worker is left to answer: process 1: it was ended by SIGKILL" in capsys.readouterr().err
    recorded = read_run(Path("run")).gates["suite"].answers.responses.keys()
    assert len(recorded) in (8, 12)  # of three answered blocks; the last may be behind one that no worker survived
    assert gate(*command) == 0
    assert read_run(Path("run")).gates["suite"].passed == 40
    again = [name for block in asked(stub)[5:] for name in block]
    assert sorted([*recorded, *again]) == sorted(read_run(Path("run")).gates["suite"].case_ids)


def test_no_worker_imports_from_the_working_folder(project: Path) -> None:
    Path("pydantic.py").write_text("open('ran', 'w').close()")
    assert gate(write_stub(project / "stub"), "--executor", "processes:2") == 0
    assert not Path("ran").exists()


def test_batches_that_a_worker_reduced_are_told_and_on_record(project: Path, capsys: Capture) -> None:
    command = "--run", "run", "--executor", "processes:2"
    assert gate(write_stub(project / "stub", halved_batch=2), *command) == 0
    assert "batches were reduced to 2; --batch-size 2 saves the attempts" in capsys.readouterr().out
    assert read_run(Path("run")).gates["suite"].halved_batch == 2
    assert "batches reduced to" in Path("run/report.html").read_text()


def test_a_worker_that_hangs_is_given_up(project: Path) -> None:
    stub = project / "stub"
    cases = load_suite(Path("suite.yaml"), build_check).cases
    model = Processes(2, timeout_s=50.0).open(Opening(write_stub(stub, delay_s=0.01, slow=[1])))
    for worker in model.workers.dispatcher.living:
        assert worker._timeout_s == 50.0
        worker._timeout_s = 2.0  # opening the model takes longer on a busy machine
    block = Block("generate", tuple(cases[:3]), GenerationSettings())
    assert [response.text for _, response in block.asked_of(model)] == [f"answer {case.id}" for case in cases[:3]]
    assert asked(stub) == [tuple(case.id for case in cases[:3])] * 2


def test_a_draw_that_stops_early_asks_no_more(project: Path) -> None:
    stub = project / "stub"
    suite = Path("suite.yaml")
    suite.write_text(suite.read_text().replace("checks: [exact]", "checks: [regex: nothing]"))
    assert gate(write_stub(stub, delay_s=0.1), "--curtail", "--executor", "processes:2") == 1
    assert len(asked(stub)) <= 6  # five misses decide: two blocks, and what was under way


def test_an_error_of_the_model_is_that_of_one_process(project: Path) -> None:
    alone, stub = project / "alone", project / "stub"
    assert gate(write_stub(alone, **{"raise": [3]}), "--run", "a") == 3
    assert gate(write_stub(stub, **{"raise": [3]}), "--run", "b", "--executor", "processes:1") == 3
    said = [json.dumps(comparable(Path(run))).replace(str(folder), "") for run, folder in (("a", alone), ("b", stub))]
    assert said[0] == said[1]


def test_a_bake_off_passes_it_on_to_its_gates(project: Path) -> None:
    one, other = write_stub(project / "one"), write_stub(project / "other")
    main(["bake-off", one, other, "--suite", "suite.yaml", "--run", "baked", "--executor", "processes:2"])
    executors = [read_run(folder).gates["suite"].executor for folder in Path("baked").iterdir() if folder.is_dir()]
    assert [facts and facts["kind"] for facts in executors] == ["processes"] * 2


def test_generated_rows_are_those_of_one_process(project: Path, capsys: Capture) -> None:
    alone, stub = project / "alone", project / "stub"
    words = ["--prompts", "cases.jsonl", "--samples", "2", "--temperature", "1"]
    assert main(["generate", write_stub(alone), *words, "--out", "a.jsonl"]) == 0
    assert "answered by" not in capsys.readouterr().err
    asked_of = write_stub(stub, delay_s=0.1, die=[3])
    assert main(["generate", asked_of, *words, "--out", "b.jsonl", "--executor", "processes:2"]) == 0
    assert "answered by stub:" in (said := capsys.readouterr().err)
    assert "2 processes (1 lost: process " in said
    assert Path("b.jsonl").read_text() == Path("a.jsonl").read_text()
    assert Counter(asked(stub)) == Counter(asked(alone)) + Counter([asked(stub)[2]])
    assert len(askers(stub)) == 2


def test_other_weights_in_one_process_are_tampered(project: Path, capsys: Capture) -> None:
    assert gate(write_stub(project / "stub", sha256=["one", "two"]), "--executor", "processes:2") == 5
    assert "a verdict is about one set of bytes" in capsys.readouterr().err


def test_what_a_worker_cannot_open_is_told_in_one_line(project: Path, capsys: Capture) -> None:
    assert gate(write_stub(project / "stub", refuse="model 'stub': there is none"), "--executor", "processes:2") == 2
    assert capsys.readouterr().err.splitlines()[-1] == "tunegate gate: process 1: model 'stub': there is none"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--executor", "proceses:2"], "local, processes:N, ray or ray:HOST:PORT was expected, got 'proceses:2'"),
        (["--executor", "processes:0"], "processes:0: processes: should be greater than or equal to 1, got 0"),
        (["--executor", "processes:"], "processes:N"),
        (["--executor", "ray:nowhere"], "address: expected HOST:PORT or auto, got 'nowhere'"),
    ],
)
def test_a_wrong_executor_is_one_line(project: Path, capsys: Capture, words: list[str], told: str) -> None:
    if words[1].startswith("ray"):
        pytest.importorskip("ray")
    assert gate(write_stub(project / "stub"), *words) == 2
    said = capsys.readouterr().err
    assert told in said
    assert len(said.splitlines()) == 1


def test_an_executor_without_a_model_to_execute_is_refused(project: Path, capsys: Capture) -> None:
    assert gate("http://127.0.0.1:9/v1#m", "--executor", "processes:2") == 2
    assert "--executor: a server answers by itself" in capsys.readouterr().err
    answers = ["gate", "--responses", "cases.jsonl", "--suite", "suite.yaml", "--executor", "processes:2"]
    assert main(answers) == 2
    assert "--executor: stored responses" in capsys.readouterr().err


def test_limits_are_measured_in_one_process(project: Path, capsys: Capture) -> None:
    suite = Path("suite.yaml")
    suite.write_text(suite.read_text() + "limits: {latency_ms: {p: 95, max: 800}}\n")
    assert gate(write_stub(project / "stub"), "--executor", "processes:2") == 2
    assert "limits: " in capsys.readouterr().err
