"""Words of every script: the only module that decides where a word ends.

If a script puts spaces between words, spaces separate them. Chinese, Japanese, Thai, Lao, Khmer, Burmese, Tibetan and
similar scripts do not, and each would need a dictionary to find words, so there a character is a word: an extended
grapheme cluster (Unicode Annex #29), which is a letter with its vowel signs and marks. Emoji are words in the same way.
Texts that mix scripts are split by both rules: `BRCA1基因` is three words.

Unicode defines these scripts: the ideographic and kana scripts, and line-breaking class SA ("complex context", Unicode
Annex #14).
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
"""The character class of characters that are words by themselves."""
JOINED = rf"[\w--{ALONE}--\p{{Hangul}}]"
"""The character class of letters, digits and underscores that extend the word next to them: `5th`, `BLMX`.

Korean puts spaces between words, but not between a number and its counter, or between a word and its particle.
"""

EAST_ASIAN_CHARACTERS, SYLLABIC_CHARACTERS = 1.5, 3.0
"""The average number of characters that say as much as one word of a script with spaces."""


def compiled(pattern: str) -> re.Pattern[str]:
    """A pattern of the library `regex`, which supports scripts; the library has no type annotations."""
    return cast("re.Pattern[str]", cast(Any, regex).compile(rf"(?V1){pattern}"))


_STANDS_ALONE = compiled(ALONE)
_CANDIDATE = re.compile("[^\0-\u0dff\u10a0-\u11ff\u1e00-\u22ff\uac00-\ud7ff]")
"""Characters outside the blocks that most texts use. No character of those blocks is a word, so this test is faster."""
_CHARACTER = compiled(rf"(?={ALONE})\X")
_OF_EAST_ASIA, _OF_SYLLABIC = compiled(rf"(?={_EAST_ASIAN})\X"), compiled(rf"(?={_SYLLABIC})\X")
_LETTERS = compiled(rf"(?={ALONE})\X|[[\w\p{{No}}]--{ALONE}]+")
_OPENING = r"[\p{Ps}\p{Pi}]*"
_WRITTEN = compiled(rf"{_OPENING}(?={ALONE})\X[\p{{P}}\p{{Cf}}]*|(?:(?!{_OPENING}{ALONE})[^\s\x1c-\x1f])+")
_PLAIN_LETTERS, _PLAIN_WRITTEN = re.compile(r"\w+"), re.compile(r"\S+")


def has_words_of_one_character(text: str) -> bool:
    """Whether a text has characters that are words: from a script without spaces, or emoji."""
    candidate = None if text.isascii() else _CANDIDATE.search(text)
    return candidate is not None and _STANDS_ALONE.search(text, candidate.start()) is not None


def spaced(text: str) -> str:
    """The text with a space before and after each character that is a word; any other text as it is."""
    return _CHARACTER.sub(r" \g<0> ", text) if has_words_of_one_character(text) else text


def word_spans(text: str) -> Iterator[tuple[int, int]]:
    """The spans of the words as written: punctuation belongs to the word next to it."""
    pattern = _WRITTEN if has_words_of_one_character(text) else _PLAIN_WRITTEN
    return (match.span() for match in pattern.finditer(text))


def count_words(text: str) -> int:
    """The number of words in a text, as written."""
    return sum(1 for _ in word_spans(text))


def words(text: str) -> list[str]:
    """The sequences of letters, marks, digits and underscores, and the characters that are words; no punctuation."""
    return (_PLAIN_LETTERS if text.isascii() else _LETTERS).findall(text)


def words_and_pairs(text: str) -> list[str]:
    """The words, and each pair of adjacent one-character words: one character alone says little about the topic."""
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
    """The words, with pairs of adjacent characters of Thai, Lao, Khmer or Burmese instead of single characters.

    Any two texts in an alphabet share most of their letters, so single letters must not count when the share of common
    words is a score; a Chinese or Japanese character says enough.
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
    """The length of a text in equivalent words of a script with spaces; `normal` is a normal form (`normalised`).

    The minimum length of texts that can be compared is in this unit: eight words of English are equivalent to twelve
    characters of Chinese or 24 of Thai.
    """
    count = len(normal.split())
    if not has_words_of_one_character(normal):
        return count
    east_asian, syllabic = len(_OF_EAST_ASIA.findall(normal)), len(_OF_SYLLABIC.findall(normal))
    others = count - east_asian - syllabic
    return round(others + east_asian / EAST_ASIAN_CHARACTERS + syllabic / SYLLABIC_CHARACTERS, 6)
