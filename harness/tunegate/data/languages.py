"""Which language a text is in, by `py3langid`: it needs no network, and always gives the same answer."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from tunegate.optional import optional_import

MODULE = "py3langid.langid"

MAX_CHARS = 3000
"""Characters used to recognise a language; more take longer without changing the result."""

MIN_LETTERS = 10
"""Minimum number of different letters; `x x x x` is not a language."""

NO_LANGUAGE = "zxx"
"""ISO 639-2's code for text without a language: numbers, markup, program code."""

_SPELLED_OTHERWISE = {"nb": "no", "iw": "he", "in": "id", "fil": "tl"}
"""Common codes of languages for which the detector uses another code."""


def likeliest_language(text: str, min_letters: int = 20) -> tuple[str, float] | None:
    """The code (`en`, `zh`) and probability of the likeliest language; None for a text with fewer letters.

    `NO_LANGUAGE` is among the answers. Raises MissingExtra.
    """
    text = text[:MAX_CHARS]
    letters = [letter for letter in text if letter.isalpha()]
    if len(letters) < min_letters or len(set(letters)) < MIN_LETTERS:
        return None
    code, chance = _identifier().classify(text)
    return code, float(chance)


def known_languages() -> frozenset[str]:
    """The codes of all recognised languages; raises MissingExtra."""
    return frozenset({*_identifier().labels, *_SPELLED_OTHERWISE} - {NO_LANGUAGE})


def base_code(code: str) -> str:
    """The detector's code of a language: `en` of `en-GB`, `no` of `nb`."""
    base = code.replace("_", "-").split("-")[0].lower()
    return _SPELLED_OTHERWISE.get(base, base)


@lru_cache(maxsize=1)
def _identifier() -> Any:
    """The detector with its built-in model; loading takes a second."""
    module = optional_import(MODULE, "text", "recognising the language of a text")
    return module.LanguageIdentifier.from_model_file(module.MODEL_FILE, norm_probs=True)
