"""A real run to export: a tiny model, trained for one step, whose gate passes any short answer."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.bank import write_jsonl
from tests.support.tiny_model import make_tiny_model
from tunegate.cli import main

FACTS = 80
"""The cases of a comparison: the fewest that show a loss of at most 5 points if nothing differs."""
SHORT = {"regex": {"pattern": "(?s)^.{0,200}$"}}
"""A check that four tokens pass whatever they are."""


def trained_run(folder: Path) -> Path:
    """A pipeline that trains a tiny model for one step; its gate asks only for an answer that is not long."""
    make_tiny_model(folder / "model")
    write_jsonl(folder / "train.jsonl", [{"prompt": f"Say {n}.", "completion": str(n)} for n in range(8)])
    write_jsonl(folder / "cases.jsonl", [{"id": str(n), "question": f"Number {n}?"} for n in range(200)])
    suite = {
        "cases": {"path": "cases.jsonl", "prompt": "{question}"},
        "checks": [SHORT],
        "plan": {"draw": FACTS, "accept": 70, "confirm": "never"},
        "sealed": 0,
        "generate": {"max_new_tokens": 4},
    }
    stage = {"name": "sft", "method": "sft", "data": "train.jsonl", "args": {"max_steps": 1}, "gates": ["short"]}
    pipeline = {"name": "tiny", "model": "model", "suites": {"short": suite}, "stages": [stage]}
    (folder / "tunegate.yaml").write_text(json.dumps(pipeline))
    assert main(["run", str(folder / "tunegate.yaml"), "--run", str(folder / "run")]) == 0
    return folder / "run"
