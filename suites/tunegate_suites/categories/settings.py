"""The settings of the categories; in a suite file they are next to `forbid`, `max` and `report`."""

from __future__ import annotations

import json
import re
from functools import cached_property
from typing import Annotated

from pydantic import Field, field_validator

from tunegate.checks.check import Sample
from tunegate.checks.outcome import ErrorSpan
from tunegate.models.pii_names import name_finder
from tunegate.text.pii import FindNames
from tunegate_suites.base import Options
from tunegate_suites.categories.words import Vocabulary
from tunegate_suites.options import InputFile, TextFile
from tunegate_suites.placeholders import fill_pattern

MAX_SPAN_CHARS = 500
"""Longer spans are cut, so that the record does not hold an endless answer twice."""

Count = Annotated[int, Field(ge=1)]


class ErrorSettings(Options):
    """The settings of the categories."""

    max_words: Count | None = None
    """`too_long`: more words than this"""
    max_chars: Count | None = None
    """`too_long`: more characters; default: 4 times the longest reference and 200, or 4,000 without a reference"""
    min_words: Count | None = None
    """`too_short`: fewer words than this"""
    min_chars: Count | None = None
    """`too_short`: fewer characters; default: a quarter of the shortest reference"""
    repeats: Annotated[int, Field(ge=2)] = 3
    """`repetition`: a phrase repeated this often in a row"""
    ngram: Annotated[int, Field(ge=1, le=200)] = 50
    """`repetition`: the longest phrase to look for, in words"""
    format: str | None = None
    """`format`: a regular expression that the whole answer must match; `{field}` is filled from the case"""
    echo_words: Annotated[int, Field(ge=4)] = 8
    """`prompt_echo`: the answer contains this number of words from the end of the prompt"""
    language: str = "en"
    """`wrong_language`, `misspelling`: the expected language, an ISO 639-1 code"""
    language_min_chars: Annotated[int, Field(ge=20)] = 50
    """`wrong_language`: shorter answers are not judged"""
    vocabulary: list[InputFile] = Field(default=[])
    """`misspelling`: files with correct words: a word list, any text, the training data (.jsonl)"""
    names: str | None = None
    """`pii`: an installed spaCy model that also finds the names of people, for example `en_core_web_sm`"""

    @field_validator("format")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        try:
            re.compile(fill_pattern(pattern or "", None))
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}: {pattern!r}") from None
        return pattern

    @field_validator("names")
    @classmethod
    def _is_installed_by_name(cls, names: str | None) -> str | None:
        if names is not None and not names.isidentifier():
            raise ValueError(f"expected the name of an installed spaCy model, such as en_core_web_sm, got {names!r}")
        return names

    @cached_property
    def find_names(self) -> FindNames | None:
        """Finds the names of people; None without a model. Raises MissingExtra or ConfigError."""
        return None if self.names is None else name_finder(self.names)

    @cached_property
    def known_words(self) -> Vocabulary:
        """All words of the vocabulary files."""
        return Vocabulary(_text(file) for file in self.vocabulary)


def _text(file: TextFile) -> str:
    """The text of a file; for JSON only the values of strings, without keys and escapes."""
    if file.path.suffix not in (".jsonl", ".json"):
        return file.text
    rows = file.text.splitlines() if file.path.suffix == ".jsonl" else [file.text]
    try:
        return "\n".join(text for row in rows if row.strip() for text in _strings(json.loads(row)))
    except ValueError:
        return file.text


def _strings(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for part in parts for text in _strings(part)]


def span(category: str, text: str, start: int, end: int) -> ErrorSpan:
    """The error span for `text[start:end]`, cut to MAX_SPAN_CHARS."""
    end = min(end, start + MAX_SPAN_CHARS)
    return ErrorSpan(category, start, end, text[start:end])


def sources(sample: Sample) -> list[str]:
    """The texts that an answer may draw on: context, prompt, references."""
    case = sample.case
    context = [case.context] if case.context and case.context not in case.prompt_text else []
    return [*context, case.prompt_text, *case.references]
