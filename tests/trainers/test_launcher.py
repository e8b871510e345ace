"""Training in several processes: the same rows, one model, one result, and all end together."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.fake_pipeline import PIPELINE, load, write_pipeline
from tests.support.launched import MODE
from tests.support.places import ROOT
from tests.support.trainer_jobs import ARGS, LORA, MakeJob
from tunegate.cli import main
from tunegate.exceptions import ConfigError
from tunegate.pipeline.launching import check_processes, command_of, read_config
from tunegate.pipeline.stage_spec import LauncherSpec
from tunegate.training.trainer import SubprocessTrainer, TrainJob
from tunegate_trainers import process, ranks

LAUNCH = sorted(ROOT.glob("docs/launch/*.yaml"))
TWO = {"num_processes": 2, "config_file": None}
ROWS = [{"prompt": f"Question number {n}?", "completion": "yes"} for n in range(7)]
PYTHON = (sys.executable, "-m", "tunegate.training.training_process")


# The command


def test_one_process_needs_no_launcher(tmp_path: Path) -> None:
    for launcher in (None, {"num_processes": 1, "config_file": None}):
        assert command_of(PYTHON, launcher, tmp_path) == list(PYTHON)
    assert not list(tmp_path.iterdir())


def test_two_processes_are_started_by_accelerate(tmp_path: Path) -> None:
    command = command_of(PYTHON, TWO, tmp_path)
    assert command[:3] == [sys.executable, "-m", "accelerate.commands.launch"]
    assert command[-2:] == ["-m", "tunegate.training.training_process"]
    assert command[command.index("--num_processes") + 1] == "2"
    written = json.loads(Path(command[command.index("--config_file") + 1]).read_text())
    assert (written["distributed_type"], written["num_processes"]) == ("MULTI_GPU", 2)


def test_options_of_python_stay_before_the_launcher(tmp_path: Path) -> None:
    command = command_of((sys.executable, "-P", *PYTHON[1:]), TWO, tmp_path)
    assert command[:4] == [sys.executable, "-P", "-m", "accelerate.commands.launch"]
    assert command[-2:] == ["-m", "tunegate.training.training_process"]
    assert "-P" not in command[4:]


def test_a_configuration_of_the_user_is_used(tmp_path: Path) -> None:
    given = {"num_processes": 1, "config_file": str(ROOT / "docs" / "launch" / "fsdp.yaml")}
    command = command_of(PYTHON, given, tmp_path)
    assert command[:3] == [sys.executable, "-m", "accelerate.commands.launch"]
    assert command[command.index("--config_file") + 1] == given["config_file"]


def test_machines_meet_at_the_port_of_their_configuration(tmp_path: Path) -> None:
    config = ROOT / "docs" / "launch" / "two_machines.yaml"
    command = command_of(PYTHON, {"num_processes": 2, "config_file": str(config)}, tmp_path)
    assert "--main_process_port" not in command
    one = config.with_name("two_gpus.yaml")
    command = command_of(PYTHON, {"num_processes": 2, "config_file": str(one)}, tmp_path)
    assert command[command.index("--main_process_port") + 1] == "0"


@pytest.mark.parametrize("path", LAUNCH, ids=lambda path: path.stem)
def test_the_documented_configurations_are_read_by_accelerate(path: Path) -> None:
    from accelerate.commands.config.config_args import load_config_from_file

    config = load_config_from_file(str(path))
    assert config.distributed_type.value == yaml.safe_load(path.read_text())["distributed_type"]
    read_config(path)


def test_there_is_one_for_each_kind() -> None:
    assert [path.stem for path in LAUNCH] == ["deepspeed_zero3", "fsdp", "two_gpus", "two_machines"]


def test_the_documented_configurations_set_what_accelerate_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys within `fsdp_config` and `deepspeed_config`, whose typos accelerate would pass over."""
    from accelerate.commands.launch import launch_command_parser

    known = vars(launch_command_parser().parse_args(["script.py"]))
    for path in LAUNCH:
        config = yaml.safe_load(path.read_text())
        within = [key for name in ("fsdp_config", "deepspeed_config") for key in config.get(name, {})]
        assert not set(within) - set(known) - {"gradient_clipping"}


