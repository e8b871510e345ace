"""Regular expressions in suite files: those that match any answer check nothing."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator

from tunegate.text.timing import TooSlow, time_limit

TRIAL_LIMIT_S = 2.0
_LOOKAROUND = re.compile(r"\(\?<?[=!]")


def matches_anything(pattern: re.Pattern[str], *, whole: bool) -> bool:
    """Whether a pattern matches any answer there is, the empty one included, as far as trying tells.

    `whole`: the answer must match from end to end, spaces around it aside. A lookaround may refuse words that no trial
    holds, so a pattern with one gets the benefit of the doubt, as does one that takes too long to try.
    """
    if _LOOKAROUND.search(pattern.pattern):
        return False
    try:
        with time_limit(TRIAL_LIMIT_S):
            return all(pattern.fullmatch(text.strip()) if whole else pattern.search(text) for text in _trials())
    except TooSlow:
        return False


def _trials() -> Iterator[str]:
    """Texts of which any condition refuses one: no text, little text, a long text of every character there is."""
    yield from ("", "a", "0", " ", ".")
    yield "".join(map(chr, range(sys.maxunicode + 1)))
