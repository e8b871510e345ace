"""Personal data in a text: found by form and check digits, and masked. Only the kind is shown, never the data.

It prefers to miss data rather than to report what is not personal: a number counts only in a form that identifies it (a
check digit, `+` and a country code, a word such as "phone" before it). So it misses data without such a form; names of
people need a model (`pii_names`).
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from tunegate.text.pii_numbers import (
    IBAN_LENGTHS,
    is_card,
    is_codice_fiscale,
    is_cpf,
    is_dni,
    is_iban,
    is_nir,
    is_ssn,
)

Kind = Literal["email", "phone", "iban", "card", "national_id", "name"]

FindNames = Callable[[str], Sequence[tuple[int, int]]]
"""From a text to the positions of people's names in it."""


@dataclass(frozen=True, slots=True)
class Found:
    """Personal data at text[start:end]."""

    kind: Kind
    start: int
    end: int


def find_pii(text: str, find_names: FindNames | None = None) -> list[Found]:
    """The personal data in a text, in order and without overlaps; of two that overlap, the first in `Kind` stays.

    Invisible characters do not count, and spaces, hyphens and letters of full width are read as they are typed.
    """
    found: list[Found] = []
    names = () if find_names is None else (Found("name", start, end) for start, end in find_names(text))
    for one in (*_as_typed(text), *names):
        at = bisect_left(found, one.start, key=lambda other: other.end)
        while at < len(found) and found[at].end <= one.start:
            at += 1
        if at == len(found) or one.end <= found[at].start:
            found.insert(at, one)
    return found


def mask(text: str, found: Sequence[Found]) -> str:
    """The text with everything found replaced by its kind in brackets: `write to [EMAIL]`."""
    for one in reversed(found):
        text = f"{text[: one.start]}[{one.kind.upper()}]{text[one.end :]}"
    return text


_TYPED = (
    dict.fromkeys((0xA0, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000), " ")
    | dict.fromkeys((0x2010, 0x2011), "-")
    | {code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}
)
_UNSEEN = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")


def _as_typed(text: str) -> Iterator[Found]:
    """What is found in the text as somebody would type it, at its places in the text."""
    if text.isascii():
        return _all(text)
    typed = text.translate(_TYPED)
    if not _UNSEEN.search(typed):
        return _all(typed)
    seen = [at for at, char in enumerate(typed) if not _UNSEEN.match(char)]
    found = _all(_UNSEEN.sub("", typed))
    return (Found(one.kind, seen[one.start], seen[one.end - 1] + 1) for one in found)


def _all(text: str) -> Iterator[Found]:
    if "@" in text:
        yield from (Found("email", *match.span()) for match in _EMAIL.finditer(text) if _is_mailbox(match[0]))
    if _HAS_CHECK_DIGITS.search(text):
        yield from _ibans(text)
    if _HAS_A_NUMBER.search(text):
        yield from _cards(text)
        yield from _national_ids(text)
        yield from _phones(text)


_HAS_CHECK_DIGITS = re.compile(r"\d\d")
"""Every account below matches this, and most texts do not: they need no closer check."""
_HAS_A_NUMBER = re.compile(r"\d(?:\D{0,3}\d){6}")
"""The same for cards, national ids and phone numbers, whose eight patterns take thirty times as long as this one."""

# --- e-mail --------------------------------------------------------------------------------------------------------

_EMAIL = re.compile(r"(?<![\w.%+-])[\w.%+-]{1,64}@(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,8}[^\W\d_]{2,24}(?![\w@])")
_NOBODYS = re.compile(r"@(?:.*\.)?(?:example\.(?:com|org|net)|(?:.*\.)?(?:example|test|invalid|localhost))$", re.I)
"""Domains that belong to nobody (RFC 2606)."""


def _is_mailbox(address: str) -> bool:
    return not _NOBODYS.search(address)


# --- accounts and cards --------------------------------------------------------------------------------------------

_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]){11,30}", re.I)
_CARD = re.compile(r"(?<![\w.,+-])\d(?:[ -]?\d){12,18}(?![\w-]|[.,]\d)")


