"""Supervised fine-tuning: the model learns to answer prompts with the given completions (TRL's SFTTrainer)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated

from pydantic import AfterValidator

from tunegate_trainers import common, row_order, training_rows, turn_ends
from tunegate_trainers.chat_templates import check_setting, check_tokenizer, template_of
from tunegate_trainers.task import MethodOptions, Task

ROW = ("prompt", "completion")


class Options(MethodOptions):
    """The format of prompts and answers."""

    config_file = "trainer/sft_config.py"

    chat_template: Annotated[str, AfterValidator(check_setting)] | None = None
    """`alpaca`, `chatml`, or a Jinja template. It is saved with the model, so that gates, later stages and servers use
    the same format. Default: the model's own template."""


def train(task: Task) -> tuple[common.Log, common.Summary]:
    """Train on rows of prompt and completion; only the completion counts towards the loss. Returns (log, summary)."""
    return common.run(task, build)


def build(task: Task, loaded: training_rows.Loaded) -> common.Built:
    """The trainer, not yet started."""
    return on_completions(task, loaded, ROW)


def on_completions(
    task: Task,
    loaded: training_rows.Loaded,
    keys: Sequence[str],
    shape: Callable[[training_rows.Row], training_rows.Row] | None = None,
) -> common.Built:
    """A trainer on the completions of rows with these fields, after `shape`, if given."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer  # pyright: ignore[reportPrivateImportUsage]

    by_length = row_order.BY_LENGTH if task.job.curriculum is None else {}
    config = SFTConfig(**by_length | common.arguments(task.job))
    if task.options.chat_template is not None:
        loaded.tokenizer.chat_template = template_of(task.options.chat_template)
    check_tokenizer(loaded.tokenizer)
    turn_ends.settle(loaded.model, loaded.tokenizer)
    rows = training_rows.fit_rows(task.job, loaded.tokenizer, config.max_length, keys, shape)
    trainer = SFTTrainer(
        model=loaded.model,
        args=config,
        train_dataset=Dataset.from_list(rows.kept),
        processing_class=loaded.tokenizer,
        peft_config=loaded.peft_config,
    )
    return trainer, rows
