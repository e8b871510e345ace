"""`wrong_language`: an answer in another language than required."""

from __future__ import annotations

from tunegate.checks.check import Sample
from tunegate.checks.outcome import ErrorSpan
from tunegate.data.languages import NO_LANGUAGE, base_code, likeliest_language
from tunegate_suites.categories.settings import ErrorSettings, span

SURE = 0.7
"""The probability from which another language counts as detected. With this value, none of 3,165 real English answers
was flagged, and 535 of 567 texts in 34 other languages were."""


def wrong_language(sample: Sample, settings: ErrorSettings) -> list[ErrorSpan]:
    """An answer of at least `language_min_chars` letters that is clearly not in `language` (by `py3langid`)."""
    text = sample.response.text
    likeliest = likeliest_language(text, settings.language_min_chars)
    if likeliest is None or likeliest[0] in (NO_LANGUAGE, base_code(settings.language)) or likeliest[1] < SURE:
        return []
    return [span("wrong_language", text, 0, len(text))]
