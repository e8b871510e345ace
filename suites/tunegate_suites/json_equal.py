"""`json_equal`: the answer is the same JSON value as the reference, ignoring the order of keys."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, ClassVar, cast

from tunegate.cases.case import Case
from tunegate.checks.check import Need, Sample
from tunegate.checks.outcome import Finding
from tunegate_suites.base import CaseCheck
from tunegate_suites.json_check import FENCED, parse
from tunegate_suites.text import NO_REFERENCE, short


class JsonEqual(CaseCheck):
    """The answer is JSON with the structure and values of a reference.

    The order of keys does not count, the order of items does; numbers are compared by value (1 and 1.0), texts exactly.
    """

    example: ClassVar[str] = "json_equal: {fences: true}"
    reads_answer_alone: ClassVar[bool] = True
    passes_when: ClassVar[str] = "equal to any reference as a JSON value"

    extra_keys: bool = False
    """the answer's objects may have additional keys"""
    fences: bool = False
    """remove a ```json fence around the answer"""

    @property
    def needs(self) -> tuple[Need, ...]:
        return ("reference",)

    def fault_of(self, cases: Sequence[Case]) -> str | None:
        for case in cases:
            for text in case.references:
                fault = _fault(text)
                if fault:
                    return f"{self.name}: the reference of case {case.id!r} is not JSON: {fault}: {short(text)}"
        return None

    def judge_one(self, sample: Sample) -> Finding:
        references = sample.case.references
        if not references:
            return self.invalid(NO_REFERENCE)
        fault = next(filter(None, map(_fault, references)), None)
        if fault is not None:
            return self.invalid(f"a reference is not JSON: {fault}")
        text = sample.response.text.strip()
        fenced = FENCED.fullmatch(text) if self.fences else None
        text = fenced[1] if fenced else text
        fault = _fault(text)
        if fault is not None:
            return self.passed(False, False, f"not JSON: {fault}")
        try:
            faults = [
                _difference(parse(text, exact=True), parse(one, exact=True), "$", self.extra_keys) for one in references
            ]
        except RecursionError:
            return self.passed(False, False, "nested too deeply")
        ok = None in faults
        return self.passed(ok, ok, "equals the reference" if ok else str(faults[0]))


def _fault(text: str) -> str | None:
    try:
        parse(text, exact=True)
    except (ValueError, RecursionError) as error:
        return str(error) or "nested too deeply"
    return None


def _difference(given: Any, wanted: Any, path: str, extra_keys: bool) -> str | None:
    """The first difference between two JSON values; None if they are equal."""
    if _kind(given) != _kind(wanted):
        return f"{path}: expected {_kind(wanted)}, got {_kind(given)}"
    if isinstance(wanted, dict):
        mine, theirs = cast("dict[str, Any]", given), cast("dict[str, Any]", wanted)
        for key in theirs:
            if key not in mine:
                return f"{path}: the key {short(key)} is missing"
        further = [key for key in mine if key not in theirs]
        if further and not extra_keys:
            return f"{path}: the key {short(further[0])} is not in the reference"
        pairs = [(mine[key], theirs[key], f"{path}{_step(key)}") for key in theirs]
    elif isinstance(wanted, list):
        ours, items = cast("list[Any]", given), cast("list[Any]", wanted)
        if len(ours) != len(items):
            return f"{path}: expected {len(items)} items, got {len(ours)}"
        pairs = [(mine, theirs, f"{path}[{at}]") for at, (mine, theirs) in enumerate(zip(ours, items, strict=True))]
    else:
        return None if given == wanted else f"{path}: {short(str(given))} is not {short(str(wanted))}"
    return next(filter(None, (_difference(*pair, extra_keys) for pair in pairs)), None)


def _step(key: str) -> str:
    return f".{key}" if re.fullmatch(r"\w+", key) else f"[{key!r}]"


def _kind(value: Any) -> str:
    """The JSON type of a value; a boolean is not a number, although Python treats it as one."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else "a boolean"
    names = {dict: "an object", list: "a list", str: "a text", int: "a number", Decimal: "a number"}
    return names[type(value)]
