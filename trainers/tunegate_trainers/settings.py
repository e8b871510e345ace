"""Which settings a training method knows, read from the sources of TRL and PEFT without importing them.

Importing TRL's config classes takes seconds and torch; a typo in a pipeline file should be told in milliseconds.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from pydantic import ValidationError

from tunegate.exceptions import ConfigError, MissingExtra, nearest
from tunegate_trainers import freezing

METHODS = {name: f"tunegate_trainers.{name}" for name in ("cpt", "sft", "dpo", "kto", "orpo", "reward")}
"""Method to module: each has `Options` (a `task.MethodOptions`) and `train(task)`, and imports no library on import."""

_TRAINING_ARGUMENTS = (("transformers", "training_args.py"), ("trl", "trainer/base_config.py"))
_LORA = (("peft", "config.py"), ("peft", "tuners/lora/config.py"))
_PEFT_CLASSES = {"PeftConfigMixin", "PeftConfig", "LoraConfig"}
_SET_BY_TUNEGATE = {
    "output_dir": "the folder of an attempt is Tunegate's to choose",
    "seed": "every attempt has its own seed, set by Tunegate",
}
_NUMBERS = {"int": (int,), "float": (int, float)}


class Settings(Protocol):
    """What a stage of a pipeline and a job have in common."""

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


def validate(settings: Settings) -> Any:
    """The method's options; raises ConfigError for whatever is wrong with a stage's settings."""
    options = read_options(settings.method, settings.options)
    validate_args(settings.method, settings.args, options.args_file)
    validate_peft(settings.peft)
    freezing.check(settings.train, settings.peft)
    options.check(settings)
    return options


def method_module(method: str) -> Any:
    """The file of a method; raises ConfigError for an unknown one."""
    if method not in METHODS:
        raise ConfigError(f"method: {method!r} is not a training method{nearest(method, METHODS)}")
    return importlib.import_module(METHODS[method])


def read_options(method: str, options: Mapping[str, Any]) -> Any:
    """The `Options` of a method; raises ConfigError for the first that is unknown or has a wrong value."""
    known = method_module(method).Options
    for name in options:
        if name not in known.model_fields:
            raise ConfigError(f"options.{name}: not an option of {method}{nearest(name, known.model_fields)}")
    try:
        return known.model_validate(dict(options))
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        message = str(fault["msg"]).removeprefix("Value error, ").removeprefix("Input ")
        place = ".".join(["options", *(str(part) for part in fault["loc"])])
        got = "" if fault["type"] in ("missing", "value_error") else f", got {fault['input']!r}"
        raise ConfigError(f"{place}: {message[:1].lower()}{message[1:]}{got}") from error


def validate_args(method: str, args: Mapping[str, Any], config_file: str | None) -> None:
    """Raise ConfigError when one of a method's `args` is unknown or has the wrong type.

    `config_file` is the source of TRL's config class for it.
    """
    if config_file is None:
        if args:
            raise ConfigError(f"args: {method} takes none; remove {', '.join(args)}")
        return
    for name, reason in _SET_BY_TUNEGATE.items():
        if name in args:
            raise ConfigError(f"args.{name}: remove it; {reason}")
    sources = (*_TRAINING_ARGUMENTS, ("trl", config_file))
    _validate(args, _fields(sources), "args", f"an argument of TRL's config class for {method}")


def validate_peft(peft: Mapping[str, Any] | None) -> None:
    """Raise ConfigError when a key of `peft` is no argument of `peft.LoraConfig`, or has the wrong type."""
    if peft is not None:
        _validate(peft, _fields(_LORA), "peft", "an argument of peft.LoraConfig")


def _validate(given: Mapping[str, Any], known: Mapping[str, str], where: str, what: str) -> None:
    for name, value in given.items():
        if name not in known:
            raise ConfigError(f"{where}.{name}: not {what}{nearest(name, known)}")
        if not _fits(value, known[name]):
            raise ConfigError(f"{where}.{name}: expected {known[name]}, got {value!r}")


def _fits(value: object, annotation: str) -> bool:
    """Whether a value fits an annotation such as `float | None`; what is not plainly a number, bool or text passes."""
    options = {option.strip() for option in annotation.split("|")}
    if not options <= {"int", "float", "bool", "str", "None"}:
        return True
    if value is None:
        return "None" in options
    if isinstance(value, bool | str):
        return type(value).__name__ in options
    return any(isinstance(value, kinds) for name, kinds in _NUMBERS.items() if name in options)


@cache
def _fields(sources: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """Field name to annotation of the dataclasses in these files of installed packages; later files win."""
    return {name: annotation for package, file in sources for name, annotation in _file_fields(package, file).items()}


def _file_fields(package: str, file: str) -> dict[str, str]:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtra("training", "train", ImportError(f"no module named {package!r}"))
    source = Path(spec.submodule_search_locations[0], file).read_text(encoding="utf-8")
    classes = [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    return {
        statement.target.id: ast.unparse(statement.annotation)
        for node in classes
        if package != "peft" or node.name in _PEFT_CLASSES
        for statement in node.body
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)
    }
