"""Arguments that cannot take effect: trainings that learn nothing, and settings of unused features.

Each is refused before any training, with the reason. A gate of a model that was not trained would be a gate of the
previous model.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from tunegate.exceptions import ConfigError

Args = Mapping[str, Any]

POSITIVE = {
    "learning_rate": "nothing is learned at a rate of 0, and a negative one unlearns",
    "num_train_epochs": "without a pass over the rows nothing is learned",
    "per_device_train_batch_size": "a step takes at least one row",
    "gradient_accumulation_steps": "a step takes at least one batch",
    "max_length": "every row has more tokens",
    "logging_steps": "the loss curve is evidence; leave it out for every step",
    "save_steps": "leave it out for a checkpoint every 50 steps",
    "beta": "nothing would keep the model near its preferences or its start",
    "max_completion_length": "an answer has at least one token",
    "num_iterations": "each batch of answers is trained on at least once",
    "num_ppo_epochs": "each batch of answers is trained on at least once",
    "temperature": "identical answers cannot be compared",
    "ref_model_sync_steps": "the reference is updated after this number of steps",
}
"""Numbers that must be above 0, by the name of the argument, and why."""

SHARES = ("adam_beta1", "adam_beta2", "label_smoothing_factor", "label_smoothing")
"""Numbers from 0 up to, not including, 1."""

NOT_NEGATIVE = (
    "warmup_steps",
    "weight_decay",
    "max_grad_norm",
    "desirable_weight",
    "undesirable_weight",
)

EVALUATION = (
    "eval_strategy", "eval_steps", "eval_delay", "eval_on_start", "eval_accumulation_steps", "eval_packing",
    "eval_do_concat_batches", "eval_use_gather_object", "per_device_eval_batch_size", "bf16_full_eval",
    "fp16_full_eval", "prediction_loss_only", "include_for_metrics", "batch_eval_metrics", "do_eval", "do_predict",
    "load_best_model_at_end", "metric_for_best_model", "greater_is_better", "num_generations_eval",
    "generate_during_eval",
)  # fmt: skip
OFF = (None, False, "no")
"""Values without an effect, which are accepted so that a complete configuration can be copied."""

HUB = (
    "push_to_hub", "hub_token", "hub_model_id", "hub_strategy", "hub_always_push", "hub_private_repo", "hub_revision",
    "log_completions_hub_repo",
)  # fmt: skip

ELSEWHERE = {
    **dict.fromkeys(EVALUATION, "there are no evaluation data here: gates judge, and `watch` chooses the checkpoint"),
    **dict.fromkeys(HUB, "no model leaves this machine before its gates; publish what was promoted"),
    "resume_from_checkpoint": "`tunegate run` resumes from its own checkpoints",
    "do_train": "a stage always trains",
    "model_init_kwargs": "the model is loaded by Tunegate",
    "chat_template_path": "write the template into `options.chat_template`",
    "dataset_text_field": 'name the field in `data` (`data: {text: "{field}"}`)',
    "dataset_kwargs": "rows are prepared by Tunegate",
    "trust_remote_code": "code in a model folder is never run",
}
"""Arguments that are not used here, and what to do instead."""

NEEDS = {
    **dict.fromkeys(("ref_model_mixup_alpha", "ref_model_sync_steps"), "sync_ref_model"),
    **dict.fromkeys(("entropy_coef_min", "entropy_coef_max", "entropy_coef_delta"), "use_adaptive_entropy"),
    "entropy_target": "use_adaptive_entropy",
    "precompute_ref_batch_size": "precompute_ref_log_probs",
    "gradient_checkpointing_kwargs": "gradient_checkpointing",
    "activation_checkpointing_kwargs": "activation_checkpointing",
    "liger_kernel_config": "use_liger_kernel",
    "run_name": "report_to",
}
"""Arguments that change nothing unless another one is set."""

ADAPTER_POSITIVE = ("r", "lora_alpha", "alpha", "num_virtual_tokens", "oft_block_size")
ADAPTER_LISTS = ("target_modules", "layers_to_transform", "modules_to_save", "trainable_token_indices")


def check(method: str, args: Args, peft: Mapping[str, Any] | None) -> None:
    """Raise ConfigError for the first argument without an effect; the message begins with its key path."""
    for fault in (*_faults(method, args), *_adapter_faults(peft or {})):
        raise ConfigError(fault)


def _faults(method: str, args: Args) -> Iterator[str]:
    for name, reason in ELSEWHERE.items():
        if name in args and args[name] not in OFF:
            yield f"args.{name}: leave it out; {reason}"
    for name, reason in POSITIVE.items():
        drifts = (name, method, args.get(name)) == ("beta", "rlhf", 0)  # rlhf has its own message for this
        if _is_number(args.get(name)) and not _above(args[name]) and not drifts:
            yield f"args.{name}: expected a number above 0, got {args[name]}: {reason}"
    for name in SHARES:
        if _is_number(args.get(name)) and not 0 <= args[name] < 1:
            yield f"args.{name}: expected a number from 0 up to 1, got {args[name]}"
    for name in NOT_NEGATIVE:
        if _is_number(args.get(name)) and not (args[name] >= 0 and math.isfinite(args[name])):
            yield f"args.{name}: expected a number of 0 or more, got {args[name]}"
    for name, other in NEEDS.items():
        if args.get(name) not in OFF and args.get(other) in OFF:
            yield f"args.{name}: has no effect without args.{other}; give both, or leave it out"
    yield from _steps(args)
    yield from _packing(method, args)


def _steps(args: Args) -> Iterator[str]:
    steps, warmup = args.get("max_steps", -1), args.get("warmup_steps", 0)
    if _is_number(steps) and steps != -1 and steps < 1:
        yield f"args.max_steps: expected 1 or more, got {steps}; leave it out to train for num_train_epochs"
    if _is_number(steps) and steps > 0 and "num_train_epochs" in args:
        yield f"args.num_train_epochs: max_steps ({steps}) overrides it; give only one of the two"
    if _is_number(steps) and _is_number(warmup) and 0 < steps <= warmup and warmup >= 1:
        yield f"args.warmup_steps: {warmup} of {steps} steps (max_steps): the learning rate would never be reached"
    if _is_number(warmup) and warmup and args.get("lr_scheduler_type") == "constant":
        yield "args.warmup_steps: the schedule `constant` has no warm-up; write `constant_with_warmup`, or leave it out"


def _packing(method: str, args: Args) -> Iterator[str]:
    strategy = args.get("packing_strategy")
    packs = args.get("packing", method == "cpt")
    if strategy == "wrapped":
        yield "args.packing_strategy: 'wrapped' lets a document see the one before it, and cuts rows; leave it out"
    if strategy is not None and not packs:
        yield "args.packing_strategy: has no effect without packing; write `packing: true` too, or leave it out"


def _adapter_faults(peft: Mapping[str, Any]) -> Iterator[str]:
    for name in ADAPTER_POSITIVE:
        if _is_number(peft.get(name)) and not _above(peft[name]):
            yield f"peft.{name}: expected a number above 0, got {peft[name]}: such an adapter changes nothing"
    for name in ("dropout", "lora_dropout"):
        if _is_number(peft.get(name)) and not 0 <= peft[name] < 1:
            yield f"peft.{name}: expected a number from 0 up to 1, got {peft[name]}"
    for name in ADAPTER_LISTS:
        if isinstance(peft.get(name), list) and not peft[name]:
            yield f"peft.{name}: expected at least one name, got an empty list; name what to adapt, or leave it out"
    if peft.get("inference_mode"):
        yield "peft.inference_mode: nothing would be trained; leave it out"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _above(value: float) -> bool:
    return value > 0 and math.isfinite(value)


def check_learned(steps: int, rates: list[float]) -> None:
    """Raise ConfigError for a training that took no step, or none at a learning rate above 0."""
    if steps == 0:
        raise ConfigError(
            "the training took no step: there are fewer rows than one batch needs; lower "
            "args.per_device_train_batch_size, or leave args.dataloader_drop_last out"
        )
    if rates and not any(rates):
        raise ConfigError(
            f"the learning rate was 0 in all {steps} steps: the schedule had no room to rise; train for longer, or "
            "lower args.warmup_steps"
        )
