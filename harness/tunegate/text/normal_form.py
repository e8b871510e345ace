"""Normal forms that remove differences which people do not see: invisible characters, marks and look-alikes.

For comparison only: texts that are shown, asked or trained on are not changed.
"""

from __future__ import annotations

import html
import re
import unicodedata
from functools import cache
from itertools import chain

from tunegate.text.words import spaced

_MARKS = (*range(0x300, 0x370), *range(0x1AB0, 0x1B00), *range(0x1DC0, 0x1E00), *range(0x20D0, 0x2100))
"""Combining marks of no particular script: accents, enclosing circles and so on."""
_POINTS = (
    *(*range(0x591, 0x5BE), 0x5BF, 0x5C1, 0x5C2, 0x5C4, 0x5C5, 0x5C7, *range(0x610, 0x61B), 0x640),
    *(*range(0x64B, 0x660), 0x670, *range(0x6D6, 0x6DD), *range(0x6DF, 0x6E5), 0x6E7, 0x6E8, *range(0x6EA, 0x6EE)),
)
"""Vowel points of Hebrew and Arabic, and the stroke that stretches an Arabic word: most texts do not write them."""
_SELECTORS = (*range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xFE20, 0xFE30), *range(0xE0100, 0xE01F0))
_BLANKS = (0x115F, 0x1160, 0x2800, 0x3164, 0xFFA0)
"""Letters and symbols, by their category, that look like a blank."""

_CYRILLIC = dict(zip("авгеікмнорстухѕјһӏԁԛԝѵ", "abreikmhopctyxsjhldqwv", strict=True))
_GREEK = dict(zip("αεηικνορτυχμ", "aenikvoptuxu", strict=True))
_GREEK_CAPITALS = dict(zip("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "abezhikmnoptyx", strict=True))
_SMALL = str.maketrans({**_CYRILLIC, **_GREEK})
_AS_WRITTEN = str.maketrans({**_CYRILLIC, **{k.upper(): v for k, v in _CYRILLIC.items()}, **_GREEK, **_GREEK_CAPITALS})
_LATIN_TWINS = str.maketrans("ɑɡıɩʼ", "agii'")

_FOREIGN = r"\u0370-\u03ff\u0400-\u052f"
_FOREIGN_WORD = re.compile(rf"\w*[{_FOREIGN}]\w*")
_HAS_FOREIGN = re.compile(rf"[{_FOREIGN}]")
_HAS_LATIN = re.compile("[a-z]", re.IGNORECASE)
_POSSESSIVE = re.compile(r"(?<=\w)['’‘ʼ′`´＇][sS]\b")


def visible(text: str) -> str:
    """The text without invisible characters: format and control characters, variation selectors, fillers."""
    return text.translate(_unseen()) if not text.isascii() or _CONTROL.search(text) else text


_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1b\x7f]")


def unescaped(text: str) -> str:
    """The text with HTML entities as characters, even if they were escaped twice, and without invisible characters."""
    for _ in range(2):
        if "&" in text:
            text = html.unescape(text)
    return visible(text)


def undisguised(text: str) -> str:
    """One spelling for texts that read the same: NFKD, case-folded, without accents, look-alikes and possessive 's."""
    text = _POSSESSIVE.sub("", unescaped(text))
    if text.isascii():
        return text.casefold()
    # Possessives twice: NFKD decomposes ´, and a mark may precede the apostrophe.
    text = _marks_of_other_scripts().sub("", unicodedata.normalize("NFKD", text).translate(_unseen(marks=True)))
    text = _POSSESSIVE.sub("", text.translate(_LATIN_TWINS))
    return _FOREIGN_WORD.sub(_in_latin, text).casefold()


def normalised(text: str) -> str:
    """A text for comparison: `undisguised`, without punctuation, with one space between words of every script."""
    if "<" in text:
        text = _LAYOUT.sub(" ", _LETTERING.sub("", text))
        text = _TAG.sub(r" \1 ", text)
    return " ".join(spaced(undisguised(text).translate(_punctuation())).split())


_LETTERING = re.compile(
    r"</?(?:a|abbr|b|bdi|big|cite|code|del|dfn|em|font|i|ins|kbd|mark|q|s|samp|small|span|strike|strong|sub|sup|tt|u|var)"
    r"(?:\s[^<>]*)?/?>",
    re.IGNORECASE,
)
_LAYOUT = re.compile(
    r"</?(?:blockquote|body|br|center|dd|div|dl|dt|h[1-6]|hr|html|img|li|ol|p|pre|section|table|tbody|td|th|thead|tr|ul)"
    r"(?:\s[^<>]*)?/?>",
    re.IGNORECASE,
)
"""HTML tags that only change how a text looks, within a word and between words."""
_TAG = re.compile(r"</?([A-Za-z][\w-]*(?:\s[^<>]*)?)/?>")
"""A tag of HTML or XML: its name is a word of its own, not part of the word next to it."""


@cache
def _punctuation() -> dict[int, str]:
    """A table that turns punctuation into spaces; symbols stay, since 1+1 is not 1-1."""
    return _Punctuation()


class _Punctuation(dict[int, str]):
    """Looks up a character when a text has it: a table of all characters takes longer than a gate's texts."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        self[code] = found = " " if unicodedata.category(char).startswith("P") and char != "-" else char
        return found


def _in_latin(match: re.Match[str]) -> str:
    """A word in Latin letters if all its Cyrillic or Greek letters look Latin; any other word as it is.

    A word without a Latin letter may be real Greek: its case is folded first, so that its capitals remain Greek.
    """
    word = match[0]
    latin = word.translate(_AS_WRITTEN) if _HAS_LATIN.search(word) else word.casefold().translate(_SMALL)
    return word if _HAS_FOREIGN.search(latin) else latin


@cache
def _unseen(marks: bool = False) -> dict[int, str]:
    table = {code: "" for code in _codes("Cf", "Cc") if not chr(code).isspace()}
    table |= dict.fromkeys((0x34F, *_SELECTORS), "") | dict.fromkeys(_BLANKS, " ")
    return table | dict.fromkeys((*_MARKS, *_POINTS), "") if marks else table


@cache
def _marks_of_other_scripts() -> re.Pattern[str]:
    """Marks after letters of a script that does not use them; vowel signs of Hindi, for example, stay."""
    found = "".join(chr(code) for code in _codes("Mn", "Me"))
    return re.compile(rf"(?<=[\x00-\u058f])[{re.escape(found)}]+")


def _codes(*categories: str) -> list[int]:
    return [code for category in categories for code in _by_category()[category]]


@cache
def _by_category() -> dict[str, list[int]]:
    """The characters of the planes 0 and 1, and the tags and selectors of plane 14, by category.

    The other planes have ideographs, private characters or nothing; including them would take eight times as long in
    each process that compares a text.
    """
    found: dict[str, list[int]] = {}
    for code in chain(range(0x20000), range(0xE0000, 0xE1000)):
        found.setdefault(unicodedata.category(chr(code)), []).append(code)
    return found
