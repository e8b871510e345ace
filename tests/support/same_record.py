"""Two records compared but for what may differ: ids, times, places, and who answered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

DIFFERS = {"id", "time", "seconds", "executor", "previous_sha256", "line_sha256"}


def comparable(folder: Path) -> list[Any]:
    """The events of a record without what differs between two runs of the same command."""
    lines = (folder / "events.jsonl").read_text(encoding="utf-8").splitlines()
    return [{name: value for name, value in json.loads(line).items() if name not in DIFFERS} for line in lines]
