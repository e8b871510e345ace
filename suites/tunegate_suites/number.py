"""`number`: the answer's number is that of the reference, however either is written."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from tunegate.cases.case import Case
from tunegate.checks.answers.part import AnswerRule
from tunegate.checks.check import Need, Sample
from tunegate.checks.outcome import Finding
from tunegate.text.numbers import Decimals, Number, numbers_in
from tunegate_suites.base import CaseCheck
from tunegate_suites.text import NO_REFERENCE, short


class NumberCheck(CaseCheck):
    """The answer's number equals that of a reference: `1,200`, `1 200` and `1200.0` are one, `$29.00` is 29.

    Units count where both sides have a known one (`5 mg` is not `5 g`, nothing is converted); a missing unit is no
    fault. Fractions (`3/4`, `1 1/2`), powers (`1.2e3`, `10^3`) and `5 million` are read; numbers in words are not.
    """

    shorthand: ClassVar[str | None] = "tolerance"
    example: ClassVar[str] = "number: {tolerance: 0.01}"
    passes_when: ClassVar[str] = "the number of the answer is within the tolerance of that of any reference"

    tolerance: Annotated[float, Field(ge=0)] = 0.0
    """how far the answer may be off; the larger of the two tolerances counts"""
    relative: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """the same as a share of the reference: 0.01 is one per cent"""
    which: Literal["last", "first", "only"] = "last"
    """which of an answer's numbers counts; `only`: an answer with two different ones misses"""
    decimal: Decimals = "."
    """the sign before decimals, where a number may be read in two ways (`1,234`); `either` accepts both readings"""
    percent: bool = False
    """`50%` is 0.5; else the per cent sign is a unit"""

    @property
    def needs(self) -> tuple[Need, ...]:
        return ("reference",)

    def fault_of(self, cases: Sequence[Case]) -> str | None:
        references = [(case, text) for case in cases for text in case.references]
        wrong = [(case, text) for case, text in references if self._wanted(text) is None]
        if not references or len(wrong) < len(references):
            return None
        case, text = wrong[0]
        return f"{self.name}: no reference is a number; that of case {case.id!r} is {short(text)}"

    def fault_with(self, answer: AnswerRule) -> str | None:
        if self.which == "last" or answer.extract != ("last_number",):
            return None
        return (
            f"{self.name}.which: `answer: last_number` leaves one number of an answer, so {self.which!r} has nothing "
            "to look at; leave one of the two out"
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
                f"the reference {short(text)} is not one number; `answer: last_number` takes the last one of both sides"
            )
        given = list(numbers_in(sample.response.text, self.decimal))
        if not given:
            return self.passed(False, None, f"{short(sample.response.text)} holds no number")
        if self.which == "only" and not all(self._equal(one, given[-1]) for one in given):
            return self.passed(False, None, f"{short(sample.response.text)} holds several numbers")
        number = given[0 if self.which == "first" else -1]
        ok = any(self._equal(number, one) for one in wanted if one is not None)
        written = sample.response.text[number.whole_start : number.whole_end]
        reason = f"{short(written)} {'equals' if ok else 'is not'} {short(sample.case.references[0])}"
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
        # As written: the float 0.1 is a little more than 0.1, and 1.1 would not be within it of 1.
        tolerance, relative = Fraction(repr(self.tolerance)), Fraction(repr(self.relative))
        return abs(value - wanted) <= max(tolerance, relative * abs(wanted))


def _as_float(number: Number) -> float | None:
    """The value for the record; None for one that no float holds, and where there are two readings."""
    [value, *others] = number.values
    try:
        return None if others else float(value)
    except OverflowError:
        return None
