"""Which settings a training method knows, read from the sources of TRL and PEFT without importing them.

Importing TRL's config classes takes seconds and torch; a typo in a pipeline file should be told in milliseconds.
"""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from tunegate.exceptions import ConfigError, MissingExtra, nearest

METHODS = {"sft": "tunegate_trainers.sft", "dpo": "tunegate_trainers.dpo"}

_TRAINING_ARGUMENTS = (("transformers", "training_args.py"), ("trl", "trainer/base_config.py"))
_LORA = (("peft", "config.py"), ("peft", "tuners/lora/config.py"))
_PEFT_CLASSES = {"PeftConfigMixin", "PeftConfig", "LoraConfig"}
_SET_BY_TUNEGATE = {
    "output_dir": "the folder of an attempt is Tunegate's to choose",
    "seed": "every attempt has its own seed, set by Tunegate",
}
_NUMBERS = {"int": (int,), "float": (int, float)}


def validate_args(method: str, args: Mapping[str, Any]) -> None:
    """Raise ConfigError when a method or one of its `args` is unknown, or an argument has the wrong type."""
    if method not in METHODS:
        raise ConfigError(f"method: {method!r} is not a training method{nearest(method, METHODS)}")
    for name, reason in _SET_BY_TUNEGATE.items():
        if name in args:
            raise ConfigError(f"args.{name}: remove it; {reason}")
    sources = (*_TRAINING_ARGUMENTS, ("trl", f"trainer/{method}_config.py"))
    _validate(args, _fields(sources), "args", f"an argument of TRL's {method.upper()}Config")


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
