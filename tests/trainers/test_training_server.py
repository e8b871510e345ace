"""Trainings that are forked from a process with the libraries imported: the same models, the same ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import pytest

from tests.support.trainer_jobs import ARGS, MakeJob
from tunegate.models.fingerprint import fingerprint
from tunegate.training import trainer, training_server
from tunegate.training.trainer import SubprocessTrainer, TrainJob, forking_trainer
from tunegate.training.training_server import TrainingServer

pytestmark = [
    pytest.mark.skipif(not training_server.is_possible(), reason="forks need Linux without a GPU"),
    pytest.mark.usefixtures("training"),
]

# Serves with a training that tells who it is, in place of a real one: nothing is imported.
SERVER = """
import json, os, sys, time
from pathlib import Path
from tunegate.training.training_server import serve

def train(arguments):
    told = {"child": os.getpid(), "server": os.getppid(), "sha256": arguments[2], "word": os.environ.get("A_WORD")}
    Path(arguments[0]).with_name("told.json").write_text(json.dumps(told))
    what = json.loads(Path(arguments[0]).read_text())["label"]
    if what == "waits":
        time.sleep(600)
    if what == "dies":
        os.kill(os.getpid(), 9)
    if what == "is done":
        Path("model").mkdir()
        Path("model", "weights").touch()
        os.kill(os.getppid(), 9)
        time.sleep(600)
    result = {"log": [], "summary": {"by": "server"}, "error": None, "failure": "other"}
    Path(arguments[1]).write_text(json.dumps(result))
    return 0

def prepare():
    Path("prepared").touch()

if sys.argv[1] == "--serve":
    sys.exit(serve(int(sys.argv[2]), prepare, train))
