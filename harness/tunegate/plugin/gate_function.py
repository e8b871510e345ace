"""`@tunegate.gate("suite.yaml")`: turns a function that judges answers into a gate that pytest collects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType
from typing import Any, TypeVar

MARK = "__tunegate_gate__"
FunctionT = TypeVar("FunctionT", bound=Callable[..., object])


@dataclass(frozen=True, slots=True)
class GateMark:
    """The arguments of the decorator. They are checked only when pytest collects the function, so that a mistake is one
    line of pytest's output and not a traceback."""

    suite: object
    draw: int | None = None
    accept: int | None = None
    seed: int | None = None


def gate(
    suite: str | Path, *, draw: int | None = None, accept: int | None = None, seed: int | None = None
) -> Callable[[FunctionT], FunctionT]:
    """Make a function `(case, response)` a gate on a suite: the function is an additional check of the suite.

    `case` is the `Case`, `response` the text of the answer. Returning None or True passes the case; False or an
    AssertionError is a miss; any other return value or exception means that the case was not judged (INVALID).
    `suite` is a path relative to the function's file, or `builtin:NAME`. `draw` and `accept` replace those of the
    suite's single plan; `draw` alone keeps the share that must pass. `seed` replaces `--tunegate-seed`. The decorator
    returns the function unchanged.

    Example:
        >>> import tunegate
        >>> @tunegate.gate("facts.yaml", draw=3)
        ... def test_is_short(case, response):
        ...     assert len(response) < 40
        >>> test_is_short(None, "Paris")
    """
    if callable(suite):  # `@tunegate.gate` without a suite must not be ignored silently
        setattr(suite, MARK, GateMark(None))
        return suite

    def mark(function: FunctionT) -> FunctionT:
        setattr(function, MARK, GateMark(suite, draw, accept, seed))
        return function

    return mark


def mark_of(candidate: Any) -> GateMark | None:
    """The mark of a gate function; None for any other object of a module, without running its code."""
    found = vars(candidate).get(MARK) if isinstance(candidate, FunctionType) else None
    return found if isinstance(found, GateMark) else None
