"""The rank of this process in its training, which `accelerate launch` sets in the environment."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from tunegate.exceptions import SettingError
from tunegate.training.trainer import TrainJob


def rank() -> int:
    """0 for the main process, the only one that writes files."""
    return int(os.environ.get("RANK", "0"))


def processes() -> int:
    """How many processes train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main() -> bool:
    """Whether this process writes the model and the log."""
    return rank() == 0


def agreed(said: bool) -> bool:
    """The main process's value, in all processes; with one process, its own value."""
    if processes() == 1:
        return said
    from accelerate.utils import broadcast_object_list

    return bool(broadcast_object_list([said])[0])


def send_output_to(folder: Path) -> None:
    """Redirect the output of other processes than the main one to a file, `rank-1.log`: one log is enough to read."""
    sys.stdout.flush()
    sys.stderr.flush()
    file = os.open(folder / f"rank-{rank()}.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    for stream in (1, 2):
        os.dup2(file, stream)


def check(trainer: Any, job: TrainJob) -> None:
    """Raise ConfigError for a model that cannot be saved in the job's way, before training."""
    if _is_spread(trainer) and job.peft is not None and job.save == "merged":
        raise SettingError("save", "weights that are split over processes cannot be merged; write `save: adapter`")


def gathered_weights(trainer: Any) -> dict[str, Any] | None:
    """All weights, if FSDP or DeepSpeed split them, otherwise None; all processes must call this."""
    return trainer.accelerator.get_state_dict(trainer.model_wrapped) if _is_spread(trainer) else None


def _is_spread(trainer: Any) -> bool:
    return trainer.accelerator.distributed_type.value in ("FSDP", "DEEPSPEED")
