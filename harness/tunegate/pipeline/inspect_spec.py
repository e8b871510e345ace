"""The shape of a pipeline's `inspect`: which missed cases are explained, and how."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tunegate.attribution.explanation import QUICK, Method
from tunegate.optional import require
from tunegate.reading.spec import Spec


class InspectSpec(Spec):
    """Explain missed cases from the model's weights, after the last gate of each attempt. Never changes a verdict."""

    cases: Annotated[int, Field(ge=1, le=100)] = 10
    """How many missed cases of an attempt that have a prompt; those that the base model answered right come first."""
    methods: Annotated[list[Method], Field(min_length=1)] = list(QUICK)
    """The methods of `tunegate explain-case`. The default ones take about 80 passes for a case; all take about 400."""


def check_inspect(spec: InspectSpec | None) -> None:
    """Raise MissingExtra, before any training, if missed cases could not be explained."""
    if spec is not None:
        require("explaining missed cases", "attribution", "torch", "captum", "PIL")
