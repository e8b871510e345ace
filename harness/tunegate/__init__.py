"""Tunegate: acceptance sampling for fine-tuned language models.

A gate draws cases from the bank of a suite (`suites`, `banks`, `cases`), asks the model (`models`, `runner`), judges
the answers (`checks`, `outcomes`), and decides by the terms that were registered before the first answer (`terms`,
`decision`, `sampling`). What a plan lets through, retries included, is arithmetic (`plans`). A pipeline (`pipeline`,
`run`) trains a stage until its gates pass, without unlearning what the model could do (`comparison`). Everything is
kept in an append-only record (`event_log`, `record`), and only what passed on that evidence (`evidence`) is promoted
(`registry`). `@tunegate.gate` makes a function a gate that pytest collects (`pytest_plugin`).

These are files of this folder. What varies, or is a story of its own, is a folder beside them: `backends` (what
answers), `stages` (train, gate, diagnose, retrain), `data` (training data before any training), `leaks` (tests that
training gives away), `judges` (who may decide), `plugin` (gates in pytest) and `commands` (the command line, `cli`).
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
