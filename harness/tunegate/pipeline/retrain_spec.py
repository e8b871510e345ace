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
"""The ladders whose values must increase."""


SEARCHED = (*RISING, "learning_rate", "conflicts")


def auto_only(value: Any) -> Any:
    """The word `auto` in place of a mapping is its `auto: true`."""
    if isinstance(value, str) and value != "auto":
        raise ValueError(f"expected auto, or a mapping such as {{max_attempts: 3}}, got {value!r}")
    return {"auto": True} if value == "auto" else value


class RetrainSpec(Spec):
    """How often a stage may be retrained, and what a retraining may change: ladders, on which the diagnosis chooses.

    The first attempt uses the first rung of each ladder. A missing ladder has one rung: the value in `args`; with
    `auto`, it has default rungs.
    """

    auto: bool | None = None
    """Whether settings without a list have a default list, and `on_noise` is `redraw`; `retrain: auto` is short for it.
    Default: true for `max_attempts` of 2 or more without any list, otherwise false."""
    max_attempts: Annotated[int, Field(ge=1, le=100)] = 3
    """How often the stage may be trained, including the first attempt."""
    rows: Annotated[list[Rung], Field(min_length=1)] | None = None
    """Numbers of training rows, rising; the last may be `all`. A number larger than the rows that remain without leaks
    and without those that `prepare` leaves out means all remaining rows."""
    epochs: Annotated[list[Fraction], Field(min_length=1)] | None = None
    """Numbers of epochs, in rising order."""
    learning_rate: Annotated[list[Fraction], Field(min_length=1)] | None = None
    """Learning rates, in the order to try them."""
    max_length: Annotated[list[Count], Field(min_length=1)] | None = None
    """Maximum tokens of a training row, in rising order; for data with long rows."""
    repair: Annotated[list[Share], Field(min_length=1)] | None = None
    """Shares of the training text for rows of the kinds that were missed, in rising order; the first must be 0, because
    nothing was missed yet."""
    replay: Annotated[list[Share], Field(min_length=1)] | None = None
    """Shares of the training text for general data from `replay_data`, in rising order; prevents forgetting."""
    replay_data: Annotated[DataSpec, BeforeValidator(path_only)] | None = None
    """The general data, in the format of the method, such as `package:tunegate_suites/data/general/training.jsonl`."""
    conflicts: Annotated[list[Literal["keep", "drop"]], Field(min_length=1)] | None = None
    """`[keep, drop]`: leave out training rows that answer the same question differently, if they are the cause."""
    on_noise: Literal["retrain", "redraw"] = "retrain"
    """After a miss that a good model meets as often. `retrain`: train again, as after any miss. `redraw`: ask the same
    weights fresh cases first, once; this counts as an attempt, so the risks stay as they are. With `auto`, `redraw` is
    the default."""
    search: Literal["ladders", "optuna"] = "ladders"
    """`ladders`: the diagnosis moves one ladder by one rung. `optuna`: Optuna's TPE chooses among all rungs of all
    ladders; its objective is the result of the gates so far."""

    @property
    def fills(self) -> bool:
        """Whether settings without a list get a default list."""
        if self.auto is not None:
            return self.auto
        asked = "max_attempts" in self.model_fields_set and self.max_attempts > 1
        return asked and not any(self.ladder(name) for name in SEARCHED)

    def ladder(self, setting: str) -> list[Any]:
        """The rungs of a setting; empty if it has no ladder."""
        return getattr(self, setting) or []

    def within(self, usable: int) -> RetrainSpec:
        """The same with at most `usable` rows per rung: `all` and larger numbers become `usable`, once."""
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
                raise ValueError(f"{name}: expected rising values, got {ladder}")
        for name in ("learning_rate", "conflicts"):
            ladder = self.ladder(name)
            if len(set(ladder)) < len(ladder):
                noun = "a rate" if name == "learning_rate" else "a rung"
                raise ValueError(f"{name}: expected different values, got {noun} twice: {ladder}")
        return self

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.repair is not None and self.repair[0] != 0:
            raise ValueError(
                f"repair: expected 0 first, because nothing is missed before the first gate, got {self.repair}"
            )
        if self.search == "optuna" and not self.auto and all(len(getattr(self, name) or ()) < 2 for name in SEARCHED):
            raise ValueError(
                f"search: optuna has nothing to choose from; give two or more values for one of {', '.join(SEARCHED)}"
            )
        if self.replay is not None and self.replay_data is None:
            raise ValueError("replay needs `replay_data`, the file with the general data")
        if self.replay_data is not None and self.replay is None and not self.auto:
            raise ValueError("replay_data has no effect without `replay`; add, for example, replay: [0.0, 0.2]")
        if self.replay_data is not None and self.replay_data.own_answers is not None:
            raise ValueError("replay_data.own_answers: general data are used unchanged; leave it out")
        return self
