"""A suite of cases on disk with stored answers, and files of JSON lines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Bank:
    """A folder that holds `suite.yaml` and its `cases.jsonl`; the right answer to every case is its reference."""

    folder: Path
    ids: Sequence[str]

    @property
    def suite(self) -> str:
        return str(self.folder / "suite.yaml")

    def answers(self, right: int, name: str = "answers.jsonl") -> str:
        """Write a response file of which the first `right` answers are right; returns its path."""
        rows = [
            {"id": case_id, "response": f"answer {case_id}" if n < right else "?"} for n, case_id in enumerate(self.ids)
        ]
        return str(write_jsonl(self.folder / name, rows))


def write_jsonl(path: Path, rows: Sequence[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path
