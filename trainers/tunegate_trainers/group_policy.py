"""Method rlhf, algorithms `rloo` and `grpo`: TRL's RLOOTrainer and GRPOTrainer.

Both sample several answers to a prompt and compare each with the others; neither needs a value function.
RLOO: A. Ahmadian et al., ACL 2024, 12248-12267. GRPO: Z. Shao et al., arXiv:2402.03300.

The reference is the stage's input model: the model with the adapter switched off, TRL's frozen copy of a continued
adapter, or, in full training, a second copy. (TRL loads that copy by the name in the model's config, which ignores an
adapter that was merged into the weights, so it gets the policy's weights here.)
"""

from __future__ import annotations

from typing import Any

from tunegate_trainers import common, policy_data, training_rows
from tunegate_trainers.policy_log import BoundedKL
from tunegate_trainers.policy_options import group_size
from tunegate_trainers.rewards import rewards_of
from tunegate_trainers.task import Task

DEFAULTS = {
    "disable_dropout": True,  # a ratio must compare the policy with itself
    "beta": 0.05,  # TRL's for rloo; its 0 for grpo would leave the KL unmeasured
}


def build(task: Task, loaded: training_rows.Loaded) -> common.Built:
    """The trainer, not yet started."""
    from datasets import Dataset

    trainer_class, config_class = _classes(task.options.algorithm)
    size = group_size(task.options.algorithm, task.job.args)
    config = config_class(**{**DEFAULTS, "num_generations": size, **common.arguments(task.job)})
    at_once = config.generation_batch_size // size
    rows = policy_data.prompt_rows(task, loaded, config.max_completion_length or 0, at_once)
    trainer = trainer_class(
        model=loaded.model,
        reward_funcs=_reward_function(task, loaded),
        args=config,
        train_dataset=Dataset.from_list(rows.kept),
        processing_class=loaded.tokenizer,
        peft_config=loaded.peft_config,
        callbacks=[BoundedKL(task.options.max_kl)],
    )
    if trainer.ref_model is not None:
        weights = trainer.accelerator.unwrap_model(trainer.model).state_dict()
        trainer.accelerator.unwrap_model(trainer.ref_model).load_state_dict(weights)
    return trainer, rows


def _reward_function(task: Task, loaded: training_rows.Loaded) -> Any:
    rewards = rewards_of(task)
    ends = policy_data.end_ids(loaded.model, loaded.tokenizer)

    def reward(prompts: Any, completion_ids: Any, reference: Any, **_: Any) -> list[float | None]:
        return rewards(policy_data.answers_of(loaded.tokenizer, ends, prompts, reference, completion_ids))

    return reward


def _classes(algorithm: str) -> tuple[Any, Any]:
    """TRL's trainer, which also logs the ratio, and its config."""
    import trl

    if algorithm == "rloo":
        from trl.trainer.rloo_trainer import RLOOTrainer

        return _with_ratio(RLOOTrainer), trl.RLOOConfig  # pyright: ignore[reportPrivateImportUsage]
    from trl.trainer.grpo_trainer import GRPOTrainer

    return _with_ratio(GRPOTrainer), trl.GRPOConfig  # pyright: ignore[reportPrivateImportUsage]


def _with_ratio(trainer_class: Any) -> Any:
    """The trainer class, with the mean ratio in its log, which TRL 1.16 leaves out."""
    import torch

    class Trainer(trainer_class):
        def _get_per_token_logps_and_entropies(self, *args: Any, **kwargs: Any) -> Any:
            result = super()._get_per_token_logps_and_entropies(*args, **kwargs)
            if torch.is_grad_enabled():
                self._trained_logps = result[0].detach()
            return result

        def _compute_loss(self, model: Any, inputs: Any) -> Any:
            loss = super()._compute_loss(model, inputs)
            mode = "train" if self.model.training else "eval"
            self._metrics[mode]["ratio"].append(_mean_ratio(self._trained_logps, inputs).item())
            return loss

    return Trainer


def _mean_ratio(logps: Any, inputs: Any) -> Any:
    """Mean ratio: of answers in rloo, of their tokens in grpo. With one step per batch of answers, grpo keeps no old
    probabilities, because the ratio is then 1."""
    mask = inputs["completion_mask"]
    if "old_logps" in inputs:
        return ((logps * mask).sum(1) - inputs["old_logps"]).exp().mean()
    old = inputs.get("old_per_token_logps")
    ratio = (logps - (logps if old is None else old)).exp()
    return (ratio * mask).sum() / mask.sum().clamp(min=1)
