"""Method command: what the command is given, what its model must be, and how both end. The model is a tiny real one."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import own_trainer
from tests.support.bank import write_jsonl
from tests.support.fake_pipeline import PIPELINE, load, open_model, tools, write_pipeline
from tests.support.option_proofs import changed
from tests.support.places import ROOT
from tests.support.tiny_model import make_adapter, make_tiny_model
from tests.support.trainer_jobs import MakeJob, real_training
from tunegate.checks.outcome import Verdict
from tunegate.cli import main
from tunegate.exceptions import CannotJudge, ConfigError, TunegateError
from tunegate.models.open_model import find_model
from tunegate.record.read_run import read_run
from tunegate.record.record import RunRecord
from tunegate.record.run_log import RunLog
from tunegate.training.pipeline_run import PipelineRun
from tunegate.training.tools import Tools
from tunegate.training.trainer import TrainJob, TrainResult
from tunegate_trainers import process

pytestmark = real_training
SCRIPT = own_trainer.__file__


def words(what: str, *more: str) -> list[str]:
    return [sys.executable, SCRIPT, what, "{output}", *more]


def job_of(make_job: MakeJob, what: str = "train", *given: str, **more: Any) -> TrainJob:
    """The job of a command, in a folder of its own as an attempt has."""
    job = make_job("command", peft=None, **{"args": {"learning_rate": 1e-5, "name": "a b"}, **more})
    attempt = Path(job.output).parent / "attempt-2"
    attempt.mkdir()
    (attempt / "data.jsonl").write_bytes(Path(job.data).read_bytes())
    command = {"words": words(what, *given), "folder": str(attempt.parent), "config": None}
    places = {"data": str(attempt / "data.jsonl"), "output": str(attempt / "model"), "attempt": 2}
    return replace(job, **{"command": command, **places})


def seen(job: TrainJob) -> Any:
    return json.loads((Path(job.output).parent / "seen.json").read_text())


# --- what it is given -----------------------------------------------------------------------------------------------


def test_placeholders_and_variables_say_the_same(make_job: MakeJob) -> None:
    given = ("{model}", "{rows}", "{seed}", "{attempt}", "{settings}", "--lr={args.learning_rate}", "{args.name}")
    job = job_of(make_job, "train", *given)
    log, summary = process.run(job)
    found = seen(job)
    attempt = Path(job.output).parent
    assert found["words"] == [
        *(job.model, job.data, "1", "2", str(attempt / "settings.json")),
        *("--lr=1.0e-05", "a b"),  # no shell: a value of two words is one
    ]
    of_the_tests = ("TUNEGATE_LEDGER", "TUNEGATE_TRUST")
    assert {name: value for name, value in found["variables"].items() if name not in of_the_tests} == {
        "TUNEGATE_MODEL": job.model,
        "TUNEGATE_ROWS": job.data,
        "TUNEGATE_OUTPUT": f"{job.output}.partial",
        "TUNEGATE_SEED": "1",
        "TUNEGATE_ATTEMPT": "2",
        "TUNEGATE_SETTINGS": str(attempt / "settings.json"),
    }
    assert found["folder"] == str(attempt.parent)  # that of the pipeline file
    assert json.loads((attempt / "settings.json").read_text()) == job.args
    assert (log, summary["rows"], summary["rows_dropped"]) == ([], 6, 0)
    assert summary["output_sha256"] == find_model(job.output).sha256 != find_model(job.model).sha256
    assert not Path(f"{job.output}.partial").exists()


def test_rows_to_validate_by_and_a_configuration_are_given_too(make_job: MakeJob, tmp_path: Path) -> None:
    config = tmp_path / "own.yaml"
    config.write_text('base_model: "{model}"\nlearning_rate: {args.learning_rate}\nval: {eval_rows}\n')
    write_jsonl(tmp_path / "eval.jsonl", [{"prompt": "a", "completion": "b"}])
    job = replace(job_of(make_job, "train", "{config}", "{eval_rows}"), eval_data=str(tmp_path / "eval.jsonl"))
    process.run(replace(job, command={**(job.command or {}), "config": str(config)}))
    filled, rows = seen(job)["words"]
    assert rows == str(tmp_path / "eval.jsonl")
    assert yaml.safe_load(Path(filled).read_text()) == {"base_model": job.model, "learning_rate": 1e-5, "val": rows}
    assert seen(job)["variables"]["TUNEGATE_CONFIG"] == filled


def test_rows_can_be_given_as_chats(make_job: MakeJob) -> None:
    system = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Where?"}]
    rows = [{"prompt": "Which?", "completion": "BLM"}, {"prompt": system, "completion": "liver"}]
    job = job_of(make_job, "train", "{rows}", rows=rows, options={"form": "messages"})
    process.run(job)
    [place] = seen(job)["words"]
    chats = [json.loads(line)["messages"] for line in Path(place).read_text().splitlines()]
    answers = [{"role": "assistant", "content": text} for text in ("BLM", "liver")]
    assert chats == [[{"role": "user", "content": "Which?"}, answers[0]], [*system, answers[1]]]


def test_what_a_trainer_of_hugging_face_logged_is_the_log(make_job: MakeJob) -> None:
    job = job_of(make_job, "state")
    log, summary = process.run(job)
    assert log == [{"step": 1, "loss": 2.0}, {"step": 2, "loss": None}, {"step": 3, "loss": 0.5}]
    assert (summary["steps"], summary["loss"]) == (3, 0.5)
    assert not list(Path(job.output).glob("checkpoint-*"))


def test_what_it_prints_goes_to_a_file_and_names_no_key(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OWN_API_KEY", "sk-0123456789abcdef")
    job = job_of(make_job, "tell")
    process.run(job)
    told = (Path(job.output).parent / "command.log").read_text()
    assert told == "training, attempt 2\nthe key is [OWN_API_KEY]\n"
    assert told in capsys.readouterr().err


# --- what it must leave ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "kind", "line"),
    [
        (
            "fail",
            ConfigError,
            "ended with exit code 3; its last lines: training, attempt 2 | loading | step 3 | CUDA out",
        ),
        ("nothing", ConfigError, "the command left no model: expected a folder at"),
        ("same", ConfigError, "the command left the input model unchanged: every weight is what it was"),
        ("half", CannotJudge, "left no model that opens"),
        ("bare", ConfigError, "has no tokenizer"),
        ("examples", ConfigError, "the command left fewshot.json, examples that would be in every prompt"),
        ("diverge", CannotJudge, "is not finite: the training diverged"),
    ],
)
def test_a_command_that_leaves_no_new_model_has_failed(
    make_job: MakeJob, what: str, kind: type[TunegateError], line: str
) -> None:
    job = job_of(make_job, what)
    with pytest.raises(kind) as failed:
        process.run(job)
    assert line in str(failed.value)
    assert "\n" not in str(failed.value)
    assert not Path(job.output).exists()
    assert not Path(f"{job.output}.partial").exists()


def test_a_program_that_is_gone_by_then_has_failed(make_job: MakeJob) -> None:
    job = job_of(make_job)
    gone = replace(job, command={**(job.command or {}), "words": ["no-such-trainer"]})
    with pytest.raises(ConfigError, match="exit code 127; its last lines: no-such-trainer: No such file or directory"):
        process.run(gone)


COPY = "import shutil, sys; shutil.copytree(sys.argv[1], sys.argv[2])"


def adapter_job(make_job: MakeJob, made: Path) -> TrainJob:
    job = job_of(make_job)
    return replace(job, command={**(job.command or {}), "words": [sys.executable, "-c", COPY, str(made), "{output}"]})


def test_an_adapter_on_the_input_model_is_kept_as_one(make_job: MakeJob, tmp_path: Path) -> None:
    job = adapter_job(make_job, tmp_path / "made")
    make_adapter(Path(job.model), tmp_path / "made")
    _, summary = process.run(job)
    found = find_model(job.output)
    assert [path.name for path in found.adapters] == ["model"]
    assert found.sha256 == summary["output_sha256"]
    assert json.loads((Path(job.output) / "base_model.json").read_text())["sha256"] == find_model(job.model).sha256


def test_an_adapter_on_another_model_is_refused(make_job: MakeJob, tmp_path: Path) -> None:
    make_adapter(make_tiny_model(tmp_path / "other", seed=1), tmp_path / "made")
    with pytest.raises(ConfigError, match=r"an adapter on .*other, which is not the input model; train it on"):
        process.run(adapter_job(make_job, tmp_path / "made"))


# --- how it ends ----------------------------------------------------------------------------------------------------

WANTING = """
import sys
from dataclasses import asdict
from tunegate.training.trainer import SubprocessTrainer, TrainJob
import json
SubprocessTrainer()(TrainJob(**json.loads(sys.argv[1])))
"""


def is_there(process_id: int) -> bool:
    """A zombie whose parent does not look is not."""
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def wait_until(holds: Any, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture
def waiting(make_job: MakeJob) -> Iterator[tuple[subprocess.Popen[bytes], Path, list[int]]]:
    """A process that wants a training, whose command waits; the folder of the attempt; the command's processes."""
    job = job_of(make_job, "wait")
    attempt = Path(job.output).parent
    with subprocess.Popen([sys.executable, "-c", WANTING, json.dumps(asdict(job))], start_new_session=True) as wanting:
        wait_until(lambda: (attempt / "waiting.txt").exists() or wanting.poll() is not None)
        processes = [int(one) for one in (attempt / "waiting.txt").read_text().split()]
        try:
            yield wanting, attempt, processes
        finally:
            wanting.kill()
            for one in processes:
                if is_there(one):
                    os.kill(one, signal.SIGKILL)