result = {"log": [], "summary": {"by": "fresh process"}, "error": None, "failure": "other"}
Path("model.partial").mkdir(exist_ok=True)
Path("model.partial").replace("model")  # as real trainings do: it fails if a whole model is there
Path(sys.argv[2]).write_text(json.dumps(result))
"""
COMMAND = (sys.executable, "-c", SERVER)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TrainingServer]:
    monkeypatch.chdir(tmp_path)
    with closing(TrainingServer(COMMAND, {trainer.HELD: "1"}, trainer.STDERR)) as server:
        yield server


def job(label: str = "ends") -> TrainJob:
    return TrainJob("sft", "base", "data.jsonl", str(Path.cwd() / "model"), 1, label=label)


def trained_by(server: TrainingServer, wanted: TrainJob) -> str:
    result = SubprocessTrainer(COMMAND, server)(wanted)
    assert result.error is None
    return result.summary["by"]


def told() -> dict[str, str | int]:
    return json.loads(Path("told.json").read_text())


def is_there(process: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


def wait_until_told(wanting: subprocess.Popen[str]) -> dict[str, str | int]:
    while not Path("told.json").exists() or not Path("told.json").read_text():
        assert wanting.poll() is None, "the training did not begin"
        time.sleep(0.01)
    return told()


# --- one server, many processes --------------------------------------------------------------------------------------


def test_each_training_is_a_process_of_its_own(server: TrainingServer) -> None:
    seen = []
    for _ in range(2):
        assert trained_by(server, job()) == "server"
        seen.append(told())
    assert seen[0]["server"] == seen[1]["server"] != os.getpid()
    assert seen[0]["child"] != seen[1]["child"]
    assert len(str(seen[0]["sha256"])) == 64
    assert not is_there(int(seen[0]["child"]))


def test_it_may_import_before_the_first_job(server: TrainingServer) -> None:
    server.start()
    while not Path("prepared").exists():
        time.sleep(0.01)
    assert trained_by(server, job()) == "server"


def test_a_training_that_dies_says_how_and_the_server_goes_on(server: TrainingServer) -> None:
    result = SubprocessTrainer(COMMAND, server)(job("dies"))
    assert result.error == "the training process ended with signal 9 without a result"
    assert trained_by(server, job()) == "server"


# --- a fresh process where anything is unusual -----------------------------------------------------------------------


def test_a_variable_that_changed_since_it_started_needs_a_fresh_process(
    server: TrainingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.start()
    monkeypatch.setenv("A_WORD", "another")
    assert trained_by(server, job()) == "fresh process"


def test_a_variable_that_is_gone_needs_a_fresh_process(server: TrainingServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_WORD", "one")
    server.start()
    monkeypatch.delenv("A_WORD")
    assert trained_by(server, job()) == "fresh process"


def test_another_folder_needs_a_fresh_process(
    server: TrainingServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server.start()
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    assert trained_by(server, job()) == "fresh process"


def test_a_launcher_and_a_method_without_torch_get_a_fresh_process(server: TrainingServer) -> None:
    for other in (
        TrainJob("command", "base", "data.jsonl", str(Path.cwd() / "model"), 1),
        TrainJob("sft", "base", "data.jsonl", str(Path.cwd() / "model"), 1, launcher={"num_processes": 2}),
    ):
        SubprocessTrainer((sys.executable, "-c", "raise SystemExit"), server)(other)
    assert not Path("prepared").exists()


def test_a_server_that_was_killed_is_replaced_by_fresh_processes(server: TrainingServer) -> None:
    assert trained_by(server, job()) == "server"
    os.kill(int(told()["server"]), signal.SIGKILL)
    assert [trained_by(server, job()), trained_by(server, job())] == ["fresh process"] * 2


# --- how they end ----------------------------------------------------------------------------------------------------

WANTING = f"""
import sys
from tunegate.training import trainer
from tunegate.training.training_server import TrainingServer
server = TrainingServer((sys.executable, "-c", {SERVER!r}), {{trainer.HELD: "1"}}, 2)
job = trainer.TrainJob("sft", "base", "data.jsonl", {{output!r}}, 1, label="waits")
trainer.SubprocessTrainer((sys.executable, "-c", {SERVER!r}), server)(job)
"""


def test_a_server_that_still_imports_delays_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    imports = SERVER.replace('Path("prepared").touch()', 'Path("imports").touch(); time.sleep(60)')
    server = TrainingServer((sys.executable, "-c", imports), {trainer.HELD: "1"}, trainer.STDERR)
    server.start()
    while not Path("imports").exists():
        time.sleep(0.01)
    started = time.monotonic()
    server.close()
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_server_and_training_end_with_who_wants_them(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    real = SERVER.replace(
        "    told =",
        "    from tunegate import standard_streams; standard_streams.die_with_standard_input()\n    told =",
    )
    code = WANTING.replace(repr(SERVER), repr(real)).replace("{output!r}", repr(str(tmp_path / "model")))
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True) as wanting:
        processes = wait_until_told(wanting)
        wanting.send_signal(number)
        assert wanting.stderr is not None
        said = wanting.stderr.read()  # ends when all three have ended, which share it
    assert said.count("Traceback") == (number == signal.SIGINT)  # that of the process that wants them, by itself
    while is_there(int(processes["child"])) or is_there(int(processes["server"])):
        time.sleep(0.01)


def test_a_training_ends_with_its_server_and_a_fresh_process_follows(server: TrainingServer, tmp_path: Path) -> None:
    code = WANTING.replace("{output!r}", repr(str(tmp_path / "model"))) + "print('trained again')"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as wanting:
        processes = wait_until_told(wanting)
        os.kill(int(processes["server"]), signal.SIGKILL)
        assert wanting.communicate()[0] == "trained again\n"
    assert not is_there(int(processes["child"]))


def test_a_model_that_was_written_as_its_server_ended_is_no_obstacle_to_the_fresh_process(
    server: TrainingServer,
) -> None:
    assert trained_by(server, job("is done")) == "fresh process"
    assert not Path("model", "weights").exists()


# --- real trainings --------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("method", ["sft", "dpo"])
def test_its_models_are_those_of_fresh_processes(make_job: MakeJob, method: str, tmp_path: Path) -> None:
    args = ARGS | {"max_steps": 2}
    fresh, *forked = (make_job(method, name=name, args=args) for name in ("fresh", "one", "two"))
    assert SubprocessTrainer()(fresh).error is None
    with forking_trainer() as train:
        train.prepare()
        for one in forked:
            assert train.server is not None
            assert train.server.train([]) == 2  # it is the server that answers: a job without arguments is refused
            assert train(one).error is None
    assert [fingerprint(Path(one.output)) for one in forked] == [fingerprint(Path(fresh.output))] * 2


@pytest.mark.slow
def test_a_training_whose_server_is_killed_goes_on_from_its_checkpoint(make_job: MakeJob) -> None:
    args = ARGS | {"max_steps": 150, "save_strategy": "steps", "save_steps": 10}
    whole, cut = (make_job(name=name, args=args) for name in ("whole", "cut"))
    assert SubprocessTrainer()(whole).error is None

    with forking_trainer() as train, ThreadPoolExecutor(1) as pool:
        result = pool.submit(train, cut)
        while not list(trainer.checkpoints_of(cut).glob("checkpoint-*/trainer_state.json")):
            assert not result.done()
            time.sleep(0.01)
        children = [
            one for task in Path("/proc/self/task").iterdir() for one in (task / "children").read_text().split()
        ]
        (serving,) = (one for one in children if b"--serve" in Path(f"/proc/{one}/cmdline").read_bytes())
        os.kill(int(serving), signal.SIGKILL)
        assert result.result().error is None
    assert result.result().log[0]["step"] == 1  # the log is whole, although two processes wrote it
    assert fingerprint(Path(cut.output)) == fingerprint(Path(whole.output))
