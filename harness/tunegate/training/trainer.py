"""The seam between the engine and training: a model on disk and data in, a model on disk out.

Every training runs in its own process (`training_process.py`), so that its memory is freed, a crash does not end the
run, and the random state of one attempt cannot affect the next. A run starts them from one process that has imported
the libraries (`training_server.py`).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from tunegate.data.methods import method_of
from tunegate.exceptions import Tampered
from tunegate.models.fingerprint import file_sha256
from tunegate.pipeline.launching import command_of
from tunegate.processes import INTERPRETER
from tunegate.record.record import FailureKind
from tunegate.training.training_server import TrainingServer

HELD = "TUNEGATE_STDIN_IS_HELD"
"""Set for a training whose standard input closes when its parent process ends."""

ENDING_S = 15.0
"""How long a training whose trainer is not Tunegate's may take to end, when it is told to."""

PYTHON = (*INTERPRETER, "-m", "tunegate.training.training_process")
"""The command of a training in one process, without its arguments."""

RESULT = "result.json"
"""The file in a job's folder to which its training writes the result."""

STDERR = 2
"""The file descriptor for a training's output: standard output is for results."""


@dataclass(frozen=True, slots=True)
class TrainJob:
    """One training.

    `model` is a model folder (a PEFT adapter folder included). `data` is a JSONL file whose rows are already rendered
    (`training_data.Example.to_json`): a prompt is a string or a list of chat messages, the answers of the method
    (`methods.METHODS`) are strings; a file with another SHA-256 than `data_sha256` is refused. `output` is the folder
    to create; it appears complete or not at all. `args` go to TRL's config class, `peft` to PEFT's (None trains all
    weights), `options` to the method. `save` says whether an adapter is merged into the weights or saved alone.
    `suites` are those that the training itself may ask (`pipeline.SuiteRef` as JSON, by name): as a reward, or to
    watch its gates. `train`, `launcher`, `curriculum` and `watch` are those of `stage_spec`, as JSON.
    `label` is the name of the training in its log: stage and attempt. `command` is that of method command: its
    `words`, the `folder` that it runs in, and the path of its `config`. `eval_data` are validation rows, for an
    external trainer.
    """

    method: str
    model: str
    data: str
    output: str
    seed: int
    args: Mapping[str, Any] = field(default_factory=dict[str, Any])
    peft: Mapping[str, Any] | None = None
    save: Literal["merged", "adapter"] = "merged"
    data_sha256: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    suites: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    train: Any = None
    launcher: Mapping[str, Any] | None = None
    curriculum: Mapping[str, Any] | None = None
    watch: Mapping[str, Any] | None = None
    label: str = "training"
    attempt: int = 1
    eval_data: str | None = None
    command: Mapping[str, Any] | None = None


def check_data(job: TrainJob) -> None:
    """Raise Tampered if the job's data file no longer has the rows that were written for it."""
    if job.data_sha256 is not None and file_sha256(Path(job.data)) != job.data_sha256:
        raise Tampered(f"{job.data}: the file changed: it does not have the rows that were written for this training")


