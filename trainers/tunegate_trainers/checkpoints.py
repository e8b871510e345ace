"""Checkpoints inside an attempt: a training that was killed goes on where it last stood, to the same weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from tunegate.training import TrainJob, checkpoints_of
from tunegate_trainers import noise

SAVE_STEPS = 50

DEFAULTS = {"save_strategy": "steps", "save_steps": SAVE_STEPS, "save_total_limit": 1}
"""For TRL's config class: one checkpoint is enough to go on from."""


def resume(trainer: Any, job: TrainJob) -> None:
    """Train, from the last checkpoint that a killed training of this very job left, else from the start."""
    last = _last(checkpoints_of(job))
    if last is None:
        trainer.train()
        return
    _count_tokens_on(trainer, last)
    with noise.tied_weights_may_be_missing(trainer.model):
        trainer.train(resume_from_checkpoint=str(last))


def remove(job: TrainJob) -> None:
    """For a job that ended, one way or the other."""
    shutil.rmtree(checkpoints_of(job), ignore_errors=True)


def _last(folder: Path) -> Path | None:
    """The newest whole checkpoint: its state is the file that transformers writes last."""
    whole = [path.parent for path in folder.glob("checkpoint-*/trainer_state.json") if _is_json(path)]
    return max(whole, key=lambda path: int(path.name.removeprefix("checkpoint-")), default=None)


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return True


def _count_tokens_on(trainer: Any, checkpoint: Path) -> None:
    """TRL counts tokens from the start of its process; the log goes on from the checkpoint."""
    history = json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))["log_history"]
    counted = [entry["num_tokens"] for entry in history if "num_tokens" in entry]
    if counted and hasattr(trainer, "_total_train_tokens"):
        trainer._total_train_tokens = int(counted[-1])  # pyright: ignore[reportPrivateUsage]
