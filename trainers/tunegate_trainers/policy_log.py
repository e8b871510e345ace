"""Method rlhf, log: reward, KL and the rest under the same names for every algorithm, and when training must stop.

reward: mean over the answers of a step, without any penalty. kl: to the reference, nats per token. ratio: of the
probabilities of answers (tokens, in ppo) under the policy and under the policy that sampled them. clip_fraction: the
share of these with a clipped ratio. entropy: nats per token.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from transformers import TrainerCallback

from tunegate.exceptions import Diverged
from tunegate_trainers.common import Log, Summary

_OUR_NAMES = {"clip_ratio/region_mean": "clip_fraction"}


class BoundedKL(TrainerCallback):
    """Stops a training whose policy is too far from the reference, where the reward has no meaning."""

    def __init__(self, max_kl: float) -> None:
        self.max_kl = max_kl

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        kl = (logs or {}).get("kl")
        if kl is not None and not kl <= self.max_kl:
            raise Diverged(
                f"diverged at step {state.global_step}: KL {kl:.3g} to the input model is above options.max_kl "
                f"{self.max_kl:g}; lower args.learning_rate or raise args.beta"
            )


def named_alike(entry: Mapping[str, Any]) -> dict[str, Any]:
    """A log entry of any algorithm with the names of this module."""
    return {_OUR_NAMES.get(key, key): value for key, value in entry.items()}


def summary_of(log: Log) -> Summary:
    """The additional facts for the summary."""
    rewards = [entry["reward"] for entry in log if _is_number(entry.get("reward"))]
    kls = [entry["kl"] for entry in log if _is_number(entry.get("kl"))]
    return {
        "first_reward": rewards[0] if rewards else None,
        "last_reward": rewards[-1] if rewards else None,
        "max_kl": max(kls, default=None),
    }


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
