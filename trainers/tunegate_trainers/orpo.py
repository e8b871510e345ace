"""Odds-ratio preference optimisation: imitates chosen answers and makes rejected ones less likely (TRL's ORPOTrainer).

It needs no reference model, and so less memory than dpo, and no sft stage before it.
"""

from __future__ import annotations

import warnings
from typing import Any

from tunegate_trainers import common, training_rows
from tunegate_trainers.task import MethodOptions, Task

ROW = ("prompt", "chosen", "rejected")
SURE = -1e-3
"""The maximum mean log-likelihood: at 0 the odds are infinite, and their gradient is not a number."""


class Options(MethodOptions):
    """No options."""

    config_file = "experimental/orpo/orpo_config.py"


def train(task: Task) -> tuple[common.Log, common.Summary]:
    """Train on rows of prompt, chosen and rejected answer. Returns (log, summary)."""
    return common.run(task, build)


def build(task: Task, loaded: training_rows.Loaded) -> common.Built:
    """The trainer, not yet started."""
    from datasets import Dataset

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that trl.experimental may change; our tests will find out
        from trl.experimental.orpo import ORPOConfig, ORPOTrainer

    class ExactTrainer(ORPOTrainer):
        """Trains on exactly the tokens of a gate, and handles answers with probability 1.

        By default, TRL adds tokens before and after a chat template.
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
    """The tokens for ORPOTrainer, from a row whose texts went through the chat template, if there is one."""
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