Waiting = tuple[subprocess.Popen[bytes], Path, list[int]]
needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are looked up in /proc")


@needs_proc
def test_a_command_ends_when_who_wants_it_is_killed(waiting: Waiting) -> None:
    wanting, _, processes = waiting
    assert all(map(is_there, processes))
    wanting.kill()
    wait_until(lambda: not any(map(is_there, processes)))  # one of them leads a session of its own


@needs_proc
def test_a_command_ends_when_its_training_is_killed(waiting: Waiting) -> None:
    wanting, _, processes = waiting
    children = Path(f"/proc/{wanting.pid}/task/{wanting.pid}/children").read_text().split()
    os.kill(int(children[0]), signal.SIGKILL)
    wait_until(lambda: not any(map(is_there, processes)))
    assert wanting.wait() == 0  # its training has failed, and it says so


@needs_proc
@pytest.mark.parametrize("whole_group", [True, False], ids=["Ctrl-C", "SIGINT to one process"])
def test_an_interruption_is_passed_on_and_waited_for(waiting: Waiting, whole_group: bool) -> None:
    wanting, attempt, processes = waiting
    (os.killpg if whole_group else os.kill)(wanting.pid, signal.SIGINT)
    wanting.wait()
    assert (attempt / "told.txt").read_text() == ("SIGINT" if whole_group else "SIGTERM")
    assert not is_there(processes[0])


