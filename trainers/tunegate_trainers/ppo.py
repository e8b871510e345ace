"""Method rlhf, algorithm `ppo`: a small trainer on transformers' Trainer; the arithmetic is in `ppo_loss.py`.

TRL dropped its PPOTrainer after 1.12, and the other maintained libraries (OpenRLHF, verl) need Ray, vLLM and GPUs. One
linear layer reads the value of a state from the policy's last hidden state. That layer starts with zeros, is trained
with the policy, and is not part of the saved model.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, Trainer, set_seed
from trl.trainer.utils import RepeatSampler, disable_dropout_in_model, use_adapter

from tunegate_trainers import common, policy_data, ppo_loss, training_rows
from tunegate_trainers.policy_log import BoundedKL
from tunegate_trainers.ppo_config import PPOConfig
from tunegate_trainers.rewards import rewards_of
from tunegate_trainers.task import Task

NO_CHECKPOINTS: dict[str, Any] = {"save_strategy": "no"}
"""A killed training starts over: a checkpoint would lack the value head and the current answers."""

RewardAnswers = Callable[[Sequence[training_rows.Row], Sequence[list[int]]], list[float | None]]
"""From rows and the token ids of their answers to rewards; None without a reward."""


def build(task: Task, loaded: training_rows.Loaded) -> common.Built:
    """The trainer, not yet started."""
    from datasets import Dataset

    config = PPOConfig(**common.arguments(task.job) | NO_CHECKPOINTS)
    at_once = config.per_device_train_batch_size * config.gradient_accumulation_steps
    rows = policy_data.prompt_rows(task, loaded, config.max_completion_length, at_once)
    set_seed(config.seed)  # an adapter starts with random numbers
    policy = _policy(loaded)
    if policy.generation_config.pad_token_id is None:
        policy.generation_config.pad_token_id = policy_data.end_ids(policy, loaded.tokenizer)[0]
    rewards, ends = rewards_of(task), policy_data.end_ids(policy, loaded.tokenizer)

    def reward(asked: Sequence[training_rows.Row], completions: Sequence[list[int]]) -> list[float | None]:
        prompts, references = [row["prompt"] for row in asked], [row["reference"] for row in asked]
        return rewards(policy_data.answers_of(loaded.tokenizer, ends, prompts, references, completions))

    trainer = PPOTrainer(
        policy,
        None if task.job.peft is not None else common.load(task.job).model,
        config,
        Dataset.from_list(rows.kept),
        loaded.tokenizer,
        reward,
    )
    trainer.add_callback(BoundedKL(task.options.max_kl))
    return trainer, rows


def _policy(loaded: training_rows.Loaded) -> Any:
    """The model to train: all weights, a new adapter, or a continued adapter, whose frozen copy is named `ref`."""
    if loaded.peft_config is not None:
        from peft import get_peft_model

        return get_peft_model(loaded.model, loaded.peft_config)
    if hasattr(loaded.model, "peft_config"):
        loaded.model.add_adapter("ref", loaded.model.peft_config["default"])
        for name, weights in loaded.model.named_parameters():
            if ".default." in name:
                loaded.model.get_parameter(name.replace(".default.", ".ref.")).data.copy_(weights.data)
    return loaded.model


def _as_they_are(rows: Any) -> Any:
    return rows


@dataclass(frozen=True, slots=True)
class Rollout:
    """Answers of the policy, with its probabilities and values. Shapes: (answers, tokens), `ids` with the prompt first.

    `mask` excludes padding, and answers without reward. `reward` and `kl` are means, `kl` per token to the reference:
    measured when the policy has just sampled the answers, before any step changes it.
    """

    ids: Tensor
    attention: Tensor
    mask: Tensor
    logps: Tensor
    values: Tensor
    advantages: Tensor
    returns: Tensor
    reward: float
    kl: float


class PPOTrainer(Trainer):
    """Samples a batch of answers, takes `num_ppo_epochs` steps on it, and repeats."""

    def __init__(
        self, policy: Any, reference: Any, args: PPOConfig, dataset: Any, tokenizer: Any, reward: RewardAnswers
    ) -> None:
        disable_dropout_in_model(policy)  # a ratio must compare the policy with itself
        super().__init__(
            model=policy, args=args, data_collator=_as_they_are, train_dataset=dataset, processing_class=tokenizer
        )
        device = self.accelerator.device
        self.model_accepts_loss_kwargs = False  # the loss is a mean: gradient accumulation divides it
        self.settings = args
        self.reference = None if reference is None else reference.to(device).requires_grad_(False)
        self.reward = reward
        self.tokenizer: Any = tokenizer
        self.ends = policy_data.end_ids(policy, tokenizer)
        self.value_head = torch.nn.Linear(policy.config.get_text_config().hidden_size, 1, device=device)
        torch.nn.init.zeros_(self.value_head.weight)
        torch.nn.init.zeros_(self.value_head.bias)
        self.beta = args.beta
        self._batches = self._tokens = 0
        self._rollouts: list[Rollout] = []
        self._metrics: dict[str, list[float]] = defaultdict(list)

    # --- methods of the Trainer of transformers ---

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        """Every batch of prompts `num_ppo_epochs` times in a row; an incomplete last batch is dropped."""
        args = self.settings
        at_once = args.per_device_train_batch_size * args.gradient_accumulation_steps
        return RepeatSampler(self.train_dataset, 1, at_once, args.num_ppo_epochs, seed=args.seed)  # pyright: ignore[reportArgumentType]

    def create_optimizer(self, model: Any = None) -> Any:
        optimizer = super().create_optimizer(model)
        rate = self.settings.value_learning_rate or self.settings.learning_rate
        optimizer.add_param_group({"params": list(self.value_head.parameters()), "lr": rate, "weight_decay": 0.0})
        return optimizer

    def floating_point_ops(self, inputs: Any) -> int:
        return 0  # not counted: a rollout is not a batch of tokens

    def _prepare_inputs(self, inputs: Any) -> Any:
        """The rollout of these rows: sampled the first time, and reused in the following epochs."""
        slots = self.settings.gradient_accumulation_steps
        place = self._batches % (slots * self.settings.num_ppo_epochs)
        self._batches += 1
        if place == 0:
            self._rollouts.clear()
        if place < slots:
            self._rollouts.append(self.roll_out(inputs))
        return self._rollouts[place % slots]

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        rollout, args = inputs, self.settings
        logps, values, entropy = self.evaluate_answers(model, rollout.ids, rollout.attention, rollout.mask.shape[1])
        ratio = (logps - rollout.logps).exp()
        gain, clipped = ppo_loss.policy_loss(ratio, rollout.advantages, rollout.mask, args.clip_range)
        error = ppo_loss.value_loss(values, rollout.values, rollout.returns, rollout.mask, args.value_clip_range)
        self._note(
            reward=rollout.reward,
            kl=rollout.kl,
            ratio=ppo_loss.masked_mean(ratio.detach(), rollout.mask),
            clip_fraction=clipped,
            entropy=ppo_loss.masked_mean(entropy.detach(), rollout.mask),
            policy_loss=gain.detach(),
            value_loss=error.detach(),
            beta=self.beta,
        )
        return gain + args.value_coefficient * error

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        means = {name: sum(values) / len(values) for name, values in self._metrics.items()}
        means |= {"num_tokens": self._tokens} if means else {}
        self._metrics.clear()
        super().log({**logs, **means}, start_time)

    def _note(self, **values: Any) -> None:
        for name, value in values.items():
            self._metrics[name].append(float(value))

    # --- answers ---

    @torch.no_grad()
    def roll_out(self, rows: Sequence[training_rows.Row]) -> Rollout:
        """Answer the rows, get the rewards, and compute the advantage of each token."""
        args, policy = self.settings, self.model
        ids, attention, mask, completions = self._sample(rows)
        given = self.reward(rows, completions)
        mask = mask * torch.tensor([[0.0 if one is None else 1.0] for one in given], device=ids.device)
        scores = torch.tensor([one or 0.0 for one in given], device=ids.device)
        logps, values, _ = self.evaluate_answers(policy, ids, attention, mask.shape[1])
        with self._reference() as reference:
            reference_logps = self.evaluate_answers(reference, ids, attention, mask.shape[1])[0]
        rewards = ppo_loss.token_rewards(scores, logps, reference_logps, mask, self.beta)
        if args.whiten_rewards:
            rewards = ppo_loss.whiten(rewards, mask, shift=False)
        advantages = ppo_loss.advantages(rewards, values, mask, args.gamma, args.lam)
        kl = ppo_loss.kl_estimate(logps, reference_logps, mask).item()
        if args.target_kl is not None:
            self.beta = ppo_loss.adapted_beta(self.beta, kl, args.target_kl)
        known = [one for one in given if one is not None]
        return Rollout(
            ids=ids,
            attention=attention,
            mask=mask,
            logps=logps,
            values=values,
            advantages=ppo_loss.whiten(advantages, mask),
            returns=advantages + values * mask,
            reward=sum(known) / len(known),
            kl=kl,
        )

    def _sample(self, rows: Sequence[training_rows.Row]) -> tuple[Tensor, Tensor, Tensor, list[list[int]]]:
        """Token ids of prompts and answers, the attention mask, the answer mask, and the answers alone."""
        policy: Any = self.model
        prompts = [policy_data.prompt_ids(self.tokenizer, row["prompt"]) for row in rows]
        width, pad = max(map(len, prompts)), policy.generation_config.pad_token_id
        device = self.accelerator.device
        ids = torch.tensor([[pad] * (width - len(prompt)) + prompt for prompt in prompts], device=device)
        real = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=device)
        policy.eval()
        whole = policy.generate(input_ids=ids, attention_mask=real, generation_config=self._sampling(pad))
        policy.train()
        answers = whole[:, width:]
        mask = ppo_loss.answer_mask(answers, torch.tensor(self.ends, device=device))
        self._tokens += int(real.sum() + mask.sum())
        completions = [answer[: int(length)].tolist() for answer, length in zip(answers, mask.sum(1), strict=True)]
        return whole, torch.cat([real, mask.long()], dim=1), mask, completions

    def _sampling(self, pad: int) -> GenerationConfig:
        """Plain sampling, whatever the model's own settings: the distribution itself is trained."""
        args = self.settings
        return GenerationConfig(
            do_sample=True,
            temperature=args.temperature,
            top_k=0,
            top_p=1.0,
            repetition_penalty=1.0,
            max_new_tokens=args.max_completion_length,
            eos_token_id=self.ends,
            pad_token_id=pad,
        )

    @contextmanager
    def _reference(self) -> Generator[Any]:
        """The reference: a second copy, or the policy without its adapter, or with the frozen adapter."""
        if self.reference is not None:
            yield self.reference
            return
        policy: Any = self.model
        with use_adapter(policy, "ref" if "ref" in policy.peft_config else None):
            yield policy

    def evaluate_answers(
        self, model: Any, ids: Tensor, attention: Tensor, tokens: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Log-probability, value and entropy at each of the last `tokens` tokens, predicted from the previous token."""
        positions = (attention.cumsum(1) - 1).clamp(min=0)
        seen = model(
            input_ids=ids,
            attention_mask=attention,
            position_ids=positions,
            logits_to_keep=tokens + 1,
            output_hidden_states=True,
            use_cache=False,
        )
        every = torch.log_softmax(seen.logits[:, :-1].float() / self.settings.temperature, dim=-1)
        chosen = every.gather(-1, ids[:, -tokens:, None]).squeeze(-1)
        values = self.value_head(seen.hidden_states[-1][:, -tokens - 1 : -1].float()).squeeze(-1)
        return chosen, values, -(every.exp() * every).sum(-1)
