"""Checks that compare strings: `exact`, `regex`; `contains` has its own file."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import ClassVar, Literal

from tunegate.cases.case import Case
from tunegate.checks.check import Need, Sample
from tunegate.checks.outcome import Finding
from tunegate.exceptions import ConfigError
from tunegate.text.timing import TooSlow, time_limit
from tunegate_suites.base import CaseCheck, Options
from tunegate_suites.normalise import as_is, plain, squad
from tunegate_suites.patterns import matches_anything
from tunegate_suites.placeholders import fault_of_places, fill_pattern

NO_REFERENCE = "the case has no reference"
REGEX_LIMIT_S = 2.0


class Normalising(Options):
    """The option for which differences between two texts do not count."""

    normalize: bool | Literal["squad"] = True
    """true: case, spaces, Unicode forms, typographic quotes and dashes, and surrounding punctuation do not count;
    squad: as in SQuAD; false: every difference counts"""

    @cached_property
    def normal_form(self) -> Callable[[str], str]:
        if self.normalize == "squad":
            return squad
        return plain if self.normalize else as_is


class Exact(CaseCheck, Normalising):
    """The answer equals one of the references."""

    example: ClassVar[str] = "exact: {normalize: true}"
    reads_answer_alone: ClassVar[bool] = True
    revision: ClassVar[str] = "2"
    passes_when: ClassVar[str] = "equal to any reference, after normalisation"

    @property
    def condition(self) -> str:
        ignored = {True: "case and spaces ignored", False: "every difference counts", "squad": "as in SQuAD"}
        return f"equal a reference ({ignored[self.normalize]})"

    @property
    def needs(self) -> tuple[Need, ...]:
        return ("reference",)

    def judge_one(self, sample: Sample) -> Finding:
        references = sample.case.references
        if not references:
            return self.invalid(NO_REFERENCE)
        if not all(map(plain, references)):
            return self.invalid("a reference is empty, so an empty answer would equal it")
        ok = any(self._equal(sample.response.text, reference) for reference in references)
        reason = "equals the reference" if ok else f"{short(sample.response.text)} is not {short(references[0])}"
        return self.passed(ok, ok, reason)

    def _equal(self, answer: str, reference: str) -> bool:
        # SQuAD's form of the reference `A` is empty, like that of an empty answer.
        normal_form = self.normal_form if self.normal_form(reference) else plain
        return normal_form(answer) == normal_form(reference)


class Regex(CaseCheck):
    """The answer matches a regular expression (Python's syntax)."""

    shorthand: ClassVar[str | None] = "pattern"
    example: ClassVar[str] = 'regex: "^[A-Z0-9]+$"'
    reads_answer_alone: ClassVar[bool] = True
    revision: ClassVar[str] = "2"
    passes_when: ClassVar[str] = f"the pattern matches; slower than {REGEX_LIMIT_S:g} s is INVALID"

    pattern: str
    """the regular expression; `{field}` is filled from the case and matched literally"""
    fullmatch: bool = False
    """true: the whole answer must match, without the spaces around it; false: a part of it must match"""
    ignore_case: bool = False
    """true: ignore upper and lower case"""

    @property
    def condition(self) -> str:
        return f"{'are wholly' if self.fullmatch else 'match'} {self.pattern!r}"

    def prepare(self) -> None:
        try:
            compiled = self._compiled(None)
        except (re.error, OverflowError, RecursionError) as error:
            raise self.config_error("pattern", f"this is not a regular expression: {error}: {self.pattern!r}") from None
        if matches_anything(compiled, whole=self.fullmatch):
            raise self.config_error(
                "pattern", f"{self.pattern!r} matches any answer, even an empty one; write a stricter pattern"
            )

    def fault_of(self, cases: Sequence[Case]) -> str | None:
        fault = fault_of_places([self.pattern], cases)
        return None if fault is None else f"{self.name}.pattern: {fault}"

    def _compiled(self, case: Case | None) -> re.Pattern[str]:
        return re.compile(fill_pattern(self.pattern, case), re.IGNORECASE if self.ignore_case else 0)

    def judge_one(self, sample: Sample) -> Finding:
        text = sample.response.text
        try:
            pattern = self._compiled(sample.case)
        except ConfigError as error:
            return self.invalid(str(error))
        try:
            # A pattern such as (a+)+$ takes exponential time on some answers.
            with time_limit(REGEX_LIMIT_S):
                match = pattern.fullmatch(text.strip()) if self.fullmatch else pattern.search(text)
        except TooSlow:
            return self.invalid(f"the pattern took more than {REGEX_LIMIT_S:g} s on this answer: simplify it")
        if match is None:
            return self.passed(False, False, f"{short(text)} does not match {pattern.pattern!r}")
        return self.passed(True, True, f"matches at character {match.start()}")


def short(text: str, limit: int = 40) -> str:
    """A text in quotes, shortened for a reason."""
    text = " ".join(text[: 4 * limit].split())
    return repr(text if len(text) <= limit else text[: limit - 1] + "…")