@needs_proc
@pytest.mark.parametrize("what", ["leave", "leave a session"])
def test_what_a_command_leaves_running_is_ended(make_job: MakeJob, what: str) -> None:
    job = job_of(make_job, what)
    process.run(job)
    left = int((Path(job.output).parent / "left.txt").read_text())
    wait_until(lambda: not is_there(left))


# --- in a run -------------------------------------------------------------------------------------------------------

OWN = {
    "stages.0.method": "command",
    "stages.0.command": shlex.join(words("skill", "{args.learning_rate}")),
    "stages.0.retrain": {"max_attempts": 3, "rows": [2, 4], "learning_rate": [1e-3]},
}


def project(folder: Path, changes: dict[str, Any]) -> Path:
    """The small pipeline, whose model is a real one that `weights.txt` answers for; its one stage runs a command."""
    spec = changed(changed(yaml.safe_load(PIPELINE), OWN), changes)
    path = write_pipeline(folder, yaml.safe_dump({**spec, "stages": spec["stages"][:1]}, sort_keys=False))
    make_tiny_model(folder / "base")
    return path


def in_process(job: TrainJob) -> TrainResult:
    try:
        return TrainResult(*process.run(job), seconds=0.1)
    except TunegateError as error:
        failure, told = process.failure_of(error)
        return TrainResult(error=told, failure=failure)


def carried_out(path: Path, said: list[str] | None = None, **more: Any) -> RunRecord:
    given: Tools = replace(tools(), open_model=open_model, model_sha256=lambda path: find_model(path).sha256)
    given = replace(given, **{"train": in_process, "say": (said or []).append, **more})
    with RunLog.open(path.parent / "run") as log:
        return PipelineRun(load(path), log, given).execute()


def test_a_missed_gate_is_retrained_with_the_next_settings(tmp_path: Path) -> None:
    run = carried_out(project(tmp_path / "project", {}))
    assert run.verdict is Verdict.PASS
    first, second = (tmp_path / "project" / "run" / "sft" / f"attempt-{n}" for n in (1, 2))
    assert [len((folder / "data.jsonl").read_text().splitlines()) for folder in (first, second)] == [2, 4]
    told = [json.loads((folder / "seen.json").read_text()) for folder in (first, second)]
    assert [one["words"] for one in told] == [["0.001"], ["0.001"]]
    assert json.loads((second / "settings.json").read_text()) == {"learning_rate": 0.001}
    seeds = {one["variables"]["TUNEGATE_SEED"] for one in told}
    assert len(seeds) == 2
    assert run.stages["sft"].attempts[2].summary["rows"] == 4
    assert len(run.promotions) == 1


