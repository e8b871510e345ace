"""The shape of what a retraining may change."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Self

from pydantic import Field, model_validator

from tunegate.spec import Fraction, Spec


class RetrainSpec(Spec):
    """How often a stage may be retrained, and what a retraining may change: ladders, climbed as the diagnosis says.

    The first attempt uses the first rung of each ladder. A ladder that is not given has one rung: what `args` says.
    """

    max_attempts: Annotated[int, Field(ge=1, le=100)] = 3
    rows: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)] | None = None
    """Numbers of training rows, rising."""
    epochs: Annotated[list[Fraction], Field(min_length=1)] | None = None
    """Numbers of epochs, rising."""
    learning_rate: Annotated[list[Fraction], Field(min_length=1)] | None = None
    """Learning rates, in the order to try them."""

    @model_validator(mode="after")
    def _rising(self) -> Self:
        for name, ladder in (("rows", self.rows), ("epochs", self.epochs)):
            if ladder is not None and any(low >= high for low, high in pairwise(ladder)):
                raise ValueError(f"{name} must rise from rung to rung, got {ladder}")
        if self.learning_rate is not None and len(set(self.learning_rate)) < len(self.learning_rate):
            raise ValueError(
                f"learning_rate holds a rate twice, got {self.learning_rate}: that would be a second throw"
            )
        return self
