"""Checkpoints inside an attempt: a training that was killed goes on where it last stood, to the same weights.

Each is sealed when it is whole: with the hashes of its files, and of the job that it is of. What has no such seal, or
another one, is removed unread: half a checkpoint, one of another training, one that somebody changed.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tunegate.exceptions import CannotJudge
from tunegate.hashes import ascii_json, sha256_hex
from tunegate.models.fingerprint import file_sha256
from tunegate.training.trainer import TrainJob, checkpoints_of
from tunegate.whole_files import replace_file
from tunegate_trainers import noise, ranks

SAVE_STEPS = 50
SAVE_EVERY_S = 120.0
"""A step may take minutes: what a kill costs is bounded in time, too."""

DEFAULTS = {"save_strategy": "steps", "save_steps": SAVE_STEPS, "save_total_limit": 1}
"""For TRL's config class: one checkpoint is enough to go on from."""


def resume(trainer: Any, job: TrainJob) -> None:
    """Train, from the last checkpoint that a killed training of this very job left, else from the start."""
    last = _last_sound(trainer, job)
    trainer.add_callback(_sealing(trainer, job))
    if trainer.args.save_strategy == "steps":
        trainer.add_callback(saving_by_time())
    if last is None:
        trainer.train()
        return
    _count_tokens_on(trainer, last)
    with noise.tied_weights_may_be_missing(trainer.model):
        trainer.train(resume_from_checkpoint=str(last))


def remove(job: TrainJob) -> None:
    """For a job that ended, one way or the other."""
    shutil.rmtree(checkpoints_of(job), ignore_errors=True)


def _last_sound(trainer: Any, job: TrainJob) -> Path | None:
    """The newest checkpoint that bears the seal of this job; those that do not are removed, and told."""
    found = {path: fault_of(path, job) for path in checkpoints_of(job).glob("checkpoint-*")}
    trainer.accelerator.wait_for_everyone()  # all have looked before the first process removes
    if ranks.is_main():
        for path, fault in found.items():
            if fault is not None:
                sys.stderr.write(f"{path.name} of {path.parent}: {fault}: not gone on from, and removed\n")
                discard(path)
    sound = [path for path, fault in found.items() if fault is None]
    return max(sound, key=lambda path: int(path.name.removeprefix("checkpoint-")), default=None)


def discard(path: Path) -> None:
    """Remove a folder; of a link the link alone."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    else:
        shutil.rmtree(path, ignore_errors=True)


# --- seals -----------------------------------------------------------------------------------------------------------

SEAL = "tunegate.json"


def seal(folder: Path, job: TrainJob) -> None:
    """Say of a folder that it is whole, what is in it, and of which job it is."""
    for left in folder.glob(f".{SEAL}.*"):  # by a kill within the next lines
        left.unlink()
    replace_file(folder / SEAL, json.dumps({"job": _identity(job), "files": _hashes(folder)}, indent=1).encode())


def fault_of(folder: Path, job: TrainJob) -> str | None:
    """Why a folder is not what this job sealed; None where it is."""
    if folder.is_symlink():
        return "a link, where the training made a folder"
    try:
        said = json.loads((folder / SEAL).read_text(encoding="utf-8"))
        whose, files = said["job"], dict[str, str](said["files"])
        now = _hashes(folder)
    except FileNotFoundError:
        return "not finished"
    except (OSError, ValueError, KeyError, TypeError, CannotJudge) as error:
        return f"its seal cannot be read ({type(error).__name__})"
    if whose != _identity(job):
        return "of another training"
    changed = sorted(name for name in {*now, *files} if now.get(name) != files.get(name))
    return f"{changed[0]} is not what was saved" if changed else None


def _identity(job: TrainJob) -> str:
    return sha256_hex(ascii_json(asdict(job)))


def _hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file by its path; a link is none of ours, and counts by what it says."""
    return {
        path.relative_to(folder).as_posix(): f"link to {path.readlink()}" if path.is_symlink() else file_sha256(path)
        for path in sorted(folder.rglob("*"))
        if (path.is_symlink() or path.is_file()) and not path.name.startswith(SEAL)
    }


def _sealing(trainer: Any, job: TrainJob) -> Any:
    """The callback that seals each checkpoint once all processes have written their part."""
    from transformers import TrainerCallback

    class Sealing(TrainerCallback):
        def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            trainer.accelerator.wait_for_everyone()
            if ranks.is_main():
                seal(checkpoints_of(job) / f"checkpoint-{state.global_step}", job)

    return Sealing()


def saving_by_time(every_s: float = SAVE_EVERY_S, clock: Callable[[], float] = time.monotonic) -> Any:
    """The callback that asks for a checkpoint after so many seconds without one; saving draws no random numbers.

    Of several processes the main one's clock decides, for they save together or not at all.
    """
    from transformers import TrainerCallback

    class SavingByTime(TrainerCallback):
        def __init__(self) -> None:
            self.saved = clock()

        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self.saved = clock()

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if ranks.agreed(clock() - self.saved >= every_s):
                control.should_save = True

        def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self.saved = clock()

    return SavingByTime()


def _count_tokens_on(trainer: Any, checkpoint: Path) -> None:
    """TRL counts tokens from the start of its process; the log goes on from the checkpoint."""
    history = json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))["log_history"]
    counted = [entry["num_tokens"] for entry in history if "num_tokens" in entry]
    if counted and hasattr(trainer, "_total_train_tokens"):
        trainer._total_train_tokens = int(counted[-1])  # pyright: ignore[reportPrivateUsage]
