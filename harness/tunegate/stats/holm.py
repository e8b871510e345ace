"""p-values of several comparisons at once, adjusted for their number."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)

SHOWN_P_VALUE = 0.05
"""A difference with an adjusted p-value below this is called shown."""


def holm(p_values: Mapping[Key, float]) -> dict[Key, float]:
    """Holm's step-down adjustment: with a threshold of 0.05, the chance of any false finding is below 0.05.

    The comparisons may depend on each other. Source: S. Holm, Scandinavian Journal of Statistics 6 (1979) 65-70.
    """
    adjusted: dict[Key, float] = {}
    highest = 0.0
    for rank, key in enumerate(sorted(p_values, key=lambda key: p_values[key])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[key]))
        adjusted[key] = highest
    return {key: adjusted[key] for key in p_values}
