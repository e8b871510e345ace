"""Method rlhf, algorithm `ppo`: the keys of `args`; `settings` reads this file without importing it."""

from __future__ import annotations

from dataclasses import dataclass

from transformers import TrainingArguments


@dataclass
class PPOConfig(TrainingArguments):
    """The arguments of transformers, and those of `ppo.py`.

    A step of the optimizer is one pass over a batch of answers; each batch is passed over `num_ppo_epochs` times.
    """

    learning_rate: float = 3e-6
    remove_unused_columns: bool = False  # a check's reference is such a column
    max_completion_length: int = 53
    temperature: float = 1.0
    num_ppo_epochs: int = 4
    beta: float = 0.05  # penalty on the KL to the reference, in each token's reward
    target_kl: float | None = None  # nats per token; with it, `beta` is adapted after every batch
    gamma: float = 1.0
    lam: float = 0.95
    clip_range: float = 0.2
    value_clip_range: float = 0.2
    value_coefficient: float = 0.1
    value_learning_rate: float | None = None  # of the value head; default: `learning_rate`
    whiten_rewards: bool = False
