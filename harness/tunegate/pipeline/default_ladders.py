"""`retrain: auto`: the values to try for each setting that the file gives no list for.

Pure functions. Every rung changes only what the stage's method has: rows and general rows are part of its data, epochs
and learning rate are arguments of TRL's config classes. A trainer of the user's own has only the arguments that its
stage sets.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from tunegate.data.spec import DataSpec
from tunegate.pipeline.retrain_spec import RetrainSpec
from tunegate.pipeline.stage_spec import StageSpec

FILLED = ("rows", "epochs", "learning_rate", "replay")
"""The settings that have default values to try, if the stage's method has them."""
GENERAL_ROWS = "package:tunegate_suites/data/general/training.jsonl"
"""General rows that ship for training: prompt and completion, and no case of a suite that ships."""
GENERAL_TEXT = 105_000
"""Characters of these rows as they are trained on."""
SHARES = (0.10, 0.25)
"""How much of the training text general rows are, in the order to try."""
SMALLEST_SHARE = 0.02
"""Less general text than this prevents nothing."""
FEWEST_ROWS = 200
"""Fewer rows than this are all used in the first attempt: half of them would teach too little."""
EPOCHS = 3.0
"""The number of epochs of TRL's config classes."""
LEARNING_RATES: Mapping[str, float] = {
    **dict.fromkeys(("cpt", "sft", "explain"), 2e-5),
    **dict.fromkeys(("dpo", "kto", "orpo"), 1e-6),
    "reward": 1e-4,
}
"""The learning rates of TRL's config classes, by method; a test compares them with the installed TRL."""
GENERAL_FORMATS: Mapping[str, Mapping[str, str]] = {"sft": {}, "cpt": {"text": "{prompt}\n{completion}"}}
"""The formats in which general rows can be written, with the templates for them. For the others (pairs, labels,
explanations) none ship."""


def completed(stage: StageSpec, rows: int, text: int, *, retains: bool) -> tuple[StageSpec, tuple[str, ...]]:
    """A stage with a list for each setting that has none, if its `retrain` asks for that, and the names of these.

    `rows` and `text` are the number and the characters of its rows. `retains`: whether a draw of the stage can show
    that an ability was forgotten; otherwise nothing would ever mix in general rows.
    """
    spec = stage.retrain
    if not spec.fills:
        return stage, ()
    values = {
        "rows": _rows(rows),
        "epochs": _epochs(stage),
        "learning_rate": _learning_rates(stage),
        "replay": _replay(stage, text) if retains else None,
    }
    new: dict[str, Any] = {name: rungs for name, rungs in values.items() if rungs and not spec.ladder(name)}
    data = {}
    if "replay" in new and spec.replay_data is None:
        data["replay_data"] = DataSpec.model_validate({"path": GENERAL_ROWS, **GENERAL_FORMATS[stage.learns_as]})
    redraw = {} if "on_noise" in spec.model_fields_set else {"on_noise": "redraw"}
    filled = spec.model_copy(update={**new, **data, **redraw, "auto": True})
    return stage.model_copy(update={"retrain": filled}), tuple(new)


def uses_shipped_rows(spec: RetrainSpec) -> bool:
    """Whether the general rows of a stage are those that ship: rows that its user did not choose."""
    return spec.replay_data is not None and spec.replay_data.path == GENERAL_ROWS


def _rows(rows: int) -> list[int | str] | None:
    return [math.ceil(rows / 2), "all"] if rows >= FEWEST_ROWS else None


def _epochs(stage: StageSpec) -> list[float] | None:
    """Twice the epochs; none where a number of steps ends the training."""
    if "max_steps" in stage.args:
        return None
    first = stage.args.get("num_train_epochs", EPOCHS if stage.method in LEARNING_RATES else None)
    return [first, 2 * first] if _is_positive(first) else None


def _learning_rates(stage: StageSpec) -> list[float] | None:
    """Half the learning rate."""
    first = stage.args.get("learning_rate", LEARNING_RATES.get(stage.method))
    return [first, first / 2] if _is_positive(first) else None


def _is_positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def _replay(stage: StageSpec, text: int) -> list[float] | None:
    """The shares of general text; of the rows that ship, only those that there is enough text for."""
    if stage.retrain.replay_data is not None:
        return [0.0, *SHARES]
    if stage.learns_as not in GENERAL_FORMATS or stage.data.own_answers is not None:
        return None
    most = GENERAL_TEXT / (GENERAL_TEXT + text)
    shares = [share for share in SHARES if share <= most] or [math.floor(100 * most) / 100]
    return [0.0, *shares] if shares[0] >= SMALLEST_SHARE else None
