"""`number`: the answer's number equals the reference's number, in any notation."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from tunegate.cases.case import Case
from tunegate.checks.answers.part import AnswerRule
from tunegate.checks.check import Need, Sample
from tunegate.checks.outcome import Finding
from tunegate.text.numbers import Decimals, Number, numbers_in
from tunegate_suites.base import CaseCheck
from tunegate_suites.text import NO_REFERENCE, short

_DENIED = re.compile(
    r"(?:\b(?:not|never|neither|nor|rather than|instead of)|n['’]t)(?:\s+(?:be|equal to|exactly))*\s*[*_`$(]*\Z",
    re.IGNORECASE,
)
"""The text before a number that the answer denies."""
_GIVE_OR_TAKE = re.compile(r"(?:±|\+/[-−–])\s*\Z")
_TO_THE_NEXT = re.compile(r"(?<=[\d%])\s*[–—~〜～]\s*|(?<=[\d%])[-‐‑−]|\s+to\s+|\s+and\s+")
_BETWEEN = re.compile(r"\bbetween\s+[*_`$]*\Z", re.IGNORECASE)
_CHANGE = re.compile(r"\bfrom\s+[*_`$]*\Z", re.IGNORECASE)
_CLOCK = re.compile(r"(?<!\w)\d{1,4}:\Z")
_TIME_GOES_ON = re.compile(r":\d")
_BOUND = re.compile(r"(?<![-=<>≤≥])(?:(?P<sign>[<>]=?|[≤≥≠])|\\(?P<name>leq?|geq?|neq?|lt|gt)\b)\s*\$?\s*\Z")
_TAG = re.compile(r"</?[A-Za-z][^<>]*>\s*\Z")
_QUOTE = re.compile(r"(?:\A|\n)[ \t]*(?:>[ \t]*)+\Z")
_ONE_BOUND = {"<=": "≤", ">=": "≥", "le": "≤", "leq": "≤", "ge": "≥", "geq": "≥", "ne": "≠", "lt": "<", "gt": ">"}
_ONE_BOUND |= {"neq": "≠"}
_LOOKED_AT = 80
"""How many characters before a number are examined."""


class NumberCheck(CaseCheck):
    """The answer's number equals that of a reference: `1,200`, `1 200` and `1200.0` are equal, `$29.00` is 29.

    Units count if both sides have a known unit (`5 mg` is not `5 g`, nothing is converted); a missing unit is not an
    error. Fractions (`3/4`, `1 1/2`), powers (`1.2e3`, `10^3`) and `5 million` are read; numbers in words are not.
    A tolerance (`± 1`) does not count. A number that is denied (`not 42`), a bound (`< 42`), or part of a range
    (`41-43`), date or time equals only another number of that kind.
    """

    shorthand: ClassVar[str | None] = "tolerance"
    example: ClassVar[str] = "number: {tolerance: 0.01}"
    reads_answer_alone: ClassVar[bool] = True
    passes_when: ClassVar[str] = "the answer's number is within the tolerance of any reference's number"

    tolerance: Annotated[float, Field(ge=0)] = 0.0
    """how far the answer may differ; the larger of the two tolerances counts"""
    relative: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """the tolerance as a share of the reference: 0.01 is one per cent"""
    which: Literal["last", "first", "only"] = "last"
    """which of an answer's numbers counts; `only`: an answer with two different numbers is a miss"""
    decimal: Decimals = "."
    """the decimal sign, if a number is ambiguous (`1,234`); `either` accepts both readings"""
    percent: bool = False
    """true: `50%` is 0.5; false: the per cent sign is a unit"""

    @property
    def needs(self) -> tuple[Need, ...]:
        return ("reference",)

    def fault_of(self, cases: Sequence[Case]) -> str | None:
        references = [(case, text) for case in cases for text in case.references]
        wrong = [(case, text) for case, text in references if self._wanted(text) is None]
        if not references or len(wrong) < len(references):
            return None
        case, text = wrong[0]
        return f"{self.name}: no reference is a number; for example, case {case.id!r} has {short(text)}"

    def fault_with(self, answer: AnswerRule) -> str | None:
        if self.which == "last" or answer.extract != ("last_number",):
            return None
        return (
            f"{self.name}.which: `answer: last_number` already selects one number of an answer, so {self.which!r} is "
            "useless; leave one of the two out"
        )

    def remarks(self, cases: Sequence[Case]) -> Sequence[str]:
        wrong = [(case.id, text) for case in cases for text in case.references if self._wanted(text) is None]
        if not wrong:
            return ()
        case_id, text = wrong[0]
        count = len({case_id for case_id, _ in wrong})
        return [f"{count} of {len(cases)} cases have a reference that is not one number: {case_id!r} has {short(text)}"]

    def judge_one(self, sample: Sample) -> Finding:
        if not sample.case.references:
            return self.invalid(NO_REFERENCE)
        wanted = [self._wanted(text) for text in sample.case.references]
        if None in wanted:
            text = sample.case.references[wanted.index(None)]
            return self.invalid(
                f"the reference {short(text)} is not one number; `answer: last_number` uses the last number of both "
                "sides"
            )
        given = list(_stated(sample.response.text, self.decimal))
        if not given:
            return self.passed(False, None, f"{short(sample.response.text)} contains no number")
        if self.which == "only" and not all(self._equal(one, given[-1]) for one in given):
            return self.passed(False, None, f"{short(sample.response.text)} contains several numbers")
        number = given[0 if self.which == "first" else -1]
        near = _kind(number, sample.response.text, self.decimal)
        ok = any(
            self._equal(number, one) and near == _kind(one, text, self.decimal)
            for one, text in zip(wanted, sample.case.references, strict=True)
            if one is not None
        )
        written = sample.response.text[number.whole_start : number.whole_end]
        what = f"{short(written)}{f' ({near})' if near and not ok else ''}"
        reason = f"{what} {'equals' if ok else 'is not'} {short(sample.case.references[0])}"
        return self.passed(ok, _as_float(number), reason)

    def _wanted(self, reference: str) -> Number | None:
        numbers = list(numbers_in(reference, self.decimal))
        return numbers[0] if len(numbers) == 1 else None

    def _equal(self, given: Number, wanted: Number) -> bool:
        (values, unit), (others, other_unit) = self._read(given), self._read(wanted)
        if unit and other_unit and unit != other_unit:
            return False
        return any(self._near(value, other) for value in values for other in others)

    def _read(self, number: Number) -> tuple[frozenset[Fraction], str]:
        if self.percent and number.unit == "%":
            return frozenset(value / 100 for value in number.values), ""
        return number.values, number.unit

    def _near(self, value: Fraction, wanted: Fraction) -> bool:
        # As written: the float 0.1 is slightly more than 0.1, so 1.1 would not be within that tolerance of 1.
        tolerance, relative = Fraction(repr(self.tolerance)), Fraction(repr(self.relative))
        return abs(value - wanted) <= max(tolerance, relative * abs(wanted))


