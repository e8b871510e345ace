"""`contains`: the answer holds given texts, or references, as whole words and whole numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from typing import ClassVar, Literal

from tunegate.cases import Case
from tunegate.checks import Need, Sample
from tunegate.exceptions import ConfigError
from tunegate.numbers import WORD_SIGN, Number, number_of, numbers_in
from tunegate.outcomes import Finding
from tunegate_suites.base import CaseCheck
from tunegate_suites.normalise import plain, typographic
from tunegate_suites.placeholders import fault_of_places, fill_text
from tunegate_suites.text import NO_REFERENCE, Normalising, short

INFLECTED = 4
"""The last word of a phrase may have an ending (`founder effects`) when it has at least so many letters."""
_YES_NO = frozenset(["yes", "no", "true", "false", "ja", "nein", "oui", "non", "sí", "no", "sì"])
_ARTICLES = "AaIi"
# `A is right` names a choice, `A clear case` begins with an article.
_AFTER_A_CHOICE = "is|was|because|since|as|and|or|nor|but|for|holds|seems|would|fits|applies|of|in|to|with|not|if"


class Contains(CaseCheck, Normalising):
    """The answer contains given texts, or the references.

    By default a word is found as a whole word, a number as a number (`1,200` is 1200, and 5 is not in 150), a single
    capital letter as a letter whose case counts, and of several words the last may have an ending (`founder effects`).
    In scripts without spaces a text is found anywhere.
    """

    shorthand: ClassVar[str | None] = "text"
    example: ClassVar[str] = "contains: autosomal"
    revision: ClassVar[str] = "2"
    passes_when: ClassVar[str] = "the text, or without one any reference, stands in the answer"

    text: str | list[str] | None = None
    """what to look for; `{field}` is filled from the case; default: the references of the case"""
    match: Literal["any", "all"] | None = None
    """of several, how many must be there; default: all texts, or any of the references"""
    whole_words: bool | Literal["auto"] = "auto"
    """auto: see above; true: `BLM` is not found in `BLMX`, nor `founder effect` in `founder effects`; false:
    anywhere"""

    def prepare(self) -> None:
        if isinstance(self.text, list) and not self.text:
            raise self.config_error("text", "the list is empty, so that any answer would pass")
        for text in self._texts or []:
            if not self.normal_form(text).strip():
                raise self.config_error("text", f"{text!r} is contained in any answer")

    @property
    def needs(self) -> tuple[Need, ...]:
        return () if self._texts else ("reference",)

    def fault_of(self, cases: Sequence[Case]) -> str | None:
        fault = fault_of_places(self._texts or [], cases)
        return None if fault is None else f"{self.name}.text: {fault}"

    def remarks(self, cases: Sequence[Case]) -> Sequence[str]:
        wanted = self._texts or [text for case in cases for text in case.references]
        risky = [text for text in wanted if _is_risky(text, anywhere=self.whole_words is False)]
        if not risky:
            return ()
        shown = ", ".join(map(repr, list(dict.fromkeys(risky))[:3]))
        what = "text" if self._texts else "reference"
        are = f"{len(risky)} of {len(wanted)} {what}s {'is' if len(risky) == 1 else 'are'}"
        if self.whole_words is False:
            return (f"{are} so short that nearly any answer holds {shown}: leave out `whole_words: false`",)
        return (
            f"{are} so short ({shown}) that an answer may hold more than one: `answer: letter` (or a pattern) with "
            "`exact` compares the one that is meant",
        )

    @cached_property
    def _texts(self) -> list[str] | None:
        return [self.text] if isinstance(self.text, str) else self.text

    def judge_one(self, sample: Sample) -> Finding:
        try:
            groups = self._wanted(sample.case)
        except ConfigError as error:
            return self.invalid(str(error))
        if not groups:
            return self.invalid(f"{NO_REFERENCE}, and the check has no 'text'")
        wanted = [text for group in groups for text in group]
        if not all(self.normal_form(text).strip() for text in wanted):
            return self.invalid("a reference is empty, so that any answer would contain it")
        answer = sample.response.text
        missing = [group for group in groups if not any(self._in(text, answer) for text in group)]
        match = self.match or ("all" if self._texts else "any")
        enough = not missing if match == "all" else len(missing) < len(groups)
        shown = short((missing or groups)[0][0])
        return self.passed(enough, enough, "contains what it should" if enough else f"does not contain {shown}")

    def _wanted(self, case: Case) -> list[list[str]]:
        """What must be there, each a group of texts of which one is enough; `match: any` or `all` counts groups."""
        if self._texts is None:
            return [[text] for text in case.references]
        filled = [fill_text(text, case) for text in self._texts]
        return filled if self.match is None else [[text] for group in filled for text in group]

    def _in(self, wanted: str, answer: str) -> bool:
        if self.whole_words is False:
            return self.normal_form(wanted) in self.normal_form(answer)
        number = _as_number(wanted)
        if number is not None and self.normalize is not False:
            return _holds_number(answer, number)
        letters = typographic(wanted).strip(" ().:*`\"'")
        if _case_counts(letters):
            return _letters(letters).search(typographic(answer)) is not None
        form = self.normal_form(wanted)
        return _words(form, strict=self.whole_words is True).search(self.normal_form(answer)) is not None


def _as_number(text: str) -> Number | None:
    """The number that a text is; one with a zero in front (`007`) is a code."""
    number = number_of(plain(text))
    return None if number is None or _is_code(plain(text), number) else number


def _is_code(text: str, number: Number) -> bool:
    return re.match(r"[-+−–]?0\d", text[number.start : number.end]) is not None


def _holds_number(answer: str, wanted: Number) -> bool:
    return any(
        number.values & wanted.values and wanted.unit in ("", number.unit)
        for number in numbers_in(answer)
        if not _is_code(answer, number)
    )


def _case_counts(letters: str) -> bool:
    """Whether a text is a letter, or two capitals that may be a word otherwise: A and a, IT and it."""
    if not (letters.isascii() and letters.isalpha()) or letters.casefold() in _YES_NO:
        return False
    return len(letters) == 1 or (len(letters) == 2 and letters.isupper())


def _letters(letters: str) -> re.Pattern[str]:
    spelled = letters if letters.isupper() else f"(?i:{letters})"
    article = rf"(?!\s+(?!(?:{_AFTER_A_CHOICE})\b)[a-z])" if letters in _ARTICLES else ""
    return re.compile(rf"(?<!{WORD_SIGN})(?<!\w[-'’]){spelled}(?!{WORD_SIGN}|[+#]|['’-]\w){article}")


def _words(form: str, *, strict: bool) -> re.Pattern[str]:
    """A pattern for a text that begins at the beginning of a word and ends at the end of one."""
    before = rf"(?<!{WORD_SIGN})" + (r"(?<!\d[.,])" if form[:1].isdigit() else "")
    after = rf"(?!{WORD_SIGN})" + (r"(?![.,]\d)" if form[-1:].isdigit() else "")
    words = form.split()
    if not strict and len(words) > 1 and len(words[-1]) >= INFLECTED and words[-1].isalpha():
        after = ""
    is_word = re.compile(r"\w")
    return re.compile(
        (before if is_word.match(form[:1]) else "") + re.escape(form) + (after if is_word.match(form[-1:]) else "")
    )


def _is_risky(text: str, *, anywhere: bool) -> bool:
    form = plain(text)
    few = len(form) <= 2 and form.isascii() and form.isalpha()
    return few or form in _YES_NO or (anywhere and _as_number(text) is not None)
