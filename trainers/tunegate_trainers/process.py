"""One training in its own process: read the job, train, write the result."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import shutil
import sys
import traceback
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

from tunegate.exceptions import Diverged, OutOfMemory, Tampered, TunegateError, is_out_of_memory
from tunegate.progress import is_drawn_on
from tunegate.record.record import FailureKind
from tunegate.training.trainer import TrainJob, check_data
from tunegate.whole_files import replace_file, write_first
from tunegate_trainers import checkpoints, noise, ranks
from tunegate_trainers.settings import method_module, validate
from tunegate_trainers.task import OpenSuite, Task, no_suites


def main(job_file: Path, result_file: Path, open_suite: OpenSuite = no_suites, job_sha256: str | None = None) -> int:
    """Run the job; `result_file` gets {"log", "summary", "error", "failure"}.

    Returns the exit code: 0 with a model. Refuses a job file with another SHA-256 than `job_sha256`, if given, and rows
    that are not those of the job.

    If several processes train together, the main process writes the result, or the first one that fails.
    """
    if not ranks.is_main():
        ranks.send_output_to(result_file.parent)
    result: dict[str, Any] = {"log": [], "summary": {}, "error": None, "failure": "other"}
    try:
        job = _read(job_file, job_sha256)
        result["log"], result["summary"] = run(job, open_suite, result["log"])
    except Exception as error:
        if not isinstance(error, TunegateError):
            traceback.print_exc()
        result["failure"], result["error"] = failure_of(error)
    if ranks.is_main() or result["error"] is not None:
        _write(result_file, result)
    return 0 if result["error"] is None else 1


def _read(job_file: Path, sha256: str | None) -> TrainJob:
    text = job_file.read_bytes()
    if sha256 is not None and hashlib.sha256(text).hexdigest() != sha256:
        raise Tampered(f"{job_file}: the file changed: it is not the job that was written for this training")
    return TrainJob(**json.loads(text))


def run(
    job: TrainJob, open_suite: OpenSuite = no_suites, log: list[dict[str, Any]] | None = None
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Check the settings, then pass the job to its method; leaves no half-written model behind.

    If it fails, `log` has the entries logged until then.

    If the process is killed or interrupted, checkpoints stay, so that the same job can resume.
    """
    options = validate(job)
    check_data(job)
    _remove_partial(job)
    try:
        trained = method_module(job.method).train(Task(job, options, open_suite, [] if log is None else log))
    except Exception:
        checkpoints.remove(job)
        raise
    finally:
        _remove_partial(job)
    if ranks.is_main():
        checkpoints.remove(job)
    return trained


def _remove_partial(job: TrainJob) -> None:
    if ranks.is_main():  # the others finish while the main process still writes
        shutil.rmtree(f"{job.output}.partial", ignore_errors=True)


def failure_of(error: Exception) -> tuple[FailureKind, str]:
    """The kind of an error, and its first line, with the remedy if it is known."""
    text = str(error).strip().splitlines()[0] if str(error).strip() else ""
    if isinstance(error, TunegateError):
        kinds: dict[type, FailureKind] = {Diverged: "diverged", OutOfMemory: "out of memory"}
        return kinds.get(type(error), "other"), text
    if is_out_of_memory(error):
        return "out of memory", (
            "out of memory: lower args.per_device_train_batch_size and raise args.gradient_accumulation_steps as much, "
            f"or lower args.max_length ({text})"
        )
    return "other", f"{type(error).__name__}: {text}"


def _write(file: Path, result: dict[str, Any]) -> None:
    """Write the result completely or not at all, so that a killed training never looks finished.

    With several processes the first result counts: the others fail because they miss the first.
    """
    write = replace_file if ranks.processes() == 1 else write_first
    write(file, json.dumps(result, indent=1, allow_nan=False).encode())


def set_environment() -> None:
    """Before importing Hugging Face packages: fetch nothing, report nothing, print only messages about the training."""
    for name in ("HF_HUB_OFFLINE", "HF_HUB_DISABLE_TELEMETRY"):
        os.environ.setdefault(name, "1")
    noise.hush(on_terminal=is_drawn_on(sys.stderr))
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    warnings.filterwarnings("ignore", category=FutureWarning)  # TRL and transformers, of each other's renamed options


def import_libraries() -> None:
    """Import what nearly every training uses, in advance; without the extra `train`, a training says what is missing.

    Llama stands for all decoders, which share nearly all that its module imports.
    """
    with suppress(ImportError):
        for name in ("torch", "transformers.models.llama.modeling_llama", "datasets", "peft", "transformers.trainer"):
            importlib.import_module(name)
        for name in ("AutoTokenizer", "AutoModelForCausalLM"):
            getattr(importlib.import_module("transformers"), name)
        for name in ("SFTTrainer", "DPOTrainer", "KTOTrainer"):
            getattr(importlib.import_module("trl"), name)
