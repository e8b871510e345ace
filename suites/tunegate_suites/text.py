"""Checks that compare strings: `exact`, `contains`, `regex`."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cached_property
from typing import ClassVar, Literal

from tunegate.checks import Need, Sample
from tunegate.outcomes import Finding
from tunegate.timing import TooSlow, time_limit
from tunegate_suites.base import CaseCheck, Options
from tunegate_suites.normalise import as_is, plain, squad
from tunegate_suites.patterns import matches_anything

NO_REFERENCE = "the case has no reference"
REGEX_LIMIT_S = 2.0


class Normalising(Options):
    """An option that says which differences between two texts do not count."""

    normalize: bool | Literal["squad"] = True
    """true: case, spaces, Unicode forms and surrounding punctuation do not count; squad: as in SQuAD; false: all do"""

    @cached_property
    def normal_form(self) -> Callable[[str], str]:
        if self.normalize == "squad":
            return squad
        return plain if self.normalize else as_is


class Exact(CaseCheck, Normalising):
    """The answer equals one of the references."""

    example: ClassVar[str] = "exact: {normalize: true}"
    passes_when: ClassVar[str] = "equal to any reference, after normalisation"

    @property
    def needs(self) -> tuple[Need, ...]:
        return ("reference",)

    def judge_one(self, sample: Sample) -> Finding:
        references = sample.case.references
        if not references:
            return self.invalid(NO_REFERENCE)
        if not all(map(plain, references)):
            return self.invalid("a reference is empty, so that no answer at all would equal it")
        ok = any(self._equal(sample.response.text, reference) for reference in references)
        reason = "equals the reference" if ok else f"{_short(sample.response.text)} is not {_short(references[0])}"
        return self.passed(ok, ok, reason)

    def _equal(self, answer: str, reference: str) -> bool:
        # SQuAD's form of the reference `A` is empty, as is that of an empty answer.
        normal_form = self.normal_form if self.normal_form(reference) else plain
        return normal_form(answer) == normal_form(reference)


class Contains(CaseCheck, Normalising):
    """The answer contains given texts, or one of the references."""

    shorthand: ClassVar[str | None] = "text"
    example: ClassVar[str] = "contains: autosomal"
    passes_when: ClassVar[str] = "the text, or without one any reference, stands in the answer"

    text: str | list[str] | None = None
    """what to look for; default: the references of the case, any of which will do"""
    match: Literal["any", "all"] = "all"
    """of several texts, how many must be there"""
    whole_words: bool = False
    """`BLM` is not found in `BLMX`"""

    def prepare(self) -> None:
        if isinstance(self.text, list) and not self.text:
            raise self.config_error("text", "the list is empty, so that any answer would pass")
        for text in self._texts or []:
            if not self.normal_form(text).strip():
                raise self.config_error("text", f"{text!r} is contained in any answer")

    @property
    def needs(self) -> tuple[Need, ...]:
        return () if self._texts else ("reference",)

    @cached_property
    def _texts(self) -> list[str] | None:
        return [self.text] if isinstance(self.text, str) else self.text

    def judge_one(self, sample: Sample) -> Finding:
        wanted = self._texts or sample.case.references
        if not wanted:
            return self.invalid(f"{NO_REFERENCE}, and the check has no 'text'")
        if not all(self.normal_form(text).strip() for text in wanted):
            return self.invalid("a reference is empty, so that any answer would contain it")
        answer = self.normal_form(sample.response.text)
        missing = [text for text in wanted if not self._in(self.normal_form(text), answer)]
        enough = not missing if self._texts and self.match == "all" else len(missing) < len(wanted)
        shown = _short((missing or wanted)[0])
        return self.passed(enough, enough, "contains what it should" if enough else f"does not contain {shown}")

    def _in(self, wanted: str, answer: str) -> bool:
        if not self.whole_words:
            return wanted in answer
        return re.search(rf"(?<!\w){re.escape(wanted)}(?!\w)", answer) is not None


class Regex(CaseCheck):
    """The answer matches a regular expression (Python's syntax)."""

    shorthand: ClassVar[str | None] = "pattern"
    example: ClassVar[str] = 'regex: "^[A-Z0-9]+$"'
    passes_when: ClassVar[str] = f"the pattern matches; slower than {REGEX_LIMIT_S:g} s is INVALID"

    pattern: str
    """the regular expression"""
    fullmatch: bool = False
    """the whole answer must match, spaces around it aside; else some part of it"""
    ignore_case: bool = False
    """capitals do not count"""

    def prepare(self) -> None:
        try:
            compiled = self._compiled
        except (re.error, OverflowError, RecursionError) as error:
            raise self.config_error("pattern", f"not a regular expression: {error}: {self.pattern!r}") from None
        if matches_anything(compiled, whole=self.fullmatch):
            raise self.config_error("pattern", f"{self.pattern!r} matches any answer, an empty one too")

    @cached_property
    def _compiled(self) -> re.Pattern[str]:
        return re.compile(self.pattern, re.IGNORECASE if self.ignore_case else 0)

    def judge_one(self, sample: Sample) -> Finding:
        text = sample.response.text
        try:
            # A pattern such as (a+)+$ takes exponential time on some answers.
            with time_limit(REGEX_LIMIT_S):
                match = self._compiled.fullmatch(text.strip()) if self.fullmatch else self._compiled.search(text)
        except TooSlow:
            return self.invalid(f"the pattern took more than {REGEX_LIMIT_S:g} s on this answer: simplify it")
        if match is None:
            return self.passed(False, False, f"{_short(text)} does not match {self.pattern!r}")
        return self.passed(True, True, f"matches at character {match.start()}")


def _short(text: str, limit: int = 40) -> str:
    """A text in quotes, cut for use in a reason."""
    text = " ".join(text[: 4 * limit].split())
    return repr(text if len(text) <= limit else text[: limit - 1] + "…")
