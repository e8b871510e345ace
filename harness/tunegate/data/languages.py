"""Which language a text is in, by `py3langid`: it needs no network, and gives the same answer every time."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from tunegate.optional import optional_import

MODULE = "py3langid.langid"

MAX_CHARS = 3000
"""What a language is told from; more makes no difference but takes longer."""

MIN_LETTERS = 10
"""Different letters that a text needs; `x x x x` is no language."""

NO_LANGUAGE = "zxx"
"""ISO 639-2's code for what is no language: numbers, markup, program code."""

_SPELLED_OTHERWISE = {"nb": "no", "iw": "he", "in": "id", "fil": "tl"}
"""Codes that people use for a language which the detector knows by another one."""


def likeliest_language(text: str, min_letters: int = 20) -> tuple[str, float] | None:
    """The code (`en`, `zh`) and probability of the likeliest language; None for a text of fewer letters.

    `NO_LANGUAGE` is among the answers. Raises MissingExtra.
    """
    text = text[:MAX_CHARS]
    letters = [letter for letter in text if letter.isalpha()]
    if len(letters) < min_letters or len(set(letters)) < MIN_LETTERS:
        return None
    code, chance = _identifier().classify(text)
    return code, float(chance)


def known_languages() -> frozenset[str]:
    """The codes of all languages that can be told; raises MissingExtra."""
    return frozenset({*_identifier().labels, *_SPELLED_OTHERWISE} - {NO_LANGUAGE})


def base_code(code: str) -> str:
    """The detector's code of a language: `en` of `en-GB`, `no` of `nb`."""
    base = code.replace("_", "-").split("-")[0].lower()
    return _SPELLED_OTHERWISE.get(base, base)


@lru_cache(maxsize=1)
def _identifier() -> Any:
    """The detector with the model that it brings along; loading takes a second."""
    module = optional_import(MODULE, "text", "telling the language of a text")
    return module.LanguageIdentifier.from_model_file(module.MODEL_FILE, norm_probs=True)
