"""What helps against each cause of a miss: the settings that the next training may change, the likeliest first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tunegate.pipeline.ladders import Direction, first_settings, next_rung
from tunegate.pipeline.retrain_spec import RetrainSpec


@dataclass(frozen=True, slots=True)
class Remedy:
    """A setting to change, and which rung of its ladder to take."""

    setting: str
    direction: Direction = "next"


_ROWS, _EPOCHS, _RATE, _LENGTH = (Remedy(name) for name in ("rows", "epochs", "learning_rate", "max_length"))
_LOWER, _HIGHER = Remedy("learning_rate", "lower"), Remedy("learning_rate", "higher")
_MORE = (_ROWS, _EPOCHS, _RATE)
"""What helps against most causes: more data, more training, another learning rate."""

TOO_FEW = "too few misses"
"""The cause of a training without enough of the model's own misses to learn from."""

LIMITS = "limits"
"""The cause of a miss that no training mends: serving the model costs too much."""

REMEDIES: Mapping[str, tuple[Remedy, ...]] = {
    "diverged": (_LOWER,),
    "out of memory": (),
    TOO_FEW: (_ROWS,),
    "the training failed": (_RATE,),
    LIMITS: (),
    "forgetting": (Remedy("replay"), _LOWER),
    "learning rate too high": (_LOWER,),
    "learning rate too low": (_HIGHER, _EPOCHS, _ROWS),
    "never stops": (_LENGTH, _EPOCHS, _ROWS),
    "truncation": (_LENGTH, *_MORE),
    "repetition": (_LOWER, _ROWS, _EPOCHS),
    "format": (_EPOCHS, _ROWS, _RATE),
    "length": (_ROWS, _EPOCHS),
    "label noise": (Remedy("conflicts"), _ROWS),
    "class imbalance": (Remedy("repair"), *_MORE),
    "weak kinds": (Remedy("repair"), *_MORE),
    "overfit": (_ROWS, _RATE),
    "underfit": _MORE,
    "the gate was missed": _MORE,
    "near miss": _MORE,
}
"""By the name of the cause; `causes.py` finds them in another order."""


def ways(spec: RetrainSpec) -> dict[str, tuple[str, ...]]:
    """For each cause, the settings that a retraining after the first attempt has a rung for, in their order."""
    first = first_settings(spec)
    return {
        cause: tuple(one.setting for one in remedies if next_rung(one.setting, first, spec, one.direction) is not None)
        for cause, remedies in REMEDIES.items()
    }
