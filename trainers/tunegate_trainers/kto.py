"""Kahneman-Tversky optimisation: good answers become more likely, bad ones less likely (TRL's KTOTrainer).

It needs only answers labelled good or bad. The reference is the stage's input model, as in dpo, so the rewards and
the divergence from it are 0 at the first step.
"""

from __future__ import annotations

import random

from tunegate.exceptions import ConfigError, SettingError
from tunegate_trainers import common, training_rows
from tunegate_trainers.settings import Settings
from tunegate_trainers.task import MethodOptions, Task

ROW = ("prompt", "completion")
LABEL = "label"


class Options(MethodOptions):
    """No options."""

    config_file = "trainer/kto_config.py"

    def check(self, settings: Settings) -> None:
        if settings.args.get("per_device_train_batch_size", 8) < 2:
            raise SettingError(
                "args.per_device_train_batch_size",
                "kto needs 2 or more, got 1: it compares each prompt with the completion of another row of the batch",
            )


def train(task: Task) -> tuple[common.Log, common.Summary]:
    """Train on rows of prompt, completion and label (true: good). Returns (log, summary)."""
    return common.run(task, build)


def build(task: Task, loaded: training_rows.Loaded) -> common.Built:
    """The trainer, not yet started."""
    from datasets import Dataset
    from trl import KTOConfig, KTOTrainer  # pyright: ignore[reportPrivateImportUsage]

    config = KTOConfig(**common.arguments(task.job))
    rows = training_rows.fit_rows(task.job, loaded.tokenizer, config.max_length, ROW, carried=(LABEL,))
    if len({row[LABEL] for row in rows.kept}) == 1:
        raise ConfigError(f"{task.job.data}: all labels are the same; expected true in some rows and false in others")
    if task.job.curriculum is None:
        random.Random(task.job.seed).shuffle(rows.kept)  # TRL does not shuffle kto's rows
    trainer = KTOTrainer(
        model=loaded.model,
        ref_model=common.load(task.job).model if task.job.peft is None else None,
        args=config,
        train_dataset=Dataset.from_list(rows.kept),
        processing_class=loaded.tokenizer,
        peft_config=loaded.peft_config,
    )
    return trainer, rows
