"""`python`: a metric of your own."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import numbers
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

from tunegate.cases import Case
from tunegate.checks import Sample
from tunegate.exceptions import nearest
from tunegate.outcomes import Finding
from tunegate_suites.base import CaseCheck, NumericCheck
from tunegate_suites.foreign import output_aside


class Python(CaseCheck, NumericCheck):
    """A function of your own: `def metric(case, response_text)` returns a bool, a number or a string.

    A bool is the verdict, a number is a score that needs `min` or `max`, a string is a label that needs `accept`.
    Whatever else comes, or an exception, makes the case INVALID.
    """

    shorthand: ClassVar[str | None] = "function"
    example: ClassVar[str] = 'python: {function: "metrics:fluency", min: 0.5}'
    passes_when: ClassVar[str] = "true; or `min` <= number <= `max`; or the label is in `accept`"
    bounds_required: ClassVar[bool] = False

    function: str
    """module:function; the module is looked for beside the suite file, then on Python's path"""
    accept: list[str] | None = None
    """labels that pass"""

    def prepare(self) -> None:
        _ = self._metric

    @cached_property
    def _metric(self) -> Callable[[Case, str], object]:
        module_name, _, attribute = self.function.partition(":")
        if not module_name or not attribute:
            raise self.config_error("function", f"expected module:function, got {self.function!r}")
        try:
            with output_aside():
                module = _import(module_name, self._context.base_dir)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # whatever the user's module raises while it is imported, pytest.skip() included
            raise self.config_error(
                "function",
                f"importing {module_name!r} failed: {type(error).__name__}: {error} "
                f"(looked in {self._context.base_dir} and on Python's path)",
            ) from error
        metric = getattr(module, attribute, None)
        if not callable(metric):
            functions = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
            raise self.config_error(
                "function", f"{module_name!r} has no function {attribute!r}{nearest(attribute, functions)}"
            )
        return metric

    def further_facts(self) -> dict[str, Any]:
        source = getattr(sys.modules.get(self._metric.__module__), "__file__", None)
        return {"source_sha256": hashlib.sha256(Path(source).read_bytes()).hexdigest()} if source else {}

    def judge_one(self, sample: Sample) -> Finding:
        with output_aside():
            value = self._metric(sample.case, sample.response.text)
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
        return self.invalid(f"returned {type(value).__name__}, expected a bool, a number or a string")


def _import(name: str, base_dir: Path) -> ModuleType:
    """Import a module that lies beside the suite, else one on the path.

    Modules beside suites get names of their own, for two suites may each have a `metrics.py`, and a new one when they
    change.
    """
    file = base_dir.joinpath(*name.split(".")).with_suffix(".py").resolve()
    if not file.is_file():
        return importlib.import_module(name)
    unique = f"_tunegate_metric_{hashlib.sha256(bytes(file) + file.read_bytes()).hexdigest()[:12]}"
    if unique in sys.modules:
        return sys.modules[unique]
    spec = importlib.util.spec_from_file_location(unique, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is not a Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[unique] = module
    try:
        with _first_on_path(base_dir.resolve()):
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[unique]
        raise
    return module


@contextmanager
def _first_on_path(folder: Path) -> Iterator[None]:
    """Let a module import its neighbours, without leaving the folder on the path for everybody else."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        if str(folder) in sys.path:
            sys.path.remove(str(folder))
