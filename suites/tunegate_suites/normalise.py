"""The normal forms in which two answers count as the same text.

`plain` (the default of `exact` and `contains`): Unicode NFKC (full-width forms, ligatures, no-break and thin spaces),
typographic quotes, apostrophes, hyphens, dashes and the minus sign as those of a keyboard, case folded, invisible
characters removed, 10² as 10^2 and 1½ as 1 1/2, whitespace collapsed, and quotes, brackets, markdown emphasis and
sentence punctuation removed from the ends. Characters with a meaning stay: `-5`, `50%`, `C#` and `.5` are not `5`,
`50`, `C` and `5`.

`squad`: lower case, ASCII punctuation and the articles a, an, the removed, whitespace collapsed, as in the official
evaluation of SQuAD (Rajpurkar et al., EMNLP 2016). It removes more: `-5` is `5`.
"""

from __future__ import annotations

import re
import string
import unicodedata

_OPENING = "\"'`*_~“”‘’«»‹›„‚([{（「『《【¿¡"
_CLOSING = "\"'`*_~“”‘’«»‹›)]}）」』》】.,;:!?…。，、；：！？؟،۔"
# Zero-width space, word joiner, byte order mark, direction marks and isolates. The zero-width joiners stay: they are
# part of emoji and of Persian words.
_INVISIBLE = dict.fromkeys([0x200B, 0x2060, 0xFEFF, 0x00AD, 0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F)])
_INVISIBLE |= dict.fromkeys(range(0x2066, 0x206A))
_ONE_FORM = {
    **dict.fromkeys(map(ord, "‘’‚‛ʼʻ′‵´＇‹›"), "'"),
    **dict.fromkeys(map(ord, "“”„‟″‶＂«»〝〞〟"), '"'),
    **dict.fromkeys(map(ord, "‐‑‒–—―−⁃﹘﹣－"), "-"),
}
_POWER = re.compile(r"(?<=\d)(?=[⁺⁻]?[⁰¹²³⁴-⁹])")
"""The start of a power after a digit: NFKC would turn 10² into 102. `m²` and `O₂` are also written m2 and O2."""
_MIXED = re.compile(r"(?<=\d)(?=[¼-¾⅐-⅞])")
_NO_PUNCTUATION = dict.fromkeys(map(ord, string.punctuation))
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")


def typographic(text: str) -> str:
    """The text with one form for each character (see above), with its capitals. White space is collapsed."""
    if not text.isascii():
        text = _MIXED.sub(" ", _POWER.sub("^", text.translate(_INVISIBLE | _ONE_FORM)))  # 10² and 1½
        text = unicodedata.normalize("NFKC", text).translate(_ONE_FORM).replace("\u2044", "/")
    return " ".join(text.split())


def plain(text: str) -> str:
    """The default normal form; empty only for texts without a visible character."""
    folded = typographic(text).casefold()
    if not folded.isascii():
        folded = " ".join(unicodedata.normalize("NFKC", folded).translate(_ONE_FORM).split())
        folded = folded.replace("i\u0307", "i")  # the case-folded form of Turkish İ
    # An answer of punctuation alone ("..." or "?") is still an answer, and two such answers may differ.
    return folded.lstrip(_OPENING + " ").rstrip(_CLOSING + " ") or folded


def squad(text: str) -> str:
    """The normal form of SQuAD's evaluation script."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split())


def as_is(text: str) -> str:
    """No normalisation at all."""
    return text
