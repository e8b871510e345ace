"""The input of a training method: the job, its own options, and access to the suites that it may ask."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from tunegate.exceptions import ConfigError
from tunegate.suites.suite import Suite
from tunegate.training.trainer import TrainJob
from tunegate_trainers.settings import Settings

OpenSuite = Callable[[Mapping[str, Any]], Suite]
"""From a reference in `TrainJob.suites` to the suite."""


def no_suites(ref: Mapping[str, Any]) -> Suite:
    """For trainings without suites."""
    raise ConfigError(f"suite {ref.get('name')!r}: suites cannot be opened here; train through `tunegate run`")


class MethodOptions(BaseModel):
    """The `options` of a method: none by default. Unknown keys and wrong types are errors."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

    config_file: ClassVar[str | None] = None
    """The source of the config class for `args`, in the package trl, or in another (`package:file`).

    None for a method without `args`."""

    own_trainer: ClassVar[bool] = False
    """Whether another's trainer takes `args`, which are then what that one says, and are only passed on."""

    @property
    def args_file(self) -> str | None:
        """The same, if it depends on the options."""
        return self.config_file

    def check(self, settings: Settings) -> None:
        """Raise ConfigError if the method cannot train with the stage's other settings."""

    def check_row(self, row: Mapping[str, Any]) -> None:
        """Raise ConfigError for a row from which the method cannot learn with these options."""


@dataclass(frozen=True, slots=True)
class Task:
    """One training to do. `options` are those of the method's own class. `log` has the entries logged so far; if the
    training fails, only they remain."""

    job: TrainJob
    options: Any
    open_suite: OpenSuite = no_suites
    log: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    def suite(self, name: str) -> Suite:
        """A suite of the job by its name."""
        return self.open_suite(self.job.suites[name])
