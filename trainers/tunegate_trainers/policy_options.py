"""Method rlhf, options: algorithm, reward, limits, and checks of the numbers of answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, model_validator

from tunegate.exceptions import SettingError
from tunegate_trainers import peft_configs
from tunegate_trainers.settings import Settings
from tunegate_trainers.task import MethodOptions

CONFIG_FILES = {
    "rloo": "trainer/rloo_config.py",
    "grpo": "trainer/grpo_config.py",
    "ppo": "tunegate_trainers:ppo_config.py",
}


GROUP_SIZES = {"rloo": 2, "grpo": 8}
"""Answers to one prompt that are compared with each other, without `args.num_generations` (TRL 1.16)."""


class Reward(BaseModel):
    """The source of the reward: `stage` or `suite`."""

    model_config = MethodOptions.model_config

    stage: str | None = None
    """An earlier stage of method `reward`."""
    suite: str | None = None
    """A suite, whose checks judge the answers; the row's `completion`, if it has one, is the reference."""
    check: str | None = None
    """The check of the suite whose value is the reward. Default: the share of the suite's checks that pass."""
    model: str | None = None
    """The folder of the stage's model; the engine sets it from `stage`."""

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if sum(place is not None for place in (self.stage, self.suite, self.model)) != 1:
            raise ValueError("give either `stage` (of method reward) or `suite` (whose checks are the reward)")
        if self.check is not None and self.suite is None:
            raise ValueError("`check` names a check of `suite`; a reward model has none")
        return self


class Options(MethodOptions):
    """How to optimise the policy, and its reward."""

    algorithm: Literal["rloo", "grpo", "ppo"]
    """REINFORCE leave-one-out, group-relative or proximal policy optimisation."""
    reward: Reward
    max_kl: Annotated[float, Field(gt=0)] = 1.0
    """The training fails if the policy is further than this from the input model: nats per token, at a logged step."""
    max_invalid: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """The training fails if a larger share of the answers has no reward; such answers do not change the policy."""
    max_prompt_tokens: Annotated[int, Field(ge=1)] | None = None
    """Longer prompts are left out, and reported. Default: the model's positions minus the answer."""

    @property
    def args_file(self) -> str:
        return CONFIG_FILES[self.algorithm]

    def check(self, settings: Settings) -> None:
        processes = _processes(getattr(settings, "launcher", None))
        if settings.peft is not None and not peft_configs.KINDS[settings.peft.get("type", "lora")].merges:
            raise SettingError(
                "peft.type", f"{settings.peft['type']} learns prompts, but rlhf trains weights; use lora"
            )
        if self.algorithm == "ppo":
            if processes > 1:
                raise SettingError("launcher", f"ppo trains in one process, got {processes}; use rloo or grpo")
            return
        if settings.args.get("beta") == 0:
            raise SettingError("args.beta", "expected 1e-6 or more, got 0, which leaves the drift unmeasured")
        size, batch = group_size(self.algorithm, settings.args), answers_at_once(settings.args, processes)
        if size < 2:
            raise SettingError("args.num_generations", f"expected 2 or more answers to compare, got {size}")
        if batch % size:
            raise SettingError(
                "args.num_generations",
                f"{size} does not divide the {batch} answers that are generated at once "
                "(per_device_train_batch_size x gradient_accumulation_steps x processes); change one of them",
            )


def group_size(algorithm: str, args: Mapping[str, Any]) -> int:
    """How many answers to one prompt are compared."""
    return args.get("num_generations") or GROUP_SIZES[algorithm]


def answers_at_once(args: Mapping[str, Any], processes: int = 1) -> int:
    """The generation batch of TRL: the answers that are sampled before the policy changes."""
    steps = args.get("steps_per_generation") or args.get("gradient_accumulation_steps", 1)
    return args.get("generation_batch_size") or args.get("per_device_train_batch_size", 8) * steps * processes


def _processes(launcher: Any) -> int:
    if isinstance(launcher, Mapping):
        return launcher.get("num_processes", 1)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return getattr(launcher, "num_processes", 1)