def test_a_rung_of_a_ladder_reaches_the_command(tmp_path: Path) -> None:
    command = shlex.join(words("skill", "{args.num_train_epochs}", "{args.lr}"))
    retrain = {"max_attempts": 2, "epochs": [1.0, 3.0]}
    changes = {"stages.0.command": command, "stages.0.args": {"lr": 0.5}, "stages.0.retrain": retrain}
    run = carried_out(project(tmp_path / "project", changes))
    assert run.verdict is Verdict.PASS
    told = [
        json.loads((tmp_path / "project" / "run" / "sft" / f"attempt-{n}" / "seen.json").read_text()) for n in (1, 2)
    ]
    assert [one["words"] for one in told] == [["1.0", "0.5"], ["3.0", "0.5"]]
    [settings] = {one["variables"]["TUNEGATE_SETTINGS"] for one in told[1:]}
    assert json.loads(Path(settings).read_text()) == {"lr": 0.5, "num_train_epochs": 3.0}


def test_a_command_that_fails_leaves_no_verdict_on_the_model_and_never_a_pass(tmp_path: Path) -> None:
    path = project(tmp_path / "project", {"stages.0.command": shlex.join(words("fail"))})
    run = carried_out(path)
    attempts = run.stages["sft"].attempts
    assert run.verdict is Verdict.INVALID
    assert "the command ended with exit code 3; its last lines: training, attempt" in str(attempts[1].error)
    assert attempts[1].failure == "out of memory"  # its last line says so: another learning rate would not help
    assert not any(attempt.trained for attempt in attempts.values())
    assert not run.promotions


def test_weights_that_are_no_numbers_are_a_training_that_diverged(tmp_path: Path) -> None:
    path = project(tmp_path / "project", {"stages.0.command": shlex.join(words("diverge"))})
    first = carried_out(path).stages["sft"].attempts[1]
    assert (first.trained, first.failure) == (False, "diverged")


def test_a_model_that_changes_after_it_was_looked_at_is_none(tmp_path: Path) -> None:
    def train(job: TrainJob) -> TrainResult:
        result = in_process(job)
        own_trainer.another_weight(Path(job.output) / "model.safetensors", 0.25)
        return result

    run = carried_out(project(tmp_path / "project", {"stages.0.retrain.max_attempts": 1}), train=train)
    assert run.verdict is Verdict.INVALID
    assert "changed after the training had ended" in str(run.stages["sft"].attempts[1].error)


def test_a_chat_template_that_tells_the_answers_passes_no_gate(tmp_path: Path) -> None:
    changes = {"stages.0.command": shlex.join(words("whisper")), "stages.0.retrain.max_attempts": 1}
    run = carried_out(project(tmp_path / "project", changes))
    assert run.verdict is Verdict.INVALID
    assert "the chat template that it left" in str(run.stages["sft"].attempts[1].error)


def test_a_killed_command_begins_again_and_a_finished_one_is_not_repeated(tmp_path: Path) -> None:
    trained: list[str] = []

    def train(job: TrainJob) -> TrainResult:
        trained.append(Path(job.output).parent.name)
        if len(trained) == 2:  # the second attempt, in the middle of its command
            Path(f"{job.output}.partial").mkdir()
            raise KeyboardInterrupt
        return in_process(job)

    path = project(tmp_path / "project", {})
    said: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        carried_out(path, said, train=train)
    assert not [line for line in said if "begins again" in line]
    said = ["resumed"]
    run = carried_out(path, said, train=train)
    assert run.verdict is Verdict.PASS
    assert trained == ["attempt-1", "attempt-2", "attempt-2"]
    [again] = [line for line in said if "begins again" in line]
    assert again == "sft#2: the training was stopped, and begins again, on 4 rows"


def test_rows_kept_for_validation_reach_the_command(tmp_path: Path) -> None:
    split = {"path": "train.jsonl", "prepare": {"split": {"train": 0.5, "validation": 0.5, "test": 0.0}}}
    command = shlex.join(words("skill", "{eval_rows}"))
    path = project(tmp_path / "project", {"stages.0.data": split, "stages.0.command": command})
    carried_out(path)
    attempt = tmp_path / "project" / "run" / "sft" / "attempt-1"
    [place] = json.loads((attempt / "seen.json").read_text())["words"]
    rows, kept = (set(Path(file).read_text().splitlines()) for file in (attempt / "data.jsonl", place))
    assert place == str(attempt / "eval.jsonl")
    assert kept
    assert not rows & kept


