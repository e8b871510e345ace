"""Words of every script: the one place that says where a word ends.

Where a script puts spaces between words, they divide them. Chinese, Japanese, Thai, Lao, Khmer, Burmese, Tibetan and
their like put none, and finding their words takes a dictionary each, so there a character is a word: an extended
grapheme cluster (Unicode Annex #29), a letter with its vowel signs and marks. Emoji are words in the same way. Texts
that mix scripts are divided by both rules: `BRCA1基因` is three words.

Which scripts these are is Unicode's word: the ideographic and kana scripts, and line-breaking class SA ("complex
context", Unicode Annex #14).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, cast

import regex

_EAST_ASIAN = r"[[\p{L}\p{Nl}\p{No}]&&[\p{Han}\p{scx=Hiragana}\p{scx=Katakana}\p{Bopomofo}\p{Yi}\p{Tangut}\p{Nushu}]]"
_SYLLABIC = r"[[\p{Line_Break=SA}\p{Tibetan}]&&[\p{L}\p{M}]]"
_EMOJI = r"\p{Emoji_Presentation}\p{Regional_Indicator}"
ALONE = rf"[{_EAST_ASIAN}{_SYLLABIC}{_EMOJI}]"
"""The class of the characters that are words of their own."""
JOINED = rf"[\w--{ALONE}--\p{{Hangul}}]"
"""The class of the letters, digits and underscores that make a longer word of what they touch: `5th`, `BLMX`.

Korean puts spaces between words, but none between a number and what is counted, or a word and its particle.
"""

EAST_ASIAN_CHARACTERS, SYLLABIC_CHARACTERS = 1.5, 3.0
"""So many characters say what a word says in a script with spaces, on average."""


def compiled(pattern: str) -> re.Pattern[str]:
    """A pattern of the library `regex`, which knows scripts; it has no types of its own."""
    return cast("re.Pattern[str]", cast(Any, regex).compile(rf"(?V1){pattern}"))


_STANDS_ALONE = compiled(ALONE)
_CANDIDATE = re.compile("[^\0-\u0dff\u10a0-\u11ff\u1e00-\u22ff\uac00-\ud7ff]")
"""What is not of the blocks that most texts are written in, none of whose characters is a word: found faster."""
_CHARACTER = compiled(rf"(?={ALONE})\X")
_OF_EAST_ASIA, _OF_SYLLABIC = compiled(rf"(?={_EAST_ASIAN})\X"), compiled(rf"(?={_SYLLABIC})\X")
_LETTERS = compiled(rf"(?={ALONE})\X|[[\w\p{{No}}]--{ALONE}]+")
_OPENING = r"[\p{Ps}\p{Pi}]*"
_WRITTEN = compiled(rf"{_OPENING}(?={ALONE})\X[\p{{P}}\p{{Cf}}]*|(?:(?!{_OPENING}{ALONE})[^\s\x1c-\x1f])+")
_PLAIN_LETTERS, _PLAIN_WRITTEN = re.compile(r"\w+"), re.compile(r"\S+")


def has_words_of_one_character(text: str) -> bool:
    """Whether a text has characters that are words: of a script without spaces, or emoji."""
    candidate = None if text.isascii() else _CANDIDATE.search(text)
    return candidate is not None and _STANDS_ALONE.search(text, candidate.start()) is not None


def spaced(text: str) -> str:
    """The text with a space on either side of each character that is a word; any other text as it is."""
    return _CHARACTER.sub(r" \g<0> ", text) if has_words_of_one_character(text) else text


def word_spans(text: str) -> Iterator[tuple[int, int]]:
    """Where the words stand, as written: punctuation belongs to the word that it touches."""
    pattern = _WRITTEN if has_words_of_one_character(text) else _PLAIN_WRITTEN
    return (match.span() for match in pattern.finditer(text))


def count_words(text: str) -> int:
    """How many words a text has, as written."""
    return sum(1 for _ in word_spans(text))


def words(text: str) -> list[str]:
    """The runs of letters, marks, digits and underscores, and the characters that are words; no punctuation."""
    return (_PLAIN_LETTERS if text.isascii() else _LETTERS).findall(text)


def words_and_pairs(text: str) -> list[str]:
    """The words, and each two neighbours of one character: one of them alone says little about what a text is on."""
    if not has_words_of_one_character(text):
        return words(text)
    matches = list(_LETTERS.finditer(text))
    pairs = (
        one[0] + other[0]
        for one, other in pairwise(matches)
        if one.end() == other.start() and _STANDS_ALONE.match(one[0]) and _STANDS_ALONE.match(other[0])
    )
    return [*(match[0] for match in matches), *pairs]


def words_by_pairs(text: str) -> list[str]:
    """The words, with each two neighbours of Thai, Lao, Khmer or Burmese in place of one, where they have a neighbour.

    Any two texts of an alphabet share most of their letters, so where the share of words is a score, letters are none;
    a Chinese or Japanese character tells enough.
    """
    if not has_words_of_one_character(text):
        return words(text)
    found: list[str] = []
    before: re.Match[str] | None = None
    for match in _LETTERS.finditer(text):
        syllabic = _OF_SYLLABIC.match(match[0]) is not None
        if syllabic and before is not None and before.end() == match.start():
            if found and found[-1] == before[0]:
                found.pop()
            found.append(before[0] + match[0])
        else:
            found.append(match[0])
        before = match if syllabic else None
    return found


def length_in_words(normal: str) -> float:
    """How much a text says, in words of a script with spaces; `normal` is a normal form (`normalised`).

    What bounds the shortest text that can be compared counts this way: eight words of English say what twelve
    characters of Chinese say, or 24 of Thai.
    """
    count = len(normal.split())
    if not has_words_of_one_character(normal):
        return count
    east_asian, syllabic = len(_OF_EAST_ASIA.findall(normal)), len(_OF_SYLLABIC.findall(normal))
    others = count - east_asian - syllabic
    return round(others + east_asian / EAST_ASIAN_CHARACTERS + syllabic / SYLLABIC_CHARACTERS, 6)
