"""`python`: a metric of your own."""

from __future__ import annotations

import numbers
import traceback
from collections.abc import Callable
from functools import cached_property
from typing import Any, ClassVar

from tunegate.cases.case import Case
from tunegate.checks.check import Sample
from tunegate.checks.outcome import Finding
from tunegate.exceptions import ConfigError
from tunegate.reading.files import one_line
from tunegate.trust.wants import Wants
from tunegate_suites.base import CaseCheck, NumericCheck
from tunegate_suites.foreign import output_aside
from tunegate_suites.user_module import UserModule, check_function, code_of, load_function


class Python(CaseCheck, NumericCheck):
    """A function of your own: `def metric(case, response_text)` returns a bool, a number or a string.

    A bool is the verdict, a number is a score that needs `min` or `max`, a string is a label that needs `accept`. A
    failed assertion is a miss, as in pytest. Any other value or exception makes the case INVALID. The suite's hash
    covers the module and your own modules that it imports, but not the data files that they read.
    """

    shorthand: ClassVar[str | None] = "function"
    example: ClassVar[str] = 'python: {function: "metrics:fluency", min: 0.5}'
    passes_when: ClassVar[str] = "true; or `min` <= number <= `max`; or the label is in `accept`"
    bounds_required: ClassVar[bool] = False
    revision: ClassVar[str] = "2"

    function: str
    """module:function; the module is searched for next to the suite file, then on Python's path"""
    accept: list[str] | None = None
    """labels that pass"""

    @property
    def wants(self) -> Wants:
        return Wants(runs=code_of(self.function, self._context.base_dir, f"{self.name}.function"))

    def prepare(self) -> None:
        try:
            if self.is_looked_at:
                check_function(self.function, self._context.base_dir)
            else:
                _ = self._loaded
        except ConfigError as error:
            raise self.config_error("function", str(error)) from error

    @cached_property
    def _loaded(self) -> tuple[Callable[[Case, str], object], UserModule]:
        return load_function(self.function, self._context.base_dir)

    def further_facts(self) -> dict[str, Any]:
        if self.is_looked_at:
            return {"sources_sha256": check_function(self.function, self._context.base_dir).sha256}
        return {"sources_sha256": self._loaded[1].sha256}

    def judge_one(self, sample: Sample) -> Finding:
        metric, module = self._loaded
        try:
            with output_aside(), module.in_place():
                value = metric(sample.case, sample.response.text)
        except AssertionError as error:
            return self.passed(False, False, one_line(error) or "assertion failed", detail=traceback.format_exc())
        if isinstance(value, bool) or type(value).__name__ in ("bool_", "bool"):  # numpy's bool too
            return self.passed(bool(value), bool(value), f"returned {bool(value)}")
        if isinstance(value, numbers.Real):
            if self.cutoff is None:
                return self.invalid(f"returned the number {value}, but the check has neither 'min' nor 'max'")
            return self.scored(float(value))
        if isinstance(value, str):
            if self.accept is None:
                return self.invalid(f"returned the label {value!r}, but the check has no 'accept'")
            return self.passed(
                value in self.accept, value, f"{value!r} {'is' if value in self.accept else 'is not'} accepted"
            )
        if value is None:
            return self.invalid("the function returned nothing; return True, False, a number or a string")
        return self.invalid(f"the function must return a bool, a number or a string, got {type(value).__name__}")
