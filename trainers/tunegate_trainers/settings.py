"""Checks that a training method knows the settings of a stage."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, Protocol

from pydantic import ValidationError

from tunegate.exceptions import SettingError, nearest
from tunegate.extensions import Extension, extension
from tunegate.reading.spec import fault_in_words
from tunegate_trainers import config_fields, curriculum, effects, freezing, peft_configs

METHODS = {
    name: f"tunegate_trainers.{name}"
    for name in ("cpt", "sft", "explain", "dpo", "kto", "orpo", "reward", "rlhf", "fewshot", "command")
}
"""Method to module: each has `Options` (a `task.MethodOptions`) and `train(task)`, and imports no library on import."""

TRAINING_ARGUMENTS = (("transformers", "training_args.py"), ("trl", "trainer/base_config.py"))
_SET_BY_TUNEGATE = {
    "output_dir": "Tunegate chooses the folder of an attempt",
    "seed": "every attempt has its own seed, set by Tunegate",
}


class Settings(Protocol):
    """The common settings of a pipeline's stage and a job."""

    @property
    def method(self) -> str: ...
    @property
    def options(self) -> Mapping[str, Any]: ...
    @property
    def args(self) -> Mapping[str, Any]: ...
    @property
    def peft(self) -> Mapping[str, Any] | None: ...
    @property
    def save(self) -> str: ...
    @property
    def train(self) -> Any: ...
    @property
    def curriculum(self) -> Any: ...
    @property
    def launcher(self) -> Any: ...
    @property
    def watch(self) -> Any: ...


def validate(settings: Settings) -> Any:
    """The method's options; raises ConfigError for any fault of a stage's settings."""
    options = read_options(settings.method, settings.options)
    if options.own_trainer:
        options.check(settings)
        return options
    validate_args(settings.method, settings.args, options.args_file)
    peft_configs.check(settings.peft, settings.save)
    effects.check(settings.method, settings.args, settings.peft)
    freezing.check(settings.train, settings.peft)
    curriculum.check(settings)
    options.check(settings)
    return options


def method_module(method: str) -> Any:
    """The module of a method; raises ConfigError for an unknown method."""
    if _installed(method) is not None:
        return importlib.import_module("tunegate_trainers.installed")
    if method not in METHODS:
        raise SettingError("method", f"{method!r} is not a training method{nearest(method, METHODS)}")
    return importlib.import_module(METHODS[method])


def read_options(method: str, options: Mapping[str, Any]) -> Any:
    """The `Options` of a method; raises ConfigError for the first option that is unknown or has a wrong value."""
    if (found := _installed(method)) is not None:
        return method_module(method).read_options(found, options)
    known = method_module(method).Options
    for name in options:
        if name not in known.model_fields:
            raise SettingError(f"options.{name}", f"not an option of {method}{nearest(name, known.model_fields)}")
    try:
        return known.model_validate(dict(options))
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        place = ".".join(["options", *(str(part) for part in fault["loc"])])
        raise SettingError(f"{place}", f"{fault_in_words(fault)}") from error


def _installed(method: str) -> Extension | None:
    return extension("tunegate.methods", method, built_in=method in METHODS)


def validate_args(method: str, args: Mapping[str, Any], config_file: str | None) -> None:
    """Raise ConfigError if one of a method's `args` is unknown or has the wrong type.

    `config_file` is the source of the config class for it, as in `MethodOptions.config_file`.
    """
    if config_file is None:
        if args:
            raise SettingError("args", f"{method} takes none; remove {', '.join(args)}")
        return
    for name, reason in _SET_BY_TUNEGATE.items():
        if name in args:
            raise SettingError(f"args.{name}", f"remove it; {reason}")
    package, _, file = config_file.rpartition(":")
    known = config_fields.fields_of(*TRAINING_ARGUMENTS, (package or "trl", file))
    owner = "the" if package else "TRL's"
    config_fields.check(args, known, "args", f"an argument of {owner} config class for {method}")
