"""Supervised fine-tuning: the model learns to answer prompts with the given completions (TRL's SFTTrainer)."""

from __future__ import annotations

from tunegate.training import TrainJob
from tunegate_trainers import common

ROW = ("prompt", "completion")


def train(job: TrainJob) -> tuple[common.Log, common.Summary]:
    """Train on rows of prompt and completion; only the completion counts towards the loss. Returns (log, summary)."""
    return common.run(job, build)


def build(job: TrainJob, loaded: common.Loaded) -> common.Built:
    """The trainer, not yet started."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer  # pyright: ignore[reportPrivateImportUsage]

    config = SFTConfig(**common.arguments(job))
    rows = common.fit_rows(job, loaded.tokenizer, config.max_length, ROW)
    trainer = SFTTrainer(
        model=loaded.model,
        args=config,
        train_dataset=Dataset.from_list(rows.kept),
        processing_class=loaded.tokenizer,
        peft_config=loaded.peft_config,
    )
    return trainer, rows
