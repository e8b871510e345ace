"""Methods that other packages add by the entry point `tunegate.methods`: classes with a method `train(training)`."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunegate.exceptions import SettingError, message_of, nearest
from tunegate.extensions import Extension
from tunegate_trainers import common, own_trainer
from tunegate_trainers.settings import Settings
from tunegate_trainers.task import Task


@dataclass(frozen=True, slots=True)
class Training:
    """What such a method is given: the folder of the input model, a JSONL file of rows, and the folder to save to.

    `settings` are the `args` of the stage as this attempt has them; `seed` is of this attempt, the first of which is 1.
    `eval_rows` are those that `data.prepare.split` keeps for validation.
    """

    model: Path
    rows: Path
    output: Path
    seed: int
    attempt: int
    settings: Mapping[str, Any]
    eval_rows: Path | None = None


@dataclass(frozen=True, slots=True)
class Installed:
    """The options of an installed method, as `MethodOptions` are those of Tunegate's: its object, made with them."""

    made: Any
    package: Extension

    own_trainer = True
    args_file = None

    def check(self, settings: Settings) -> None:
        own_trainer.check(settings)

    def check_row(self, row: Mapping[str, Any]) -> None:
        """Whatever the form that the method names allows, it takes."""


def read_options(found: Extension, options: Mapping[str, Any]) -> Installed:
    """The method, made with a stage's `options`; raises ConfigError where it is none, or knows no such option."""
    kind = found.load()
    if not isinstance(kind, type) or not callable(getattr(kind, "train", None)):
        raise SettingError(
            "method",
            f"{found.name}: the package {found.in_words} gives {kind!r:.80}; a class with a method "
            "`train(self, training)` was expected",
        )
    known = _parameters(kind)
    for name in options:
        if name not in known:
            raise SettingError(
                f"options.{name}",
                f"not an option of {found.name}, of the package {found.in_words}{nearest(name, known)}",
            )
    try:
        return Installed(kind(**options), found)
    except Exception as error:
        told = " ".join(message_of(error).split())[:200]
        raise SettingError(
            "options",
            f"{found.name} cannot be made: {type(error).__name__}: {told} (from the package {found.in_words})",
        ) from error


def _parameters(kind: type) -> list[str]:
    if kind.__init__ is object.__init__:
        return []
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [name for name, one in inspect.signature(kind).parameters.items() if one.kind in kinds]


def train(task: Task) -> tuple[common.Log, common.Summary]:
    """Have the package train and look at what it left. Returns (log, summary)."""
    job, package = task.job, task.options.package
    place = common.partial(job)
    task.options.made.train(
        Training(
            Path(job.model),
            Path(job.data),
            place,
            job.seed,
            job.attempt,
            dict(job.args),
            None if job.eval_data is None else Path(job.eval_data),
        )
    )
    log, summary = own_trainer.settle(job, f"the package {package.in_words}")
    return log, {**summary, "package": package.origin}
