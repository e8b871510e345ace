"""The text with which several texts begin."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import takewhile


def common_start(texts: Iterable[str]) -> str:
    """The longest text with which all of them begin; empty without any.

    >>> common_start(["What gene?", "What is it?"])
    'What '
    """
    known = list(texts)
    # Between the smallest and the largest text, in alphabetical order, all others begin alike, too.
    first, last = min(known, default=""), max(known, default="")
    same = takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
    return "".join(letter for letter, _ in same)
