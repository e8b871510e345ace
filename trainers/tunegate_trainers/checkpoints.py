"""Checkpoints inside an attempt: a killed training resumes from its last checkpoint and reaches the same weights.

Each complete checkpoint is sealed with the hashes of its files and of its job. Checkpoints without this seal are
removed unread: incomplete ones, those of another training, and those that somebody changed.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from itertools import groupby
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
"""Also save by time: a step may take minutes, and a kill should not lose many."""

DEFAULTS = {"save_strategy": "steps", "save_steps": SAVE_STEPS, "save_total_limit": 1}
"""For TRL's config class: one checkpoint is enough to resume."""


def resume(trainer: Any, job: TrainJob) -> list[int]:
    """Train, from the last checkpoint of a killed training of the same job, otherwise from the start.

    Returns the numbers of threads that it was computed with, in order. More than one, if it went on in a place with
    another number: sums are then rounded differently, so the weights may differ from those of one place.
    """
    last = _last_sound(trainer, job)
    threads = _in_order([*([] if last is None else _threads_of(last)), _threads_now()])
    trainer.add_callback(_sealing(trainer, job, threads))
    if trainer.args.save_strategy == "steps":
        trainer.add_callback(saving_by_time())
    if last is None:
        trainer.train()
        return threads
    _count_tokens_on(trainer, last)
    with noise.tied_weights_may_be_missing(trainer.model):
        trainer.train(resume_from_checkpoint=str(last))
    return threads


def _threads_now() -> int:
    import torch

    return torch.get_num_threads()


def _in_order(threads: Sequence[int]) -> list[int]:
    """The numbers without repeats of the one before."""
    return [one for one, _ in groupby(threads)]


def _threads_of(folder: Path) -> list[int]:
    """Those of the training that sealed a checkpoint; empty for a seal of an older version."""
    return list(json.loads((folder / SEAL).read_text(encoding="utf-8")).get("threads", []))


def remove(job: TrainJob) -> None:
    """Remove the checkpoints of a job that ended, with or without a model."""
    shutil.rmtree(checkpoints_of(job), ignore_errors=True)


def _last_sound(trainer: Any, job: TrainJob) -> Path | None:
    """The newest checkpoint with the seal of this job; others are removed, with a message."""
    found = {path: fault_of(path, job) for path in checkpoints_of(job).glob("checkpoint-*")}
    trainer.accelerator.wait_for_everyone()  # all processes have read before the first one removes
    if ranks.is_main():
        for path, fault in found.items():
            if fault is not None:
                sys.stderr.write(f"{path.name} of {path.parent}: {fault}: not used, and removed\n")
                discard(path)
    sound = [path for path, fault in found.items() if fault is None]
    return max(sound, key=lambda path: int(path.name.removeprefix("checkpoint-")), default=None)


def discard(path: Path) -> None:
    """Remove a folder; if it is a link, only the link."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    else:
        shutil.rmtree(path, ignore_errors=True)


# --- seals -----------------------------------------------------------------------------------------------------------

SEAL = "tunegate.json"


def seal(folder: Path, job: TrainJob, threads: Sequence[int] = ()) -> None:
    """Write the seal of a complete folder: the hashes of its files, its job, and the threads that computed it."""
    for left in folder.glob(f".{SEAL}.*"):  # from a kill during the next lines
        left.unlink()
    said = {"job": _identity(job), "files": _hashes(folder), "threads": list(threads)}
    replace_file(folder / SEAL, json.dumps(said, indent=1).encode())


def fault_of(folder: Path, job: TrainJob) -> str | None:
    """Why a folder is not what this job sealed; None if it is."""
    if folder.is_symlink():
        return "a link instead of the training's folder"
    try:
        said = json.loads((folder / SEAL).read_text(encoding="utf-8"))
        whose, files = said["job"], dict[str, str](said["files"])
        now = _hashes(folder)
    except FileNotFoundError:
        return "not finished"
    except (OSError, ValueError, KeyError, TypeError, CannotJudge) as error:
        return f"its seal cannot be read ({type(error).__name__})"
    if whose != _identity(job):
        return "it is of another training"
    changed = sorted(name for name in {*now, *files} if now.get(name) != files.get(name))
    return f"{changed[0]} changed after it was saved" if changed else None


def _identity(job: TrainJob) -> str:
    return sha256_hex(ascii_json(asdict(job)))


def _hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file by its path; a link is not from the training, and is represented by its target."""
    return {
        path.relative_to(folder).as_posix(): f"link to {path.readlink()}" if path.is_symlink() else file_sha256(path)
        for path in sorted(folder.rglob("*"))
        if (path.is_symlink() or path.is_file()) and not path.name.startswith(SEAL)
    }


def _sealing(trainer: Any, job: TrainJob, threads: Sequence[int]) -> Any:
    """The callback that seals each checkpoint once all processes have written their part."""
    from transformers import TrainerCallback

    class Sealing(TrainerCallback):
        def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            trainer.accelerator.wait_for_everyone()
            if ranks.is_main():
                seal(checkpoints_of(job) / f"checkpoint-{state.global_step}", job, threads)

    return Sealing()


def saving_by_time(every_s: float = SAVE_EVERY_S, clock: Callable[[], float] = time.monotonic) -> Any:
    """The callback that requests a checkpoint after `every_s` seconds without one; saving uses no random numbers.

    With several processes the clock of the main one decides, because they must save together.
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
    """TRL counts tokens from the start of its process; add the count of the checkpoint."""
    history = json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))["log_history"]
    counted = [entry["num_tokens"] for entry in history if "num_tokens" in entry]
    if counted and hasattr(trainer, "_total_train_tokens"):
        trainer._total_train_tokens = int(counted[-1])  # pyright: ignore[reportPrivateUsage]
