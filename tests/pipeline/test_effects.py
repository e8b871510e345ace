"""Arguments that can't take effect are refused before anything is trained, for every method that has them."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.fake_pipeline import PIPELINE, load, write_pipeline
from tests.support.trainer_jobs import ARGS, MakeJob, real_training
from tunegate.exceptions import ConfigError
from tunegate_trainers import config_fields, effects, settings
from tunegate_trainers.effects import ELSEWHERE, NEEDS, NOT_NEGATIVE, POSITIVE, SHARES
from tunegate_trainers.process import run

OPTIONS: dict[str, dict[str, Any]] = {
    "explain": {"form": "completion"},
    "rlhf": {"algorithm": "grpo", "reward": {"suite": "facts"}},
}
METHODS = [name for name in settings.METHODS if name not in ("fewshot", "command")]


def fields_of(method: str) -> dict[str, str]:
    file = settings.read_options(method, OPTIONS.get(method, {})).args_file
    package, _, name = file.rpartition(":")
    return config_fields.fields_of(*settings.TRAINING_ARGUMENTS, (package or "trl", name))


def stage(method: str, args: dict[str, Any], peft: dict[str, Any] | None = None) -> Any:
    rest = dict.fromkeys(("train", "curriculum", "launcher", "watch"))
    return SimpleNamespace(method=method, options=OPTIONS.get(method, {}), args=args, peft=peft, save="merged", **rest)


def refused() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every argument of every method with a value that can't take effect."""
    for method in METHODS:
        known = fields_of(method)
        for name in known.keys() & POSITIVE.keys():
            for wrong in (0, -1):
                yield method, {name: wrong}
        for name in known.keys() & ELSEWHERE.keys():
            yield method, {name: 5 if "int" in known[name] or "float" in known[name] else _asking(known[name])}
        for name in known.keys() & NEEDS.keys():
            yield method, {name: "x" if "str" in known[name] else {} if "dict" in known[name] else 1}
        for name in known.keys() & {*SHARES}:
            yield method, {name: 1.5}
        for name in known.keys() & {*NOT_NEGATIVE}:
            yield method, {name: -1}
        yield method, {"learning_rate": float("nan")}
        yield method, {"learning_rate": float("inf")}
        yield method, {"max_steps": 0}
        yield method, {"max_steps": 5, "num_train_epochs": 1}
        yield method, {"max_steps": 5, "warmup_steps": 5}
        yield method, {"warmup_steps": 5, "lr_scheduler_type": "constant"}
        if "packing_strategy" in known:
            yield method, {"packing": True, "packing_strategy": "wrapped"}
            yield method, {"packing": False, "packing_strategy": "bfd"}


def _asking(annotation: str) -> Any:
    return True if "bool" in annotation else "steps"


def test_each_is_refused_by_its_key_path() -> None:
    cases = list(refused())
    assert len(cases) > 300
    for method, args in cases:
        with pytest.raises(ConfigError, match=rf"^args\.({'|'.join(args)}): "):
            settings.validate(stage(method, args))


def test_no_name_is_listed_that_no_method_knows() -> None:
    known = {name for method in METHODS for name in fields_of(method)}
    known |= config_fields.fields_of(("tunegate_trainers", "ppo_config.py")).keys()
    assert {*POSITIVE, *ELSEWHERE, *NEEDS, *NEEDS.values(), *SHARES, *NOT_NEGATIVE} <= known


@pytest.mark.parametrize(
    "peft",
    [
        {"r": 0}, {"r": -4}, {"alpha": 0}, {"lora_alpha": 0}, {"dropout": 1.0}, {"lora_dropout": 1.5},
        {"target_modules": []}, {"layers_to_transform": []}, {"inference_mode": True}, {"modules_to_save": []},
    ],
)  # fmt: skip
def test_an_adapter_that_changes_nothing_is_refused(peft: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=rf"^peft\.{next(iter(peft))}: "):
        settings.validate(stage("sft", {}, peft))


@pytest.mark.parametrize(
    "args",
    [
        {"learning_rate": 1e-3, "num_train_epochs": 0.5, "warmup_steps": 0.1, "weight_decay": 0, "max_grad_norm": 0},
        {"max_steps": -1, "num_train_epochs": 1}, {"max_steps": 5, "warmup_steps": 2}, {"max_length": None},
        {"eval_strategy": "no", "push_to_hub": False, "load_best_model_at_end": False, "hub_model_id": None},
        {"gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"use_reentrant": False}},
        {"packing": True, "packing_strategy": "bfd"}, {"lr_scheduler_type": "constant"}, {"save_strategy": "no"},
    ],
)  # fmt: skip
def test_what_takes_effect_or_asks_for_nothing_is_taken(args: dict[str, Any]) -> None:
    settings.validate(stage("sft", args))


def test_a_ladder_of_epochs_that_max_steps_would_cut_is_refused(tmp_path: Any) -> None:
    text = PIPELINE.replace("    retrain: {", "    args: {max_steps: 3}\n    retrain: {epochs: [1, 2], ", 1)
    with pytest.raises(ConfigError, match=r"args\.max_steps: max_steps overrides `retrain\.epochs`"):
        load(write_pipeline(tmp_path, text))


def test_no_step_and_no_rate_are_no_training() -> None:
    with pytest.raises(ConfigError, match="took no step"):
        effects.check_learned(0, [])
    with pytest.raises(ConfigError, match="learning rate was 0 in all 1 steps"):
        effects.check_learned(1, [0.0])
    effects.check_learned(2, [0.0, 1e-3])


class TestReal:
    pytestmark = real_training

    def test_a_training_whose_rate_never_rises_leaves_no_model(self, make_job: MakeJob) -> None:
        with pytest.raises(ConfigError, match="the learning rate was 0 in all 1 steps"):
            run(make_job(args=ARGS | {"max_steps": 1, "warmup_steps": 0.5}))
