"""Which language a text is in (by `langdetect`), the same answer every time."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from tunegate.optional import optional_import

MAX_CHARS = 3000
"""What a language is told from; more makes no difference but takes longer."""

MIN_LETTERS = 10
"""Different letters that a text needs; `x x x x` is no language."""


def likeliest_language(text: str, min_letters: int = 20) -> tuple[str, float] | None:
    """Its code (`en`, `zh-cn`) and probability; None for a text of fewer letters, or where none stands out.

    Raises MissingExtra.
    """
    text = text[:MAX_CHARS]
    letters = [letter for letter in text if letter.isalpha()]
    if len(letters) < min_letters or len(set(letters)) < MIN_LETTERS:
        return None
    detector = profiles().create()
    detector.append(text)
    missing = optional_import("langdetect.lang_detect_exception", "text", _WHAT)
    try:
        first, *_ = detector.get_probabilities()
    except (missing.LangDetectException, ValueError):  # nothing to tell a language from, or none that stands out
        return None
    return first.lang, first.prob


_WHAT = "telling the language of a text"


@lru_cache(maxsize=1)
def profiles() -> Any:
    """langdetect's profiles. It draws random numbers; a factory of our own keeps them the same every time."""
    module = optional_import("langdetect.detector_factory", "text", _WHAT)
    factory = module.DetectorFactory()
    factory.load_profile(module.PROFILES_DIRECTORY)
    factory.set_seed(0)
    return factory