@pytest.mark.parametrize(
    ("text", "message"), [("num_processes: 2", "compute_environment: missing"), ("[a]", "compute_environment: missing")]
)
def test_a_file_that_is_no_configuration_is_told(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_config(tmp_path / "x.yaml")
    with pytest.raises(ConfigError, match="absent"):
        read_config(tmp_path / "absent.yaml")


@pytest.mark.parametrize("value", ["two", "null", "0", "1.5", "true", '"2"'])
def test_a_number_of_machines_that_is_none_is_told(tmp_path: Path, value: str) -> None:
    path = tmp_path / "x.yaml"
    given = (ROOT / "docs" / "launch" / "two_gpus.yaml").read_text()
    path.write_text(given.replace("num_machines: 1", f"num_machines: {value}"))
    got = repr(yaml.safe_load(value))
    told = re.escape(f"{path}: num_machines: expected a whole number of at least 1, got {got}") + "$"
    with pytest.raises(ConfigError, match=told):
        read_config(path)
    with pytest.raises(ConfigError, match=told):  # it may have been edited since
        command_of(PYTHON, {"num_processes": 2, "config_file": str(path)}, tmp_path)


@pytest.mark.parametrize("asked", [100000, 4000])
def test_more_processes_than_a_machine_can_carry_are_refused_by_check(
    asked: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = PIPELINE.replace("method: sft\n", f"method: sft\n    launcher: {{num_processes: {asked}}}\n")
    assert main(["check", str(write_pipeline(tmp_path / "project", text))]) == 2
    told = capsys.readouterr().err
    assert "stages.0.launcher.num_processes" in told.replace("[0]", ".0").replace("launcher: num", "launcher.num")
    if asked == 4000:
        assert f"on this machine with {os.cpu_count()} CPU cores" in told


def test_how_many_processes_a_machine_carries() -> None:
    check_processes(None, 1)
    check_processes(LauncherSpec(num_processes=16), 1)  # checked on a laptop, trained on a server
    check_processes(LauncherSpec(num_processes=256), 64)
    check_processes(LauncherSpec(num_processes=512, config_file="many_machines.yaml"), 2)
    for asked, cores in ((17, 1), (257, 64)):
        with pytest.raises(ConfigError, match=f"this machine with {cores} CPU cores, got {asked};"):
            check_processes(LauncherSpec(num_processes=asked), cores)


def test_a_pipeline_finds_the_file_beside_itself(tmp_path: Path) -> None:
    text = PIPELINE.replace("method: sft\n", "method: sft\n    launcher: {config_file: two.yaml}\n")
    path = write_pipeline(tmp_path / "project", text)
    with pytest.raises(ConfigError, match=r"two\.yaml"):
        load(path)
    config = path.with_name("two.yaml")
    config.write_text("compute_environment: LOCAL_MACHINE\ndistributed_type: MULTI_GPU\nnum_processes: 2\n")
    before = load(path)
    assert before.stages[0].spec.launcher.config_file == str(config)
    config.write_text(config.read_text().replace("2", "4"))
    assert load(path).sha256 != before.sha256  # another launch is another training


# One result


def test_the_first_result_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    file = tmp_path / "result.json"
    for rank, error in (("1", "the first to fail"), ("0", "lost the connection")):
        monkeypatch.setenv("RANK", rank)
        process._write(file, {"error": error})
    assert json.loads(file.read_text()) == {"error": "the first to fail"}
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


def test_the_environment_says_which_process_this_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (ranks.rank(), ranks.processes(), ranks.is_main()) == (0, 1, True)
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert (ranks.rank(), ranks.processes(), ranks.is_main()) == (1, 2, False)


class Accelerator:
    """What is asked of accelerate's own: how the weights lie, and all of them."""

    def __init__(self, kind: str) -> None:
        from accelerate.utils import DistributedType

        self.distributed_type = DistributedType[kind]

    def get_state_dict(self, model: Any) -> dict[str, Any]:
        return {"all of": model}


class Trainer:
    def __init__(self, kind: str) -> None:
        self.accelerator = Accelerator(kind)
        self.model_wrapped = "the wrapped model"


def test_weights_are_gathered_where_they_are_spread(make_job: MakeJob) -> None:
    assert ranks.gathered_weights(Trainer("MULTI_CPU")) is None
    assert ranks.gathered_weights(Trainer("FSDP")) == {"all of": "the wrapped model"}
    ranks.check(Trainer("MULTI_CPU"), make_job())
    ranks.check(Trainer("FSDP"), make_job(save="adapter"))
    with pytest.raises(ConfigError, match="split over processes cannot be merged; write `save: adapter`"):
        ranks.check(Trainer("DEEPSPEED"), make_job())


# Two processes


def two(make_job: MakeJob, method: str = "sft", **more: Any) -> TrainJob:
    return make_job(method, **{"launcher": TWO, "args": ARGS | {"max_steps": 2}, "peft": LORA} | more)


def watched(monkeypatch: pytest.MonkeyPatch, mode: str) -> SubprocessTrainer:
    monkeypatch.setenv(MODE, mode)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return SubprocessTrainer((sys.executable, "-m", "tests.support.launched"))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["cpt", "sft", "explain", "dpo", "kto", "orpo", "reward", "rlhf"])
def test_every_method_trains_in_two_processes(make_job: MakeJob, method: str) -> None:
    options: dict[str, Any] = {"form": "completion"} if method == "explain" else {}
    args = ARGS | {"max_steps": 2}
    if method == "rlhf":
        scorer = make_job("reward", name="scorer", args=args)
        assert SubprocessTrainer()(scorer).error is None
        options = {"algorithm": "rloo", "reward": {"model": scorer.output}, "max_kl": 100.0}
        args |= {"num_generations": 2, "max_completion_length": 4}
    job = two(make_job, method, options=options, args=args)
    result = SubprocessTrainer()(job)
    assert result.error is None
    assert result.summary["processes"] == 2
    assert [entry["step"] for entry in result.log if "loss" in entry] == [1, 2]  # one log, not two
    assert list(Path(job.output).glob("*.safetensors"))
    folder = Path(job.output).parent
    assert not [path.name for path in folder.iterdir() if "partial" in path.name or "checkpoints" in path.name]


@pytest.mark.slow
def test_two_machines_train_one_model(make_job: MakeJob, tmp_path: Path) -> None:
    """As docs/training-larger.md says it, with both machines here: the second one is started by hand."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    config = yaml.safe_load((ROOT / "docs" / "launch" / "two_machines.yaml").read_text())
    files = [tmp_path / f"machine-{rank}.yaml" for rank in (0, 1)]
    for rank, file in enumerate(files):
        place = {"machine_rank": rank, "main_process_ip": "127.0.0.1", "main_process_port": port}
        file.write_text(yaml.safe_dump(config | place))
    job = two(make_job, launcher={"num_processes": 2, "config_file": str(files[0])})
    folder = Path(job.output).parent
    others: list[subprocess.Popen[bytes]] = []

    def by_hand() -> None:
        wait_for((folder / "job.json").exists)
        words = ["--config_file", str(files[1]), "--num_processes", "2", "-m", "tunegate.training.training_process"]
        words += [str(folder / "job.json"), str(folder / "result.json")]
        others.append(subprocess.Popen([sys.executable, "-m", "accelerate.commands.launch", *words]))

    second = threading.Thread(target=by_hand, daemon=True)
    second.start()
    result = SubprocessTrainer()(job)
    second.join()
    assert others[0].wait() == 0
    assert result.error is None
    assert result.summary["processes"] == 2
    assert (folder / "rank-1.log").exists()
    assert list(Path(job.output).glob("*.safetensors"))


@pytest.mark.slow
def test_all_weights_train_layer_by_layer_in_two_processes(make_job: MakeJob) -> None:
    job = two(make_job, peft=None, train={"last_n_layers": 2, "unfreeze_every": 1})
    assert SubprocessTrainer()(job).error is None


@pytest.mark.slow
def test_no_row_is_lost_or_doubled(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    args = {**ARGS, "per_device_train_batch_size": 2, "num_train_epochs": 1}
    del args["max_steps"]
    job = two(make_job, rows=ROWS, args=args)
    result = watched(monkeypatch, "seen")(job)
    assert result.error is None
    seen = [Path(job.output).with_name(f"seen-{rank}.txt").read_text().splitlines() for rank in (0, 1)]
    everything = [*seen[0], *seen[1]]
    assert all(sum(row["prompt"] in line for line in everything) >= 1 for row in ROWS)
    assert len(everything) == 8  # seven, and one again so that both have a whole last batch
    assert len(set(seen[0]) & set(seen[1])) <= 1


@pytest.mark.slow
def test_an_error_of_one_process_ends_all_with_one_line(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    job = two(make_job, rows=ROWS)
    result = watched(monkeypatch, "fail")(job)
    assert result.error == "RuntimeError: the second process broke"
    assert not Path(job.output).exists()


@pytest.mark.slow
def test_all_die_with_whoever_wants_the_training(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    job = two(make_job)
    watched(monkeypatch, "hang")
    folder = Path(job.output).parent
    (folder / "wanted.json").write_text(json.dumps(asdict(job)))
    code = (
        "import json, sys; from tunegate.training.trainer import SubprocessTrainer, TrainJob;"
        f"job = TrainJob(**json.load(open('{folder}/wanted.json')));"
        "SubprocessTrainer((sys.executable, '-m', 'tests.support.launched'))(job)"
    )
    wanting = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    pids = [folder / f"pid-{rank}" for rank in (0, 1)]
    wait_for(lambda: all(path.exists() and path.read_text() for path in pids))
    wanting.send_signal(signal.SIGKILL)
    wanting.wait()
    wait_for(lambda: not any(alive(int(path.read_text())) for path in pids))


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()


def wait_for(condition: Any) -> None:
    """As long as the test may take."""
    while not condition():
        time.sleep(0.1)
