"""`contains`: the answer contains given texts, or references, as whole words and whole numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from typing import ClassVar, Literal

from tunegate.cases.case import Case
from tunegate.checks.check import Need, Sample
from tunegate.checks.outcome import Finding
from tunegate.exceptions import ConfigError
from tunegate.text.numbers import Number, number_of, numbers_in
from tunegate.text.words import ALONE, JOINED, compiled
from tunegate_suites.base import CaseCheck
from tunegate_suites.normalise import plain, typographic
from tunegate_suites.placeholders import fault_of_places, fill_text
from tunegate_suites.text import NO_REFERENCE, Normalising, short

INFLECTED = 4
"""The last word of a phrase may have an ending (`founder effects`) if it has at least this number of letters."""
_YES_NO = frozenset(["yes", "no", "true", "false", "ja", "nein", "oui", "non", "sí", "no", "sì"])
_ARTICLES = "AaIi"
# `A is right` names a choice, `A clear case` begins with an article.
_AFTER_A_CHOICE = "is|was|because|since|as|and|or|nor|but|for|holds|seems|would|fits|applies|of|in|to|with|not|if"


class Contains(CaseCheck, Normalising):
    """The answer contains given texts, or the references.

    By default a word is found as a whole word, a number as a number (`1,200` is 1200, and 5 is not in 150), and a
    single capital letter as a letter whose case counts; the last of several words may have an ending (`founder
    effects`). In scripts without spaces a text is found anywhere.
    """

    shorthand: ClassVar[str | None] = "text"
    example: ClassVar[str] = "contains: autosomal"
    reads_answer_alone: ClassVar[bool] = True
    revision: ClassVar[str] = "2"
    passes_when: ClassVar[str] = "the answer contains the text, or without a text any reference"

    text: str | list[str] | None = None
    """what to look for; `{field}` is filled from the case; default: the references of the case"""
    match: Literal["any", "all"] | None = None
    """how many of several must be found; default: all texts, or any of the references"""
    whole_words: bool | Literal["auto"] = "auto"
    """auto: see above; true: `BLM` is not found in `BLMX`, nor `founder effect` in `founder effects`; false:
    anywhere"""

    @property
    def condition(self) -> str:
        if self.text is None:
            return f"contain {'all references' if self.match == 'all' else 'a reference'}"
        texts = [self.text] if isinstance(self.text, str) else self.text
        return f"contain {' or '.join(map(repr, texts)) if self.match == 'any' else ' and '.join(map(repr, texts))}"

    def prepare(self) -> None:
        if isinstance(self.text, list) and not self.text:
            raise self.config_error(
                "text", "the list is empty, so any answer would pass; add a text or leave the option out"
            )
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
            return (f"{are} so short that nearly any answer contains {shown}: leave out `whole_words: false`",)
        return (
            f"{are} so short ({shown}) that an answer may contain more than one: use `answer: letter` (or a pattern) "
            "with `exact`, which compares only the chosen letter",
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
            return self.invalid("a reference is empty, so any answer would contain it")
        answer = sample.response.text
        missing = [group for group in groups if not any(self._in(text, answer) for text in group)]
        match = self.match or ("all" if self._texts else "any")
        enough = not missing if match == "all" else len(missing) < len(groups)
        shown = short((missing or groups)[0][0])
        return self.passed(enough, enough, "contains the text" if enough else f"does not contain {shown}")

    def _wanted(self, case: Case) -> list[list[str]]:
        """The groups of texts to find; one text of a group is enough, and `match: any` or `all` counts groups."""
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
        return _contains_form(form, self.normal_form(answer), strict=self.whole_words is True)


def _as_number(text: str) -> Number | None:
    """The number of a text that is a number; a number with a leading zero (`007`) is a code."""
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
    """Whether a text is a letter, or two capitals that may be a word in lower case: A and a, IT and it."""
    if not (letters.isascii() and letters.isalpha()) or letters.casefold() in _YES_NO:
        return False
    return len(letters) == 1 or (len(letters) == 2 and letters.isupper())


def _letters(letters: str) -> re.Pattern[str]:
    spelled = letters if letters.isupper() else f"(?i:{letters})"
    article = rf"(?!\s+(?!(?:{_AFTER_A_CHOICE})\b)[a-z])" if letters in _ARTICLES else ""
    abbreviation = r"(?<!\b[^\W\d]\.)", r"(?!\.[a-z]\b)"  # the g of `e.g.`
    return compiled(
        rf"(?<!{JOINED})(?<!\w[-'’]){abbreviation[0]}{spelled}(?!{JOINED}|[+\#]|['’-]\w){abbreviation[1]}{article}"
    )


def _contains_form(form: str, text: str, *, strict: bool) -> bool:
    """Whether a text contains another, from the start of a word to the end of a word."""
    begins, ends = _BEGINS[_kind_of(form)], _ANYWHERE if _ends_freely(form, strict) else _ENDS
    places = (match.start() for match in re.finditer(rf"(?={re.escape(form)})", text))
    return any(begins.match(text, at) and ends.match(text, at + len(form)) for at in places)


def _ends_freely(form: str, strict: bool) -> bool:
    if not _IS_WORD.match(form[-1:]) or _ALONE.match(form[-1:]):
        return True
    *before, last = form.split()
    return not strict and bool(before) and len(last) >= INFLECTED and last.isalpha()


def _kind_of(form: str) -> str:
    if not _IS_WORD.match(form[:1]):
        return "sign"
    return "syllable" if _SYLLABLE.fullmatch(form) else "alone" if _ALONE.match(form) else "word"


_BEGINS = {
    "sign": re.compile(""),
    "word": compiled(rf"(?<!{JOINED})(?<!\b(?:non|anti|pseudo|un)-)(?:(?<!\d[.,])|(?!\d))"),
    "alone": compiled("(?<![不没沒未非])"),  # 不是, 没有
    "syllable": compiled(r"(?<!\p{Hangul})"),  # 간 is a word, but not in 시간
}
"""Where each kind of text may begin; a negation before a word excludes it."""
_ENDS = compiled(
    rf"(?!{JOINED})(?:(?![.,]\d)|(?<!\d))(?:(?!-(?:one|two|three|four|five|six|seven|eight|nine)\b)|(?<!ty))"
)
_ANYWHERE = re.compile("")
_IS_WORD, _ALONE, _SYLLABLE = re.compile(r"\w"), compiled(ALONE), compiled(r"\p{Hangul}")


def _is_risky(text: str, *, anywhere: bool) -> bool:
    form = plain(text)
    few = (len(form) <= 2 and form.isascii() and form.isalpha()) or (len(form) == 1 and _ALONE.match(form) is not None)
    return few or form in _YES_NO or (anywhere and _as_number(text) is not None)