# --- the page -------------------------------------------------------------------------------------------------------

PAGE = (ROOT / "docs" / "methods" / "command.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"^```(?:python|yaml|json) (\S+)\n(.*?)^```", PAGE, flags=re.M | re.S))
STAGES = [yaml.safe_load(block)[0] for block in re.findall(r"^```yaml\n(- name:.*?)^```", PAGE, flags=re.M | re.S)]
STAND_IN = f"""#!{sys.executable}
import os, sys, yaml
sys.path.insert(0, {str(ROOT)!r})
from tests.support.own_trainer import main
if sys.argv[-1].endswith(".yaml"):
    config = yaml.safe_load(open(sys.argv[-1]))
    model, output = config.get("base_model") or config["model_name_or_path"], config["output_dir"]
    named = config.get("datasets") or [yaml.safe_load(open("dataset_info.json"))["rows"]]
    rows = named[0].get("path") or named[0]["file_name"]
    assert isinstance(config["learning_rate"], float) and '"messages"' in open(rows).read()
else:
    flags = dict(zip(sys.argv[1:], sys.argv[2:]))
    model, rows, output = (flags[name] for name in ("--model_name_or_path", "--train_file", "--output_dir"))
    assert rows.endswith(".json") and '"text"' in open(rows).read()
assert os.path.samefile(model, os.environ["TUNEGATE_MODEL"])
sys.exit(main("skill", output))
"""
"""Reads what the trainers of the page read of their command lines and files, and trains as our own does."""


@pytest.mark.parametrize("stage", STAGES[1:], ids=lambda stage: stage["name"])
def test_the_stages_of_the_page_run(stage: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "project"
    spec = yaml.safe_load(PIPELINE)
    path = write_pipeline(folder, yaml.safe_dump({**spec, "stages": [{**stage, "gates": ["facts"]}]}, sort_keys=False))
    make_tiny_model(folder / "base")
    (folder / "raw.txt").write_text("\n\n".join(f"document {n}" for n in range(8)))
    for name, text in FILES.items():
        (folder / name).write_text(text)
    (folder / "bin").mkdir()
    for name in ("bin/axolotl", "bin/llamafactory-cli", "run_clm.py"):
        (folder / name).write_text(STAND_IN)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}")
    run = carried_out(path)
    attempts = run.stages[stage["name"]].attempts
    assert attempts[1].error is None
    assert run.verdict is Verdict.PASS


@pytest.mark.slow
def test_the_script_of_the_page_trains_through_a_gate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A real training with TRL, in a process of its own, and a gate that asks the model."""
    make_tiny_model(tmp_path / "base")
    rows = [{"question": f"tell {n}", "answer": "yes it is"} for n in range(24)]
    write_jsonl(tmp_path / "train.jsonl", rows)
    write_jsonl(tmp_path / "cases.jsonl", [{"id": n, "prompt": f"say {n}", "reference": "yes it is"} for n in range(8)])
    (tmp_path / "train_sft.py").write_text(FILES["train_sft.py"])
    rates = {"max_attempts": 2, "learning_rate": [1e-6, 1e-2]}  # at the first nothing is learnt
    args = {"per_device_train_batch_size": 4, "num_train_epochs": 12, "lr_scheduler_type": "constant"}
    stage = {**STAGES[0], "args": args, "retrain": rates}
    suite = {"cases": "cases.jsonl", "checks": ["exact"], "plan": {"draw": 4, "accept": 4, "confirm": "never"}}
    suite |= {"sealed": 0.0, "generate": {"max_new_tokens": 8}}
    spec = {"name": "own", "model": "base", "suites": {"facts": suite}, "stages": [stage]}
    (tmp_path / "tunegate.yaml").write_text(yaml.safe_dump(spec, sort_keys=False))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert main(["run", str(tmp_path / "tunegate.yaml"), "--json"]) == 0, capsys.readouterr().err
    run = read_run(tmp_path / "runs" / "own")
    first, second = (run.stages["sft"].attempts[n] for n in (1, 2))
    losses = [step["loss"] for step in second.log if "loss" in step]
    assert [gate.verdict for gate in first.gates.values()] == [Verdict.FAIL]
    assert losses[-1] < losses[0] / 2
    assert run.verdict is Verdict.PASS
