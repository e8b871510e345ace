"""Every key that a user can write: of all files, checks and training methods, and every word of the command line.

Nothing is listed here: keys are found by walking the models and the parser, so that a new one cannot be forgotten.
"""

from __future__ import annotations

import argparse
import importlib.util
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from pydantic import BaseModel

import tunegate
import tunegate_suites
import tunegate_trainers
from tunegate.command_line import build_parser
from tunegate.plugin.entry import pytest_addoption
from tunegate_suites import CHECKS
from tunegate_suites.build import find
from tunegate_trainers.settings import METHODS, method_module

PACKAGES = (tunegate, tunegate_suites, tunegate_trainers)
_MODEL = re.compile(r"^from pydantic|^class \w+\(.*(?:Spec|Options|Model|Check|Settings)\b", re.MULTILINE)


def modules(package: ModuleType) -> Iterator[ModuleType]:
    """Those that may define a model, by their text: to import all of them would bring torch, which takes seconds."""
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        spec = importlib.util.find_spec(found.name)
        if spec and spec.origin and _MODEL.search(Path(spec.origin).read_text(encoding="utf-8")):
            yield importlib.import_module(found.name)


def models() -> dict[str, type[BaseModel]]:
    """Name in the table to model: a check and a method by the name in a file, all others by their class."""
    for package in PACKAGES:
        list(modules(package))
    named: dict[type[BaseModel], str] = {}
    for name in CHECKS:
        named.setdefault(find(name), name)
    named |= {method_module(method).Options: f"method {method}" for method in METHODS}
    for model in _below(BaseModel):
        # A base class of others holds what they have in common, and is written under their names.
        if model not in named and not model.__subclasses__() and model.__module__.startswith("tunegate"):
            named[model] = model.__name__
    assert len(set(named.values())) == len(named)
    return {name: model for model, name in named.items()}


def file_keys() -> set[str]:
    """`PlanSpec.draw`, `contains.match`, `method cpt.chunk_tokens`."""
    return {
        f"{name}.{field.alias or key}" for name, model in models().items() for key, field in model.model_fields.items()
    }


def command_keys() -> set[str]:
    """`gate --seed`, `suite cue --rows`, `gate model` for a word without a flag, and what the plugin adds to pytest."""
    added = _Added()
    pytest_addoption(added)  # type: ignore[arg-type]
    return {*_words(build_parser(), ""), *(f"pytest {flag}" for flag in added.flags)}


class _Added:
    """Takes the options that a plugin adds, in place of pytest's own parser."""

    def __init__(self) -> None:
        self.flags: list[str] = []

    def getgroup(self, *names: str) -> _Added:
        return self

    def addoption(self, flag: str, **more: object) -> None:
        self.flags.append(flag)


def _below(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for sub in model.__subclasses__():
        yield sub
        yield from _below(sub)


def _words(parser: argparse.ArgumentParser, command: str) -> Iterator[str]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, sub in action.choices.items():
                yield from _words(sub, f"{command}{name} ")
        elif not isinstance(action, argparse._HelpAction | argparse._VersionAction):
            yield f"{command}{action.option_strings[-1] if action.option_strings else action.dest}"