def checkpoints_of(job: TrainJob) -> Path:
    """The folder of the checkpoints from which a killed training resumes; removed when the training ends."""
    return Path(f"{job.output}.checkpoints")


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What a training reports: the logged steps, and a summary with at least `rows` and `rows_dropped`.

    `error` says why there is no model (diverged, out of memory, killed), `failure` names its kind; neither is the
    model's failure. `executor` says who trained, if not this process alone: the kind of executor, and each place.
    """

    log: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    summary: dict[str, Any] = field(default_factory=dict[str, Any])
    seconds: float = 0.0
    error: str | None = None
    failure: FailureKind = "other"
    executor: Mapping[str, Any] | None = None


class Trainer(Protocol):
    """Trains; returns when the model is on disk, or with `error` set. Never raises for an error of the training."""

    def __call__(self, job: TrainJob) -> TrainResult: ...


@dataclass(frozen=True, slots=True)
class SubprocessTrainer:
    """Runs each job in a Python process of its own; its output goes to standard error.

    With a `server`, the process is forked from one that has imported the libraries, where that is possible.
    """

    command: tuple[str, ...] = PYTHON
    server: TrainingServer | None = None

    def prepare(self) -> None:
        """Let the server import, if there is one."""
        if self.server is not None:
            self.server.start()

    def __call__(self, job: TrainJob) -> TrainResult:
        started = time.monotonic()
        command = command_of(self.command, job.launcher, Path(job.output).parent)
        patience_s = 0.0 if method_of(job.method).resumes else ENDING_S
        arguments = written(job)
        returncode = None
        if self.server is not None and command == list(self.command) and method_of(job.method).resumes:
            returncode = self.server.train(arguments)
            if returncode is None:  # its server may have ended just after it had written the model
                shutil.rmtree(job.output, ignore_errors=True)
        if returncode is None:
            Path(arguments[1]).unlink(missing_ok=True)
            returncode = _run([*command, *arguments], patience_s)
        return result_of(job, returncode, time.monotonic() - started)


def written(job: TrainJob) -> list[str]:
    """Write a job to its folder; returns the arguments of the training process.

    The hash of the job is one of them, so that the file cannot be replaced unnoticed.
    """
    folder = Path(job.output).parent
    job_file, result_file = folder / "job.json", folder / RESULT
    text = json.dumps(asdict(job), indent=2, default=str).encode(errors="backslashreplace")
    job_file.write_bytes(text)
    result_file.unlink(missing_ok=True)
    return [str(job_file), str(result_file), hashlib.sha256(text).hexdigest()]


def result_of(job: TrainJob, returncode: int, seconds: float) -> TrainResult:
    """What a training process that ended has written; without a result, how it ended."""
    try:
        result = json.loads((Path(job.output).parent / RESULT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        died = f"signal {-returncode}" if returncode < 0 else f"exit code {returncode}"
        return TrainResult(seconds=seconds, error=f"the training process ended with {died} without a result")
    return TrainResult(result["log"], result["summary"], seconds, result["error"], result["failure"])


def _run(command: list[str], patience_s: float) -> int:
    """Wait for a training to end; returns its exit code.

    The training watches its standard input, which a launcher passes on: if this process ends, the training ends too.
    After Ctrl-C it has `patience_s` seconds to pass that on and to end by itself.
    """
    environment = os.environ | {HELD: "1"}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=STDERR, env=environment) as process:
        try:
            return process.wait()
        except BaseException:  # mainly Ctrl-C: a training must not outlive its parent
            try:
                if patience_s:
                    process.terminate()
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(patience_s)
            finally:
                process.kill()
            raise


@contextlib.contextmanager
def forking_trainer() -> Generator[SubprocessTrainer]:
    """A trainer for the trainings of one run, whose server ends with the block."""
    with contextlib.closing(TrainingServer(PYTHON, {HELD: "1"}, STDERR)) as server:
        yield SubprocessTrainer(server=server)


@dataclass(frozen=True, slots=True)
class ScriptedTrainer:
    """The fake for tests: writes a model folder with what the script returns, as `weights.txt`."""

    script: Callable[[TrainJob], str]

    def __call__(self, job: TrainJob) -> TrainResult:
        try:
            weights = self.script(job)
        except RuntimeError as error:
            return TrainResult(error=str(error))
        folder = Path(job.output)
        folder.mkdir(parents=True)
        (folder / "weights.txt").write_text(weights, encoding="utf-8")
        data = Path(job.data)
        rows = len(data.read_text(encoding="utf-8").splitlines()) if data.is_file() else 0
        return TrainResult(log=[{"step": 1, "loss": 1.0}], summary={"rows": rows, "rows_dropped": 0})
