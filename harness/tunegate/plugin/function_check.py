"""The check made from a `@tunegate.gate` function."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tunegate.cases.case import Case, Prompt
from tunegate.checks.check import Need, Sample
from tunegate.checks.outcome import Finding, Verdict
from tunegate.checks.sources import dotted_name, local_sources, sources_sha256
from tunegate.exceptions import ConfigError
from tunegate.reading.files import one_line

MAX_REASON = 300
TIMED_OUT = ("Timeout (>", "Timeout >")
"""The beginning of pytest-timeout's failure message; a function that timed out did not judge."""


@dataclass(frozen=True)
class FunctionCheck:
    """Calls a function: None or True passes, False or an AssertionError is a miss, anything else is INVALID."""

    name: str
    function: Callable[[Case, str], object]
    fingerprint: str
    version: str = "1"
    batch_size: int = 1
    needs_choices: bool = False
    needs: tuple[Need, ...] = ()
    can_fail: bool = True
    max_errors: dict[str, int] = field(default_factory=dict[str, int])

    @classmethod
    def of(cls, function: Callable[..., object], name: str, path: Path) -> FunctionCheck:
        """The check of a function; identified by the hash of its file and of the local modules that it imports."""
        if inspect.iscoroutinefunction(function):
            raise ConfigError(f"{path}: {name}: a gate function cannot be async; use a plain function")
        try:
            inspect.signature(function).bind(None, None)
        except TypeError as error:
            raise ConfigError(
                f"{path}: {name}: expected a function of (case, response), without fixtures: {error}"
            ) from error
        module, folder = dotted_name(path)
        return cls(name, function, f"{name}@{sources_sha256(local_sources(module, path, folder))}")

    def variants(self, case: Case) -> tuple[Prompt, ...]:
        return ()

    def judge(self, samples: Sequence[Sample]) -> Sequence[Finding]:
        return [self._judge(sample) for sample in samples]

    def _judge(self, sample: Sample) -> Finding:
        try:
            answer = self.function(sample.case, sample.response.text)
        except (pytest.skip.Exception, pytest.xfail.Exception) as error:
            # Neither is an Exception: it would skip the gate, and a skipped gate ends with exit code 0.
            raise RuntimeError(f"a gate function cannot skip a case: {error}") from error
        except (AssertionError, pytest.fail.Exception) as error:
            if str(error).startswith(TIMED_OUT):
                raise RuntimeError(one_line(error)) from error
            return Finding(self.name, Verdict.FAIL, False, _reason(error), detail=str(error))
        if answer is None or (_is_bool(answer) and answer):
            return Finding(self.name, Verdict.PASS, True, "no objection")
        if _is_bool(answer):
            return Finding(self.name, Verdict.FAIL, False, "returned False")
        raise TypeError(f"expected None, True or False from the function, got {answer!r:.80}")


def _is_bool(answer: object) -> bool:
    return isinstance(answer, bool) or type(answer).__name__ in ("bool_", "bool")  # numpy's bool too


def _reason(error: BaseException) -> str:
    text = one_line(error) or "assertion failed"
    return text if len(text) <= MAX_REASON else f"{text[: MAX_REASON - 1]}…"
