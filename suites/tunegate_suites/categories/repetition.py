"""`repetition`: an answer that is caught in a loop."""

from __future__ import annotations

import re
from collections.abc import Sequence
from operator import eq

from tunegate.checks.check import Sample
from tunegate.checks.outcome import ErrorSpan
from tunegate.text.words import has_words_of_one_character, word_spans
from tunegate_suites.categories.settings import ErrorSettings, span

CHARACTERS_A_WORD = 3
"""The factor from the longest phrase in words to its length in characters: a Thai word has three or more."""
LONG_WORD = 40
"""Longer words are examined letter by letter: `aaaa` is a loop too."""
_STRETCH = re.compile(rb"\x01+")
_MARKUP = re.compile(r"[\s!-/:-@\[-`{-~─-╿–—…·•]+")
"""A line of dashes or the bars of a table are not a loop."""


def repetition(sample: Sample, settings: ErrorSettings) -> list[ErrorSpan]:
    """A phrase of up to `ngram` words that is repeated `repeats` times in a row, also within one endless word.

    In a script without spaces, a phrase has at least two characters: 哈哈哈 is a laugh, 好的好的好的 is a loop.
    """
    text = sample.response.text
    spans = list(word_spans(text))
    words = [text[start:end].casefold() for start, end in spans]
    characters = has_words_of_one_character(text)
    longest = settings.ngram * CHARACTERS_A_WORD if characters else settings.ngram
    found = [
        span("repetition", text, spans[first][0], spans[last - 1][1])
        for first, last in loops(words, longest, settings.repeats)
        if not _MARKUP.fullmatch(text, spans[first][0], spans[last - 1][1])
        and not (characters and _is_drawn_out(words[first:last], 2 * settings.repeats))
    ]
    for start, end in spans:
        if end - start > LONG_WORD:
            found += _loops_in_word(text[start:end], start, text, settings)
    return sorted(found, key=lambda error: error.start)


def _is_drawn_out(words: Sequence[str], fewest: int) -> bool:
    """Whether a loop is one character that is repeated fewer than `fewest` times."""
    return len(words) < fewest and len(set(words)) == 1 and has_words_of_one_character(words[0])


def _loops_in_word(word: str, offset: int, text: str, settings: ErrorSettings) -> list[ErrorSpan]:
    return [
        span("repetition", text, offset + first, offset + last)
        for first, last in loops(word, 20, settings.repeats)
        if last - first > LONG_WORD and not _MARKUP.fullmatch(word, first, last)
    ]


def loops(items: Sequence[str], longest: int, repeats: int) -> list[tuple[int, int]]:
    """Ranges `[first, last)` in which phrases of at most `longest` items are repeated at least `repeats` times in a
    row.

    Item i is in a loop of period p as long as it equals item i - p. Ranges that overlap or touch are merged. Time:
    len(items) x longest.
    """
    looping = bytearray(len(items))
    for period in range(1, min(longest, len(items) // repeats) + 1):
        if sum(map(eq, items[period:], items)) < period * (repeats - 1):
            continue  # too few equal items in all, and so in any row: true of most texts
        first = 0  # start of the current loop
        for i in range(period, len(items) + 1):
            if i < len(items) and items[i] == items[i - period]:
                continue
            if i - first >= period * repeats:
                looping[first:i] = b"\1" * (i - first)
            first = i - period + 1
    return [match.span() for match in _STRETCH.finditer(looping)]
