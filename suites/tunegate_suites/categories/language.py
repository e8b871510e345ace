"""`wrong_language`: an answer in another language than asked for."""

from __future__ import annotations

from tunegate.checks import Sample
from tunegate.data.languages import likeliest_language
from tunegate.outcomes import ErrorSpan
from tunegate_suites.categories.settings import ErrorSettings, span

SURE = 0.9
"""Probability from which on another language counts as found."""


def wrong_language(sample: Sample, settings: ErrorSettings) -> list[ErrorSpan]:
    """An answer of at least `language_min_chars` letters that is surely not in `language` (by `langdetect`)."""
    text = sample.response.text
    likeliest = likeliest_language(text, settings.language_min_chars)
    if likeliest is None or likeliest[0].split("-")[0] == settings.language.split("-")[0] or likeliest[1] < SURE:
        return []
    return [span("wrong_language", text, 0, len(text))]
