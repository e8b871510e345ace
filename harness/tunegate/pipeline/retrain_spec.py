"""The shape of what a retraining may change."""

from __future__ import annotations

from itertools import pairwise
from math import inf
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from tunegate.data.spec import DataSpec
from tunegate.reading.spec import Fraction, Spec, path_only

Share = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]

Rung = Count | Literal["all"]

RISING = ("rows", "epochs", "max_length", "repair", "replay")
"""The ladders of which every rung is more than the one before: more rows, more room, more of what was missed."""


SEARCHED = (*RISING, "learning_rate", "conflicts")


class RetrainSpec(Spec):
    """How often a stage may be retrained, and what a retraining may change: ladders, climbed as the diagnosis says.

    The first attempt uses the first rung of each ladder. A ladder that is not given has one rung: what `args` says.
    """

    max_attempts: Annotated[int, Field(ge=1, le=100)] = 3
    """How often the stage may be trained, the first time included."""
    rows: Annotated[list[Rung], Field(min_length=1)] | None = None
    """Numbers of training rows, rising; the last may be `all`. A rung above the rows that are left when leaks and
    `prepare` have taken theirs means all of these."""
    epochs: Annotated[list[Fraction], Field(min_length=1)] | None = None
    """Numbers of epochs, rising."""
    learning_rate: Annotated[list[Fraction], Field(min_length=1)] | None = None
    """Learning rates, in the order to try them."""
    max_length: Annotated[list[Count], Field(min_length=1)] | None = None
    """Tokens that a training row may have, rising; for data whose long rows do not fit."""
    repair: Annotated[list[Share], Field(min_length=1)] | None = None
    """Shares of the training text that go to rows of the kinds that were missed, rising, the first 0: at first nothing
    was missed."""
    replay: Annotated[list[Share], Field(min_length=1)] | None = None
    """Shares of the training text that are general data from `replay_data`, rising: against forgetting."""
    replay_data: Annotated[DataSpec, BeforeValidator(path_only)] | None = None
    """The general data, of the stage's method, such as `package:tunegate_suites/data/general/dolly.jsonl`."""
    conflicts: Annotated[list[Literal["keep", "drop"]], Field(min_length=1)] | None = None
    """`[keep, drop]`: leave out training rows that answer the same question differently, where they are the cause."""
    search: Literal["ladders", "optuna"] = "ladders"
    """`ladders`: the diagnosis climbs one rung. `optuna`: Optuna's TPE chooses among all rungs of all ladders, with the
    gates of the attempts so far as its objective."""

    def ladder(self, setting: str) -> list[Any]:
        """The rungs of a setting; empty where it is not declared."""
        return getattr(self, setting) or []

    def within(self, usable: int) -> RetrainSpec:
        """The same with rungs of at most so many rows: `all`, and what is more, is all of them, once."""
        if self.rows is None:
            return self
        rows = dict.fromkeys(usable if rung == "all" else min(rung, usable) for rung in self.rows)
        return self.model_copy(update={"rows": list(rows)})

    @model_validator(mode="after")
    def _rising(self) -> Self:
        for name in RISING:
            ladder = self.ladder(name)
            heights = [inf if rung == "all" else rung for rung in ladder]
            if any(low >= high for low, high in pairwise(heights)):
                raise ValueError(f"{name} must rise from rung to rung, got {ladder}")
        for name in ("learning_rate", "conflicts"):
            ladder = self.ladder(name)
            if len(set(ladder)) < len(ladder):
                noun = "a rate" if name == "learning_rate" else "a rung"
                raise ValueError(f"{name} holds {noun} twice, got {ladder}: that would be a second throw")
        return self

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.repair is not None and self.repair[0] != 0:
            raise ValueError(f"repair must begin with 0, got {self.repair}: before the first gate nothing was missed")
        if self.search == "optuna" and all(len(getattr(self, name) or ()) < 2 for name in SEARCHED):
            raise ValueError(
                f"search: optuna has nothing to choose from; give two rungs or more of {', '.join(SEARCHED)}"
            )
        if self.replay is not None and self.replay_data is None:
            raise ValueError("replay needs `replay_data`, the file that holds the general data")
        if self.replay_data is not None and self.replay is None:
            raise ValueError("replay_data is not used without `replay`, the shares of it to mix in, say [0.0, 0.2]")
        if self.replay_data is not None and self.replay_data.own_answers is not None:
            raise ValueError("replay_data.own_answers: general data are mixed in as they are; leave it out")
        return self
