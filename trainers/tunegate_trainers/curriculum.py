"""Trains on rows in a declared order: the order of the file, from the engine, or the input model's loss."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunegate.exceptions import SettingError
from tunegate.reading.rows import Row, read_rows
from tunegate.training.trainer import TrainJob
from tunegate.whole_files import write_whole
from tunegate_trainers import ranks

if TYPE_CHECKING:
    from tunegate_trainers.settings import Settings
    from tunegate_trainers.training_rows import Loaded

ANSWER = {
    "sft": "completion", "explain": "completion", "kto": "completion",
    "dpo": "chosen", "orpo": "chosen", "reward": "chosen",
}  # fmt: skip
"""The methods that train rows one by one, and the answer whose loss is the difficulty of a row."""

ARGS = {"train_sampling_strategy": "sequential"}
"""For TRL's config class, which shuffles by default."""


def check(settings: Settings) -> None:
    """Raise ConfigError for a curriculum that a method cannot follow."""
    if settings.curriculum is None:
        return
    if settings.method not in ANSWER:
        raise SettingError("curriculum", f"{settings.method} has no order of rows; use {', '.join(ANSWER)}")
    for name, value in settings.args.items():
        if name == "train_sampling_strategy" or (name == "packing" and value):
            raise SettingError(f"args.{name}", "leave it out; it would undo the order that `curriculum` asks for")


def arrange(job: TrainJob, loaded: Loaded) -> TrainJob:
    """The job with its rows in the order of the input model's loss, if the job asks for it.

    They are written to their own file beside the data, each with its `loss` (mean over the answer's tokens, natural
    log) and its `row`, the number of its original line.
    """
    if not _by_own_loss(job):
        return job
    ordered = Path(job.data).with_suffix(".by-loss.jsonl")
    with _main_process_first():
        if ranks.is_main():
            _write(ordered, _by_loss(job, loaded))
    return replace(job, data=str(ordered))


def rows_of(job: TrainJob, dropped: Sequence[int]) -> list[int]:
    """The original line numbers for lines of the job's file, which may have been reordered."""
    if not _by_own_loss(job):
        return list(dropped)
    original = {number: row["row"] for number, row in read_rows(Path(job.data))}
    return sorted(original[number] for number in dropped)


def _by_own_loss(job: TrainJob) -> bool:
    return job.curriculum is not None and job.curriculum["by"] == "loss"


def _main_process_first() -> Any:
    """All processes must train in the same order, so the main process makes it."""
    if ranks.processes() == 1:
        return contextlib.nullcontext()
    import torch
    from accelerate import PartialState

    return PartialState(cpu=not torch.cuda.is_available()).main_process_first()


def _by_loss(job: TrainJob, loaded: Loaded) -> list[Row]:
    rows = dict(read_rows(Path(job.data)))
    found = losses(loaded.model, [_ids(row, ANSWER[job.method], loaded.tokenizer) for row in rows.values()])
    rated = [{**row, "row": number, "loss": loss} for (number, row), loss in zip(rows.items(), found, strict=True)]
    return sorted(rated, key=lambda row: row["loss"], reverse=(job.curriculum or {})["order"] == "falling")


def _ids(row: Row, answer: str, tokenizer: Any) -> tuple[list[int], int]:
    """The tokens of prompt and answer, and how many of them belong to the prompt."""
    from tunegate_trainers.training_rows import to_trl

    formatted = to_trl(row, (answer,), tokenizer)
    if tokenizer.chat_template is None:
        prompt, whole = formatted["prompt"], formatted["prompt"] + formatted[answer] + tokenizer.eos_token
        return tokenizer(whole)["input_ids"], len(tokenizer(prompt)["input_ids"])
    chat = formatted["prompt"] + formatted[answer]
    asked = tokenizer.apply_chat_template(formatted["prompt"], add_generation_prompt=True, return_dict=False)
    return tokenizer.apply_chat_template(chat, return_dict=False), len(asked)


def losses(model: Any, rows: Sequence[tuple[list[int], int]]) -> list[float]:
    """The mean loss of each row's tokens after its prompt, one row at a time: no padding, no use of random state."""
    import torch

    was_training = model.training
    model.eval()
    found: list[float] = []
    with torch.inference_mode():
        for ids, prompt in rows:
            tokens = torch.tensor([ids], device=model.device)
            logits = model(input_ids=tokens).logits[0, max(prompt, 1) - 1 : -1].float()
            loss = torch.nn.functional.cross_entropy(logits, tokens[0, max(prompt, 1) :])
            found.append(float(loss))
    model.train(was_training)
    return found


def _write(path: Path, rows: Sequence[Row]) -> None:
    write_whole(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