def _stated(text: str, decimal: Decimals) -> Iterator[Number]:
    """The numbers of an answer, without the tolerances after some of them."""
    return (one for one in numbers_in(text, decimal) if not _GIVE_OR_TAKE.search(_before(one, text)))


def _kind(number: Number, text: str, decimal: Decimals) -> str:
    """The kind of a number that is not plain, in words: denied, a bound, or part of a range, date or time."""
    before = _before(number, text)
    if _DENIED.search(before):
        return "denied"
    if _CLOCK.search(before) or _TIME_GOES_ON.match(text, number.whole_end):
        return "part of a time"
    if any(_in_range(text, one, other) for one, other in pairwise(numbers_in(text, decimal)) if number in (one, other)):
        return "part of a range or date"
    bound = _BOUND.search(before)
    if bound is None or _TAG.search(before) or _QUOTE.search(before):
        return ""
    written = bound["sign"] or bound["name"]
    return f"after {_ONE_BOUND.get(written, written)}"


def _before(number: Number, text: str) -> str:
    return text[max(0, number.whole_start - _LOOKED_AT) : number.whole_start]


def _in_range(text: str, one: Number, other: Number) -> bool:
    """Whether two adjacent numbers in a text are a range: `41-43`, `41 to 43`, `between 41 and 43`."""
    between = text[one.whole_end : other.whole_start]
    signed = text[other.whole_start : other.whole_start + 1]
    between += signed if signed in tuple("-−–") else ""
    joined = _TO_THE_NEXT.fullmatch(text, one.whole_end, one.whole_end + len(between))
    if joined is None:
        return False
    word, before = between.strip(), _before(one, text)
    if word == "and":
        return bool(_BETWEEN.search(before))
    return word != "to" or not _CHANGE.search(before)


def _as_float(number: Number) -> float | None:
    """The value for the record; None if no float can hold it, or if there are two readings."""
    [value, *others] = number.values
    try:
        return None if others else float(value)
    except OverflowError:
        return None
