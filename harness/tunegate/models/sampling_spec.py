"""The settings of sampling that suites, `own_answers` and `tunegate generate` share; the names are transformers'."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from tunegate.models.model import GenerationSettings
from tunegate.reading.spec import Spec

SAMPLING_ONLY = ("seed", "top_p", "top_k", "min_p", "typical_p")
"""The settings without an effect on greedy answers."""

Temperature = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(gt=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Penalty = Annotated[float, Field(gt=0)]


class SamplingSpec(Spec):
    """How the next token is chosen. Of several limits, a token must be within all of them."""

    top_p: Share | None = None
    """Draw from the most likely tokens that together reach this probability (nucleus sampling)."""
    top_k: Count | None = None
    """Draw from this number of most likely tokens."""
    min_p: Share | None = None
    """Draw from the tokens with at least this share of the most likely token's probability."""
    typical_p: Share | None = None
    """Draw from the tokens with the most typical information that together reach this probability."""
    repetition_penalty: Penalty | None = None
    """Above 1: tokens that the prompt or the answer already has become less likely, at temperature 0 too."""


class SweepSpec(Spec):
    """Settings of sampling that `tunegate sweep` tries: each value of one with each value of the others."""

    temperature: Annotated[list[Temperature], Field(min_length=1)] | None = None
    """Values of `temperature`."""
    top_p: Annotated[list[Share], Field(min_length=1)] | None = None
    """Values of `top_p`."""
    top_k: Annotated[list[Count], Field(min_length=1)] | None = None
    """Values of `top_k`."""
    min_p: Annotated[list[Share], Field(min_length=1)] | None = None
    """Values of `min_p`."""
    typical_p: Annotated[list[Share], Field(min_length=1)] | None = None
    """Values of `typical_p`."""
    repetition_penalty: Annotated[list[Penalty], Field(min_length=1)] | None = None
    """Values of `repetition_penalty`."""

    @property
    def values(self) -> dict[str, tuple[float, ...]]:
        """The values to try, by the name of their setting, in the order in which names are listed here."""
        given = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: tuple(values) for name, values in given.items() if values is not None}


def without_effect(settings: GenerationSettings) -> str | None:
    """The first setting that has no effect because the temperature is 0; None if there is none."""
    if settings.temperature:
        return None
    return next((name for name in SAMPLING_ONLY if getattr(settings, name)), None)


NO_EFFECT = "has no effect at temperature 0; set `temperature` too, or leave it out"


def given(spec: SamplingSpec) -> dict[str, Any]:
    """The settings of sampling that a file sets, by name."""
    names = (*SamplingSpec.model_fields, "temperature", "seed")
    return {name: value for name in names if (value := getattr(spec, name, None)) is not None}
