"""Retraining: what a stage may change between attempts, within the search space declared in the file.

Pure functions. The file declares the space as ladders (`retrain:`), lists of values. A diagnosis moves one ladder to
another rung, and says why (`diagnosis.py`). When no ladder has a rung left, the stage has failed: to try another seed
only would be to hope for chance.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import Any, Literal

from tunegate.optional import optional_import
from tunegate.pipeline.retrain_spec import RetrainSpec
from tunegate.record.record import Diagnosis

LADDERS = ("rows", "epochs", "learning_rate", "max_length", "repair", "replay", "conflicts")
"""The settings that may have a ladder, by their names in `Settings` and in the file."""

_ARGS = {"epochs": "num_train_epochs", "learning_rate": "learning_rate", "max_length": "max_length"}
"""Settings that are arguments of TRL's config classes; the others change the data."""

Direction = Literal["next", "lower", "higher"]
"""Which rung to take: the next one, or the first later rung with a lower or a higher value."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a retraining may change. None means: the value elsewhere in the file.

    `kinds` are the kinds of row (`kinds.py`) to which `repair` gives its share of the training text.
    """

    rows: int | None = None
    epochs: float | None = None
    learning_rate: float | None = None
    max_length: int | None = None
    repair: float | None = None
    kinds: tuple[str, ...] = ()
    replay: float | None = None
    conflicts: str | None = None

    def args(self) -> dict[str, Any]:
        """These settings as arguments of TRL's config classes."""
        named = {arg: getattr(self, name) for name, arg in _ARGS.items()}
        return {name: value for name, value in named.items() if value is not None}


def first_settings(spec: RetrainSpec) -> Settings:
    """The first rung of every ladder."""
    return Settings(**{name: rungs[0] for name in LADDERS if (rungs := spec.ladder(name))})


def apply(diagnosis: Diagnosis, settings: Settings) -> Settings:
    """The settings of the next attempt; `diagnosis` may have been read from a record, in which tuples are lists."""
    changes = {name: tuple(new) if name == "kinds" else new for name, (_, new) in diagnosis.changes.items()}
    return replace(settings, **changes)


def next_rung(setting: str, settings: Settings, spec: RetrainSpec, direction: Direction = "next") -> Any:
    """The next value on a setting's ladder; None if no rung is left."""
    ladder, current = spec.ladder(setting), getattr(settings, setting)
    if current not in ladder:
        return None
    above = ladder[ladder.index(current) + 1 :]
    if direction == "lower":
        above = [rung for rung in above if rung < current]
    elif direction == "higher":
        above = [rung for rung in above if rung > current]
    return above[0] if above else None


def possible_attempts(spec: RetrainSpec) -> int:
    """How many attempts are possible: each training may be followed by one redraw."""
    return possible_trainings(spec) * (2 if spec.on_noise == "redraw" else 1)


def possible_trainings(spec: RetrainSpec) -> int:
    """How many trainings the ladders have settings for: one rung per training, or all combinations in a search."""
    rungs = [len(ladder) for name in LADDERS if (ladder := spec.ladder(name))]
    return prod(rungs) if spec.search == "optuna" else 1 + sum(rungs) - len(rungs)


def args_set_by(spec: RetrainSpec) -> dict[str, str]:
    """The names of TRL's arguments that ladders set, each with its ladder: `args` must not set them as well."""
    return {arg: name for name, arg in _ARGS.items() if spec.ladder(name)}


def require_optuna() -> Any:
    """Import Optuna; raises MissingExtra."""
    return optional_import("optuna", "search", "`search: optuna`")
