"""Tunegate: acceptance sampling for fine-tuned language models.

A gate draws cases from the bank of a suite, asks the model, judges the answers, and decides by the terms that were
registered before the first answer. What a plan lets through, retries included, is arithmetic. A pipeline trains a stage
until its gates pass, without unlearning what the model could do. Everything is kept in an append-only record, and only
what passed on that evidence is promoted.

Each folder is a room, and imports the rooms below it only. From the ground up: `stats` (numbers), `reading` (users'
files), `text` (words); `cases`; `models` (who answers); `checks` (how an answer is judged); `verdicts` (what outcomes
add up to), `data` (training data); `record` (what happened), `suites`; `gates` (draw, ask, judge, decide), `leaks`
(tests that training gives away); `promotion`, `choosing` (which model, which way); `pipeline` (what a pipeline file
says); `training` (a run being carried out); `commands`; and the two doors, `cli` and `plugin` (pytest).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tunegate.plugin.gate_function import gate as gate

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """`tunegate.gate`, imported when it is first asked for: `import tunegate` stays free of charge."""
    if name == "gate":
        from tunegate.plugin.gate_function import gate

        return gate
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
