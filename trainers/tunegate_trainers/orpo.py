"""Odds-ratio preference optimisation: imitates chosen answers and makes rejected ones less likely (TRL's ORPOTrainer).

It needs no reference model, which takes the memory of one model less than dpo, and no stage of sft before it.
"""

from __future__ import annotations

import warnings
from typing import Any

from tunegate_trainers import common, training_rows
from tunegate_trainers.task import MethodOptions, Task

ROW = ("prompt", "chosen", "rejected")
SURE = -1e-3
"""A mean log-likelihood above this counts as this one: at 0 the odds are infinite, and their gradient no number."""


class Options(MethodOptions):
    """None of its own."""

    config_file = "experimental/orpo/orpo_config.py"


def train(task: Task) -> tuple[common.Log, common.Summary]:
    """Train on rows of prompt, chosen and rejected answer. Returns (log, summary)."""
    return common.run(task, build)


def build(task: Task, loaded: training_rows.Loaded) -> common.Built:
    """The trainer, not yet started."""
    from datasets import Dataset

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that trl.experimental may change; our tests will tell
        from trl.experimental.orpo import ORPOConfig, ORPOTrainer

    class ExactTrainer(ORPOTrainer):
        """Trains on the very tokens that a gate asks, and survives an answer that the model is sure of.

        Left alone, TRL adds tokens before and after a chat template.
        """

        def tokenize_row(self, feature: Any, model: Any = None) -> dict[str, list[int]]:
            return tokens_of(feature, loaded.tokenizer)

        def odds_ratio_loss(self, policy_chosen_logps: Any, policy_rejected_logps: Any) -> Any:
            sure = (logps.float().clamp(max=SURE) for logps in (policy_chosen_logps, policy_rejected_logps))
            return super().odds_ratio_loss(*sure)

    config = ORPOConfig(**{"remove_unused_columns": False, **common.arguments(task.job)})  # as its collator needs
    rows = training_rows.fit_rows(task.job, loaded.tokenizer, config.max_length, ROW)
    trainer = ExactTrainer(
        model=loaded.model,
        args=config,
        train_dataset=Dataset.from_list(rows.kept),
        processing_class=loaded.tokenizer,
        peft_config=loaded.peft_config,
    )
    return trainer, rows


def tokens_of(row: dict[str, str], tokenizer: Any) -> dict[str, list[int]]:
    """What ORPOTrainer trains on, of a row whose texts have gone through the chat template where there is one."""
    chat = tokenizer.chat_template is not None
    prompt = tokenizer(row["prompt"], add_special_tokens=not chat)["input_ids"]
    columns = {"prompt_input_ids": prompt, "prompt_attention_mask": [1] * len(prompt)}
    for answer in ("chosen", "rejected"):
        end = "" if chat else tokenizer.eos_token
        whole = tokenizer(row["prompt"] + row[answer] + end, add_special_tokens=not chat)["input_ids"]
        columns |= {
            f"{answer}_input_ids": whole,
            f"{answer}_attention_mask": [1] * len(whole),
            f"{answer}_labels": [-100] * len(prompt) + whole[len(prompt) :],
        }
    return columns
