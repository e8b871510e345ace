"""`wrong_language`: an answer in another language than asked for."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from tunegate.checks import Sample
from tunegate.exceptions import MissingExtra
from tunegate.outcomes import ErrorSpan
from tunegate_suites.categories.settings import ErrorSettings, span

if TYPE_CHECKING:
    from langdetect.detector_factory import DetectorFactory

SURE = 0.9
"""Probability from which on another language counts as found."""
MAX_CHARS = 3000
"""What a language is told from; more makes no difference but takes longer."""

MIN_LETTERS = 10
"""Different letters that a text needs; `x x x x` is no language."""


def wrong_language(sample: Sample, settings: ErrorSettings) -> list[ErrorSpan]:
    """An answer of at least `language_min_chars` letters that is surely not in `language` (by `langdetect`)."""
    text = sample.response.text
    letters = [letter for letter in text[:MAX_CHARS] if letter.isalpha()]
    if len(letters) < settings.language_min_chars or len(set(letters)) < MIN_LETTERS:
        return []
    likeliest = _detect(text[:MAX_CHARS])
    if likeliest is None or likeliest[0].split("-")[0] == settings.language.split("-")[0] or likeliest[1] < SURE:
        return []
    return [span("wrong_language", text, 0, len(text))]


def _detect(text: str) -> tuple[str, float] | None:
    from langdetect.lang_detect_exception import LangDetectException

    detector = profiles().create()
    detector.append(text)
    try:
        first, *_ = detector.get_probabilities()
    except (LangDetectException, ValueError):  # nothing to tell a language from, or none that stands out
        return None
    return first.lang, first.prob


@lru_cache(maxsize=1)
def profiles() -> DetectorFactory:
    """langdetect's profiles. It draws random numbers; a factory of our own keeps them the same every time."""
    try:
        from langdetect.detector_factory import PROFILES_DIRECTORY, DetectorFactory
    except ImportError as error:
        raise MissingExtra("the error category 'wrong_language'", "text", error) from error
    factory = DetectorFactory()
    factory.load_profile(PROFILES_DIRECTORY)
    factory.set_seed(0)
    return factory
