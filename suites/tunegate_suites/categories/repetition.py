"""`repetition`: an answer that got into a loop."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tunegate.checks import Sample
from tunegate.outcomes import ErrorSpan
from tunegate_suites.categories.settings import ErrorSettings, span

LONG_WORD = 40
"""Longer runs without a space are looked at letter by letter: loops have no spaces in Chinese, or in `aaaa`."""
_WORD = re.compile(r"\S+")
_STRETCH = re.compile(rb"\x01+")
_MARKUP = re.compile(r"[\s!-/:-@\[-`{-~─-╿–—…·•]+")
"""A row of dashes or the bars of a table is no loop."""


def repetition(sample: Sample, settings: ErrorSettings) -> list[ErrorSpan]:
    """A phrase of up to `ngram` words that stands `repeats` times in a row, or the same within one endless word."""
    text = sample.response.text
    matches = list(_WORD.finditer(text))
    words = [match.group().casefold() for match in matches]
    found = [
        span("repetition", text, matches[first].start(), matches[last - 1].end())
        for first, last in loops(words, settings.ngram, settings.repeats)
        if not _MARKUP.fullmatch(text, matches[first].start(), matches[last - 1].end())
    ]
    for match in matches:
        if match.end() - match.start() > LONG_WORD:
            found += _loops_in_word(text, match, settings)
    return sorted(found, key=lambda error: error.start)


def _loops_in_word(text: str, match: re.Match[str], settings: ErrorSettings) -> list[ErrorSpan]:
    word, offset = match.group(), match.start()
    return [
        span("repetition", text, offset + first, offset + last)
        for first, last in loops(word, 20, settings.repeats)
        if last - first > LONG_WORD and not _MARKUP.fullmatch(word, first, last)
    ]


def loops(items: Sequence[str], longest: int, repeats: int) -> list[tuple[int, int]]:
    """Stretches `[first, last)` in which phrases of at most `longest` items stand at least `repeats` times in a row.

    Item i is in a loop of period p as long as it equals item i - p. Stretches that overlap or touch are one. Time:
    len(items) x longest.
    """
    looping = bytearray(len(items))
    for period in range(1, min(longest, len(items) // repeats) + 1):
        first = 0  # start of the current loop
        for i in range(period, len(items) + 1):
            if i < len(items) and items[i] == items[i - period]:
                continue
            if i - first >= period * repeats:
                looping[first:i] = b"\1" * (i - first)
            first = i - period + 1
    return [match.span() for match in _STRETCH.finditer(looping)]
