"""Regular expressions in suite files: a pattern that matches any answer checks nothing."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator

from tunegate.text.timing import TooSlow, time_limit

TRIAL_LIMIT_S = 2.0
_LOOKAROUND = re.compile(r"\(\?<?[=!]")


def matches_anything(pattern: re.Pattern[str], *, whole: bool) -> bool:
    """Whether a pattern matches any answer, including the empty one, as far as trials can show.

    `whole`: the whole answer must match, without the spaces around it. A lookaround may refuse words that are in no
    trial, so a pattern with a lookaround is accepted, and so is a pattern that takes too long to try.
    """
    if _LOOKAROUND.search(pattern.pattern):
        return False
    try:
        with time_limit(TRIAL_LIMIT_S):
            return all(pattern.fullmatch(text.strip()) if whole else pattern.search(text) for text in _trials())
    except TooSlow:
        return False


def _trials() -> Iterator[str]:
    """Texts such that any condition refuses one of them: empty, short, and a long text of all characters."""
    yield from ("", "a", "0", " ", ".")
    yield "".join(map(chr, range(sys.maxunicode + 1)))
