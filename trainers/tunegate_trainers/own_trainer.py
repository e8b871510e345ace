"""What a trainer that is not Tunegate's is given, and what the model that it leaves must be.

A user's command (`command.py`) and a method that a package adds (`installed.py`) both train this way. Their model is
looked at before it takes its place: it must open as a gate opens it, be finite, and be another one than the input.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tunegate.exceptions import CannotJudge, ConfigError, Diverged, SettingError
from tunegate.models import adapters, loading
from tunegate.models.adapter_base import write_base
from tunegate.models.fewshot import FILE as EXAMPLES
from tunegate.models.fingerprint import ALWAYS_LEFT_OUT
from tunegate.models.open_model import LocalModel, find_model
from tunegate.training.trainer import TrainJob
from tunegate_trainers import common
from tunegate_trainers.settings import Settings

REFUSED = {
    "peft": "say it to your trainer, in `args` or in its own configuration",
    "train": "your trainer decides which weights it trains",
    "launcher": "start several processes in the command: accelerate launch …",
    "curriculum": "your trainer decides the order of the rows",
    "watch": "give your trainer a tunegate.TrainerCallback",
}
"""Keys of a stage that only Tunegate's own trainers heed, and what to do in their stead."""

STATE = "trainer_state.json"


def check(settings: Settings) -> None:
    """Raise ConfigError for a key of the stage that only Tunegate's own trainers follow."""
    for name, remedy in REFUSED.items():
        if getattr(settings, name) is not None:
            raise SettingError(name, f"method {settings.method} cannot heed it; leave it out, and {remedy}")
    if settings.save != "merged":
        raise SettingError(
            "save", f"method {settings.method} keeps what its trainer leaves, a whole model or an adapter; leave it out"
        )


def settle(job: TrainJob, who: str) -> tuple[common.Log, common.Summary]:
    """Look at the model that a trainer left, and put it at `job.output`; returns (log, summary).

    Raises ConfigError or CannotJudge with what is wrong with it; `who` is who left it.
    """
    folder = common.partial(job)
    if folder.is_symlink() or not folder.is_dir():
        raise ConfigError(f"{who} left no model: expected a folder at {folder}; save the model to {{output}}")
    if (folder / EXAMPLES).exists():
        raise ConfigError(f"{who} left {EXAMPLES}, examples that would be in every prompt; leave it out")
    log = _log_of(folder)
    for name in ALWAYS_LEFT_OUT:
        for path in folder.glob(name):
            shutil.rmtree(path, ignore_errors=True)
    try:
        found = find_model(str(folder))
        _check_base(job, found)
        weights = weights_sha256(found)
    except (ConfigError, CannotJudge) as error:
        kind = next(one for one in (Diverged, CannotJudge, ConfigError) if isinstance(error, one))
        raise kind(f"{who} left no model that opens: {error}") from error
    if weights == weights_sha256(find_model(job.model)):
        raise ConfigError(
            f"{who} left the input model unchanged: every weight is what it was; look at its learning rate and steps, "
            "and at what it saves"
        )
    if found.adapters:
        write_base(folder, find_model(str(_bases(job)[-1])).sha256)
    sha256 = find_model(str(folder)).sha256
    shutil.rmtree(job.output, ignore_errors=True)
    folder.replace(job.output)
    rows = len(Path(job.data).read_bytes().splitlines())
    steps = [entry["step"] for entry in log if isinstance(entry.get("step"), int)]
    losses = [entry["loss"] for entry in log if isinstance(entry.get("loss"), int | float)]
    return log, {
        "rows": rows,
        "rows_dropped": 0,
        "dropped_rows": [],
        "steps": max(steps, default=None),
        "loss": losses[-1] if losses else None,
        "output_sha256": sha256,
        "versions": {name: version(name) for name in ("transformers", "torch")},
    }


def _bases(job: TrainJob) -> list[Path]:
    """The folders that an adapter may sit on: the input model, and of an input that is an adapter what is under it."""
    source = find_model(job.model)
    return [path.resolve() for path in (source.folder, *source.adapters)]


def _check_base(job: TrainJob, found: LocalModel) -> None:
    if not found.adapters:
        return
    under = [found.folder, *found.adapters[:-1]][-1]
    if under.resolve() not in _bases(job):
        raise ConfigError(f"an adapter on {under}, which is not the input model; train it on {{model}}: {job.model}")


def weights_sha256(found: LocalModel) -> str:
    """The hash of a model's weights as a gate asks it, whatever its files are called; adapters count as merged.

    Raises ConfigError or CannotJudge if it cannot be opened, or if a weight is not a number.
    """
    import torch

    loading.load_tokenizer(*reversed(found.adapters), found.folder)
    model = loading.load_weights(found.folder, loading.choose_dtype("auto", loading.choose_device(None)))
    for adapter in found.adapters:
        model = adapters.load_adapter(model, adapter)
    weights: Mapping[str, Any] = model.state_dict()
    digest = hashlib.sha256()
    for name, tensor in sorted(weights.items()):
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise Diverged(f"{found.folder}: {name} is not finite: the training diverged; lower its learning rate")
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _log_of(folder: Path) -> common.Log:
    """The steps that a Trainer of Hugging Face logged, where it left its state; nothing where another one trained."""
    checkpoints = sorted(folder.glob("checkpoint-*"), key=lambda path: path.stat().st_mtime)
    for place in (folder, *reversed(checkpoints)):
        try:
            state = json.loads((place / STATE).read_text(encoding="utf-8"))
            return [common.finite(entry) for entry in state["log_history"] if isinstance(entry, dict)]
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return []
