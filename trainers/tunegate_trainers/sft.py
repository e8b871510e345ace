"""Supervised fine-tuning: the model learns to answer prompts with the given completions (TRL's SFTTrainer)."""

from __future__ import annotations

from tunegate_trainers import common
from tunegate_trainers.task import MethodOptions, Task

ROW = ("prompt", "completion")


class Options(MethodOptions):
    """None of its own."""

    config_file = "trainer/sft_config.py"


def train(task: Task) -> tuple[common.Log, common.Summary]:
    """Train on rows of prompt and completion; only the completion counts towards the loss. Returns (log, summary)."""
    return common.run(task, build)


def build(task: Task, loaded: common.Loaded) -> common.Built:
    """The trainer, not yet started."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer  # pyright: ignore[reportPrivateImportUsage]

    config = SFTConfig(**common.arguments(task.job))
    rows = common.fit_rows(task.job, loaded.tokenizer, config.max_length, ROW)
    trainer = SFTTrainer(
        model=loaded.model,
        args=config,
        train_dataset=Dataset.from_list(rows.kept),
        processing_class=loaded.tokenizer,
        peft_config=loaded.peft_config,
    )
    return trainer, rows