def _ibans(text: str) -> Iterator[Found]:
    for match in _IBAN.finditer(text):
        length = IBAN_LENGTHS.get(match[0][:2].upper())
        end = None if length is None else _end_after(text, match.start(), length)
        if end is None or text[end : end + 1].isalnum():
            continue
        if is_iban(_bare(text[match.start() : end]).upper()):
            yield Found("iban", match.start(), end)


def _end_after(text: str, start: int, count: int) -> int | None:
    """The end of the next `count` letters and digits, not counting blanks and hyphens."""
    for at in range(start, min(len(text), start + 2 * count)):
        if text[at] not in " -":
            count -= 1
        if count == 0:
            return at + 1
    return None


def _cards(text: str) -> Iterator[Found]:
    for match in _CARD.finditer(text):
        if is_card(_bare(match[0])):
            yield Found("card", *match.span())


def _bare(text: str) -> str:
    return re.sub(r"[ .-]", "", text)


# --- national ids --------------------------------------------------------------------------------------------------

_NATIONAL_IDS: tuple[tuple[re.Pattern[str], Callable[[str], bool]], ...] = (
    (re.compile(r"(?<![\w.-])\d{3}-\d{2}-\d{4}(?![\w-]|\.\d)"), is_ssn),
    (re.compile(r"(?<![\w.-])(?:\d{8}|[XYZ]-?\d{7})-?[A-HJ-NP-TV-Z](?![\w-])"), is_dni),
    (re.compile(r"(?<!\w)[A-Z]{6}\d\d[A-EHLMPRST]\d\d[A-Z]\d{3}[A-Z](?!\w)"), is_codice_fiscale),
    (re.compile(r"(?<![\w.,+-])[12] ?\d\d ?(?:0[1-9]|1[0-2]) ?(?:\d\d|2[AB]) ?\d{3} ?\d{3} ?\d\d(?![\w.,-])"), is_nir),
    (re.compile(r"(?<![\w.-])\d{3}\.\d{3}\.\d{3}-\d{2}(?![\w-])"), is_cpf),
)
"""USA, Spain, Italy, France, Brazil: the written form of each, and its check."""


def _national_ids(text: str) -> Iterator[Found]:
    for pattern, holds in _NATIONAL_IDS:
        for match in pattern.finditer(text):
            if holds(_bare(match[0])):
                yield Found("national_id", *match.span())


# --- phone numbers -------------------------------------------------------------------------------------------------

_INTERNATIONAL = re.compile(
    r"(?<![\w+.])(?:\+|(?<!\d[ -])00(?=[1-9]\d[ ./-]))[1-9](?:[ ()./-]{0,3}\d){7,14}(?![\w]|[.,]\d)"
)
_AMERICAN = re.compile(r"(?<![\w.+-])(?:1[ .-])?(?:\([2-9]\d\d\) ?|[2-9]\d\d[ .-])[2-9]\d\d[ .-]\d{4}(?![\w-]|[.,]\d)")
_AFTER_A_WORD = re.compile(
    r"\b(?:phone|telephone|tel|mobile|fax|whatsapp|call|telefon|handy|téléphone|tél|portable|teléfono|móvil|telefono)"
    r"(?: number| no| nr| me| us| at| on| is)*[ .:#]{0,4}(?P<number>[0(]?\d(?:[ ()./-]{0,2}\d){6,14})(?![\w-]|[.,]\d)",
    re.I,
)
_YEARS_OR_DATE = re.compile(
    r"(?:(?:19|20)\d\d[ ./-]+(?:19|20)\d\d|(?:19|20)\d\d[./-]?\d\d[./-]?\d\d|\d\d?[./-]\d\d?[./-]\d{4})$"
)


def _phones(text: str) -> Iterator[Found]:
    yield from (Found("phone", *match.span()) for match in _INTERNATIONAL.finditer(text))
    yield from (Found("phone", *match.span()) for match in _AMERICAN.finditer(text))
    for match in _AFTER_A_WORD.finditer(text):
        if not _YEARS_OR_DATE.match(match["number"]):
            yield Found("phone", *match.span("number"))
