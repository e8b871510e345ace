"""Method rlhf, options: algorithm, reward, limits, and whether the numbers of answers fit together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, model_validator

from tunegate.exceptions import ConfigError
from tunegate_trainers import peft_configs
from tunegate_trainers.settings import Settings
from tunegate_trainers.task import MethodOptions

CONFIG_FILES = {
    "rloo": "trainer/rloo_config.py",
    "grpo": "trainer/grpo_config.py",
    "ppo": "tunegate_trainers:ppo_config.py",
}


GROUP_SIZES = {"rloo": 2, "grpo": 8}
"""Answers to one prompt that are compared with each other, where `args.num_generations` says nothing (TRL 1.16)."""


class Reward(BaseModel):
    """Where the reward comes from: one of `stage` and `suite`."""

    model_config = MethodOptions.model_config

    stage: str | None = None
    """An earlier stage of method `reward`."""
    suite: str | None = None
    """A suite, whose checks judge the answers; the row's `completion`, if it has one, is the reference."""
    check: str | None = None
    """The check of the suite whose value is the reward. Default: the share of the suite's checks that pass."""
    model: str | None = None
    """What the engine makes of `stage`: the folder of its model."""

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if sum(place is not None for place in (self.stage, self.suite, self.model)) != 1:
            raise ValueError("give one of `stage` (of method reward) and `suite` (whose checks are the reward)")
        if self.check is not None and self.suite is None:
            raise ValueError("`check` names a check of `suite`; a reward model has none")
        return self


class Options(MethodOptions):
    """How the policy is optimised, and against what."""

    algorithm: Literal["rloo", "grpo", "ppo"]
    """REINFORCE leave-one-out, group-relative or proximal policy optimisation."""
    reward: Reward
    max_kl: Annotated[float, Field(gt=0)] = 1.0
    """The training fails when the policy is further from the stage's input model: nats per token, at a logged step."""
    max_invalid: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """The training fails when a larger share of the answers could not be rewarded; these do not move the policy."""
    max_prompt_tokens: Annotated[int, Field(ge=1)] | None = None
    """Longer prompts are left out, and reported. Default: what the model's positions leave for a prompt."""

    @property
    def args_file(self) -> str:
        return CONFIG_FILES[self.algorithm]

    def check(self, settings: Settings) -> None:
        processes = _processes(getattr(settings, "launcher", None))
        if settings.peft is not None and not peft_configs.KINDS[settings.peft.get("type", "lora")].merges:
            raise ConfigError(f"peft.type: {settings.peft['type']} learns prompts, and rlhf trains weights; take lora")
        if self.algorithm == "ppo":
            if processes > 1:
                raise ConfigError(f"launcher: ppo trains in one process, not in {processes}; take rloo or grpo")
            return
        if settings.args.get("beta") == 0:
            raise ConfigError("args.beta: with 0, how far the policy drifts is not even measured; write 1e-6 or more")
        size, batch = group_size(self.algorithm, settings.args), answers_at_once(settings.args, processes)
        if size < 2:
            raise ConfigError(f"args.num_generations: expected 2 or more answers to compare, got {size}")
        if batch % size:
            raise ConfigError(
                f"args.num_generations: {size} does not divide the {batch} answers that are made at once "
                "(per_device_train_batch_size x gradient_accumulation_steps x processes); change one of them"
            )


def group_size(algorithm: str, args: Mapping[str, Any]) -> int:
    """How many answers to one prompt are compared."""
    return args.get("num_generations") or GROUP_SIZES[algorithm]


def answers_at_once(args: Mapping[str, Any], processes: int = 1) -> int:
    """The generation batch of TRL: what is sampled before the policy changes."""
    steps = args.get("steps_per_generation") or args.get("gradient_accumulation_steps", 1)
    return args.get("generation_batch_size") or args.get("per_device_train_batch_size", 8) * steps * processes


def _processes(launcher: Any) -> int:
    if isinstance(launcher, Mapping):
        return launcher.get("num_processes", 1)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return getattr(launcher, "num_processes", 1)
