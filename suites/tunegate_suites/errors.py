"""`errors`: typed reasons for a miss, forbidden, capped over the gate, or only reported."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Annotated, ClassVar

from pydantic import Field, field_validator, model_validator

from tunegate.cases.case import Case
from tunegate.checks.check import Sample
from tunegate.checks.outcome import ErrorSpan, Finding
from tunegate.data.languages import base_code, known_languages
from tunegate.exceptions import nearest
from tunegate.optional import require
from tunegate_suites.base import CaseCheck
from tunegate_suites.categories.language import wrong_language
from tunegate_suites.categories.personal import PII, pii
from tunegate_suites.categories.repetition import repetition
from tunegate_suites.categories.settings import ErrorSettings
from tunegate_suites.categories.shape import empty, format_, prompt_echo, refusal, too_long, too_short, truncated
from tunegate_suites.categories.spelling import dictionary, misspelling
from tunegate_suites.categories.support import unsupported_entity, unsupported_number
from tunegate_suites.categories.turns import run_on, unfinished_reasoning
from tunegate_suites.patterns import matches_anything
from tunegate_suites.placeholders import fault_of_places, fill_pattern

Category = Callable[[Sample, ErrorSettings], list[ErrorSpan]]

CATEGORIES: dict[str, Category] = {
    "misspelling": misspelling,
    "too_long": too_long,
    "too_short": too_short,
    "repetition": repetition,
    "truncated": truncated,
    "empty": empty,
    "format": format_,
    "refusal": refusal,
    "prompt_echo": prompt_echo,
    "run_on": run_on,
    "unfinished_reasoning": unfinished_reasoning,
    "wrong_language": wrong_language,
    "unsupported_number": unsupported_number,
    "unsupported_entity": unsupported_entity,
    PII: pii,
}
READ_BY = {
    **dict.fromkeys(("max_words", "max_chars"), ("too_long",)),
    **dict.fromkeys(("min_words", "min_chars"), ("too_short",)),
    **dict.fromkeys(("repeats", "ngram"), ("repetition",)),
    "format": ("format",),
    "echo_words": ("prompt_echo",),
    "language": ("wrong_language", "misspelling"),
    "language_min_chars": ("wrong_language",),
    "vocabulary": ("misspelling",),
    "names": (PII,),
}
"""Maps a setting to the categories that use it."""
ALWAYS = ("run_on", "unfinished_reasoning")
"""Forbidden by every `errors` check that forbids or caps any category, unless it caps or reports these; other checks
report them."""
MAX_SPANS = 100
"""The number of spans kept per category and answer; the value counts all errors."""


class Errors(CaseCheck, ErrorSettings):
    """Error categories, each with the offending span. The value is the number of errors found.

    `run_on` and `unfinished_reasoning` are forbidden too, unless they are listed under `max` or `report`.
    """

    shorthand: ClassVar[str | None] = "forbid"
    example: ClassVar[str] = "errors: {forbid: [repetition, misspelling], max: {too_long: 3}, report: [refusal]}"
    reads_answer_alone: ClassVar[bool] = True
    passes_when: ClassVar[str] = "no forbidden category is found; `max` caps a category over the whole gate"
    extra: ClassVar[str | None] = "text"
    revision: ClassVar[str] = "2"

    forbid: list[str] = Field(default=[])
    """categories that fail a case"""
    max: dict[str, Annotated[int, Field(ge=0)]] = Field(default={})
    """maps a category to the number of cases of a gate that may show it; more cases fail the gate, not the case"""
    report: list[str] = Field(default=[])
    """categories that are only counted, without failing anything"""

    @property
    def condition(self) -> str:
        return f"show none of the errors {', '.join(sorted(self._forbidden))}"

    @field_validator("forbid", "max", "report")
    @classmethod
    def _categories_exist(cls, names: list[str] | dict[str, int]) -> list[str] | dict[str, int]:
        for name in names:
            if name not in CATEGORIES:
                raise ValueError(f"unknown error category {name!r}{nearest(name, CATEGORIES)}")
        return names

    @model_validator(mode="after")
    def _each_is_listed_once(self) -> Errors:
        names = [*self.forbid, *self.max, *self.report]
        if not names:
            raise ValueError("name at least one category under 'forbid', 'max' or 'report'")
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"{name!r} is listed twice: list it under only one of forbid, max and report")
        return self

    def prepare(self) -> None:
        wanted = self._wanted
        for setting in sorted(self.model_fields_set & READ_BY.keys()):
            readers = READ_BY[setting]
            if not wanted.keys() & readers:
                named = " or ".join(map(repr, readers))
                raise self.config_error(
                    setting, f"only the category {named} uses this setting: list it under forbid, max or report"
                )
        if "format" in wanted and self.format is None:
            raise self.config_error("format", "the category 'format' needs this regular expression; set it")
        if self.format is not None and matches_anything(re.compile(fill_pattern(self.format, None)), whole=True):
            raise self.config_error(
                "format", f"{self.format!r} matches any answer, even an empty one; write a stricter pattern"
            )
        _ = self.find_names
        if "misspelling" in wanted:
            require("the error category 'misspelling'", "text", "spellchecker")
            try:
                dictionary(self.language)
            except ValueError:
                raise self.config_error(
                    "language", f"there is no dictionary of {self.language!r} for 'misspelling'"
                ) from None
        if "wrong_language" in wanted:
            require("the error category 'wrong_language'", "text", "py3langid")
            if base_code(self.language) not in known_languages():
                raise self.config_error(
                    "language", f"unknown language {self.language!r}{nearest(self.language, known_languages())}"
                )

    @cached_property
    def _wanted(self) -> dict[str, Category]:
        named = (*self.forbid, *self.max, *self.report)
        return {name: CATEGORIES[name] for name in dict.fromkeys((*named, *ALWAYS))}

    @cached_property
    def _forbidden(self) -> frozenset[str]:
        only_reports = not self.forbid and not self.max
        allowed = frozenset((*self.max, *self.report))
        return frozenset(self.forbid) | (frozenset() if only_reports else frozenset(ALWAYS) - allowed)

    def fault_of(self, cases: Sequence[Case]) -> str | None:
        fault = fault_of_places([self.format or ""], cases)
        return None if fault is None else f"{self.name}.format: {fault}"

    @property
    def max_errors(self) -> dict[str, int]:
        return self.max

    @property
    def can_fail(self) -> bool:
        return bool(self.forbid)

    @property
    def deterministic(self) -> bool:
        return self.names is None

    @property
    def error_categories(self) -> tuple[str, ...]:
        """The categories that are looked for, by name."""
        return tuple(self._wanted)

    def judge_one(self, sample: Sample) -> Finding:
        spans: list[ErrorSpan] = []
        counts: Counter[str] = Counter()
        for name, category in self._wanted.items():
            found = category(sample, self)
            if found:
                counts[name] = len(found)
                spans += found[:MAX_SPANS]
        ok = not any(name in counts for name in self._forbidden)
        return self.passed(ok, float(counts.total()), _summary(counts, spans) or "none found", errors=tuple(spans))


def _summary(counts: Counter[str], spans: list[ErrorSpan]) -> str:
    """`2 misspelling ('BLS', …)`, one part per category. Personal data is not repeated: reasons get around."""
    first = {error.category: "" if error.category == PII else error.text for error in reversed(spans)}
    return ", ".join(f"{count} {name}{_quoted(first[name], count)}" for name, count in counts.items())


def _quoted(text: str, count: int) -> str:
    shown = " ".join(text[:60].split())
    return f" ({shown!r}{', …' if count > 1 else ''})" if shown else ""
