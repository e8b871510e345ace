"""Reward modelling: a network with one output learns to score chosen answers above rejected ones (TRL's RewardTrainer).

It starts as the stage's input model with a head of zeros instead of the vocabulary head, so that all rewards are 0
before the first step. (In transformers, the head would be random, and its seed easy to forget.)
"""

from __future__ import annotations

from typing import Any

from tunegate.exceptions import ConfigError, SettingError
from tunegate.models import adapters
from tunegate.models.reward_model import score_in_float32
from tunegate_trainers import common, peft_configs, training_rows
from tunegate_trainers.settings import Settings
from tunegate_trainers.task import MethodOptions, Task

ROW = ("prompt", "chosen", "rejected")


class Options(MethodOptions):
    """No options."""

    config_file = "trainer/reward_config.py"

    def check(self, settings: Settings) -> None:
        if settings.save == "adapter":
            raise SettingError("save", "a reward model is always saved merged, with its head; leave `save` out")


def train(task: Task) -> tuple[common.Log, common.Summary]:
    """Train on rows of prompt, chosen and rejected answer. Returns (log, summary)."""
    return common.run(task, build)


def build(task: Task, loaded: training_rows.Loaded) -> common.Built:
    """The trainer, not yet started."""
    from datasets import Dataset
    from trl import RewardConfig, RewardTrainer  # pyright: ignore[reportPrivateImportUsage]

    config = RewardConfig(**common.arguments(task.job))
    rows = training_rows.fit_rows(task.job, loaded.tokenizer, config.max_length, ROW)
    trainer = RewardTrainer(
        model=_with_head(loaded.model),
        args=config,
        train_dataset=Dataset.from_list(rows.kept),
        processing_class=loaded.tokenizer,
        peft_config=None if task.job.peft is None else _adapter(task.job.peft),
    )
    return trainer, rows


def _adapter(peft: Any) -> Any:
    """The adapter's configuration, with the head fully trained in addition."""
    return peft_configs.config_of({**peft, "task_type": "SEQ_CLS", "modules_to_save": ["score"]})


def _with_head(language_model: Any) -> Any:
    """The body of a language model with a new head of one output; the weights are not copied."""
    import torch
    from transformers import AutoModelForSequenceClassification

    if hasattr(language_model, "merge_and_unload"):
        language_model = adapters.merged(language_model)  # a continued adapter
    config = language_model.config
    config.num_labels = 1
    with torch.device("meta"):  # its own body is not needed, so it takes no memory
        model = AutoModelForSequenceClassification.from_config(config)
    body = model.base_model_prefix
    if not hasattr(model, "score") or not hasattr(language_model, body):
        raise ConfigError(f"reward: {config.model_type!r} cannot become a reward model; use a decoder such as Llama")
    setattr(model, body, getattr(language_model, body))
    model.score = torch.nn.Linear(*reversed(model.score.weight.shape), bias=False, device=language_model.device)
    torch.nn.init.zeros_(model.score.weight)
    return score_in_float32(model)
