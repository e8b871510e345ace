"""Two records compared but for what may differ: ids, times, places, and who answered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

DIFFERS = {"id", "time", "seconds", "executor", "previous_sha256", "line_sha256"}
MEASURED = {"train_runtime", "train_samples_per_second", "train_steps_per_second"}
"""What TRL measures of a training, in its log."""


def comparable(folder: Path) -> list[Any]:
    """The events of a record without what differs between two runs of the same command."""
    lines = (folder / "events.jsonl").read_text(encoding="utf-8").splitlines()
    return [
        {name: _unmeasured(value) for name, value in json.loads(line).items() if name not in DIFFERS} for line in lines
    ]


def _unmeasured(value: Any) -> Any:
    """A value of JSON without the figures in `MEASURED`, however deep they are."""
    if isinstance(value, dict):
        return {name: _unmeasured(inner) for name, inner in value.items() if name not in MEASURED}
    return [_unmeasured(inner) for inner in value] if isinstance(value, list) else value
