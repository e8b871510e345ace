"""The settings of a sweep: each value of one setting of sampling with each value of the others. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import prod
from typing import Any

from tunegate.models.model import GenerationSettings
from tunegate.models.sampling_spec import NO_EFFECT, SAMPLING_ONLY

MOST = 24
"""A sweep has at most this number of settings: each one is asked a whole draw."""
SWEPT = ("temperature", "top_p", "top_k", "min_p", "typical_p", "repetition_penalty")
OF_SAMPLING = (*SWEPT, "seed")

Sweep = Mapping[str, Sequence[float]]
"""The values to try, by the name of their setting."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of a sweep. `swept` are its values by name, without those that have no effect at its temperature.

    `changes` is what differs from the suite's own settings.
    """

    swept: Mapping[str, float]
    settings: GenerationSettings
    changes: Mapping[str, Any]

    @property
    def label(self) -> str:
        """`temperature 0.8, top_p 0.9`"""
        return ", ".join(f"{name} {in_short(value)}" for name, value in self.swept.items())

    @property
    def short(self) -> str:
        """The values alone, for a chart: `0.8, 0.9`."""
        return ", ".join(map(in_short, self.swept.values()))

    @property
    def as_generate(self) -> str:
        """The settings of sampling as a suite file has them: `generate: {temperature: 0.8, top_p: 0.9}`."""
        default = GenerationSettings()
        values = {name: getattr(self.settings, name) for name in OF_SAMPLING}
        told = [f"{n}: {in_short(v)}" for n, v in values.items() if v != getattr(default, n) or n == "temperature"]
        return f"generate: {{{', '.join(told)}}}"


def in_short(value: float) -> str:
    """`0.8`; `1` for 1.0."""
    return str(value).removesuffix(".0")


def settings_of(sweep: Sweep, own: GenerationSettings) -> tuple[Setting, ...]:
    """The settings to try, each once, in the order in which their values are written; `own` are the suite's.

    At temperature 0, limits on what may be drawn have no effect, so they make no further settings there. Raises
    ValueError, with the name of the setting at fault, for values that do not make a sweep.

    >>> [one.label for one in settings_of({"temperature": [0, 0.8], "top_p": [0.5, 1]}, GenerationSettings())]
    ['temperature 0', 'temperature 0.8, top_p 0.5', 'temperature 0.8, top_p 1']
    """
    for name, values in sweep.items():
        if len(set(values)) < len(values):
            raise ValueError(f"{name}: expected different values, got {', '.join(map(in_short, values))}")
    if (number := prod(map(len, sweep.values()))) > MOST**2:
        raise ValueError(_not_so_many(number))
    found: dict[str, Setting] = {}
    for values in product(*sweep.values()):
        one = _setting(dict(zip(sweep, values, strict=True)), own)
        found.setdefault(one.label, one)
    for name in sweep:
        if not any(name in one.swept for one in found.values()):
            raise ValueError(f"{name}: {NO_EFFECT}")
    if own.samples > 1 and (greedy := [one for one in found.values() if not one.settings.temperature]):
        raise ValueError(
            f"{greedy[0].label}: {own.samples} samples at temperature 0 are identical; leave it out, or remove "
            "`samples` from `generate`"
        )
    if not 2 <= len(found) <= MOST:
        raise ValueError(_not_so_many(len(found)))
    return tuple(found.values())


def _not_so_many(number: int) -> str:
    return f"expected 2 to {MOST} settings, got {number}; each setting is asked a whole draw"


def _setting(values: Mapping[str, float], own: GenerationSettings) -> Setting:
    settings = replace(own, **dict(values))
    if not settings.temperature:
        default = GenerationSettings()
        settings = replace(settings, **{name: getattr(default, name) for name in SAMPLING_ONLY})
        values = {name: value for name, value in values.items() if name not in SAMPLING_ONLY}
    changed = {name: getattr(settings, name) for name in OF_SAMPLING}
    return Setting(values, settings, {name: value for name, value in changed.items() if value != getattr(own, name)})
