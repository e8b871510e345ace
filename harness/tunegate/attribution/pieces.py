"""Cuts a prompt into the pieces that are left out one by one: words where it is short, sentences where it is long."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise

from tunegate.attribution.explanation import Pieces, Unit

MOST_PIECES = 32
"""More pieces would cost more passes and say less about each, so neighbours are merged."""

_WORD = re.compile(r"\S+")
_SENTENCE = re.compile(r"(?<=[.!?;:。！？])\s+|\n+")


def pieces_of(text: str) -> Pieces:
    """The words of a short text, the sentences of a long one; at most `MOST_PIECES`, which cover the text.

    >>> pieces_of("Which gene?").spans
    ((0, 6), (6, 11))
    """
    words = [match.start() for match in _WORD.finditer(text)]
    if len(words) <= MOST_PIECES:
        return _covering(text, words, "word")
    sentences = [0, *(match.end() for match in _SENTENCE.finditer(text) if match.end() < len(text))]
    if len(sentences) > MOST_PIECES:
        return _covering(text, _fewer(sentences), "group of sentences")
    if len(sentences) < 4:
        return _covering(text, _fewer(words), "group of words")
    return _covering(text, sentences, "sentence")


def _fewer(starts: Sequence[int]) -> list[int]:
    """Merge neighbours evenly."""
    return [starts[place * len(starts) // MOST_PIECES] for place in range(MOST_PIECES)]


def _covering(text: str, starts: Sequence[int], unit: Unit) -> Pieces:
    """Each piece reaches to the start of the next, so that white space belongs to the piece before it."""
    if not starts:
        return Pieces(unit, ((0, len(text)),) if text else ())
    bounds = [0, *starts[1:], len(text)]
    return Pieces(unit, tuple(pairwise(bounds)))


def tokens_in(pieces: Pieces, ends: Sequence[int]) -> list[list[int]]:
    """The tokens of each piece, by the place of their last character: a token may begin with the space before a word.

    `ends` holds the offset after the last character of each token.
    """
    starts = [start for start, _ in pieces.spans]
    found: list[list[int]] = [[] for _ in starts]
    for token, end in enumerate(ends):
        found[bisect_right(starts, end - 1) - 1].append(token)
    return found
