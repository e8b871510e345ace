"""Tunegate: acceptance sampling for fine-tuned language models.

A gate draws cases from a suite (`suites`, `cases`), asks the model (`models`, `runner`), judges the answers (`checks`,
`outcomes`), and decides by its sampling plan (`sampling`, `decision`). A pipeline (`pipeline`, `retrain`) trains a
stage until its gates pass; everything is kept in an append-only record (`record`), and only what passed is promoted
(`registry`). `@tunegate.gate` makes a function a gate that pytest collects (`pytest_plugin`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tunegate.gate_function import gate as gate

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """`tunegate.gate`, imported when it is first asked for: `import tunegate` stays free of charge."""
    if name == "gate":
        from tunegate.gate_function import gate

        return gate
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
