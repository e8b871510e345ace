"""`misspelling`: words that are nearly correct."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from tunegate.checks.check import Sample
from tunegate.checks.outcome import ErrorSpan
from tunegate.exceptions import MissingExtra
from tunegate_suites.categories.settings import ErrorSettings, sources, span
from tunegate_suites.categories.words import MAX_WORD, WORD, Vocabulary, is_symbol

if TYPE_CHECKING:
    from spellchecker import SpellChecker

MAX_UNKNOWN = 300
"""If an answer has more different unknown words than this, only the first ones are looked up."""


def misspelling(sample: Sample, settings: ErrorSettings) -> list[ErrorSpan]:
    """A word that is not in the dictionary, the case or the vocabulary files, but is one typo away from a word in them.

    Precision comes first: a word that resembles no known word counts as a technical term. Capitalised words and symbols
    (BLS for BLM, TBCS1D24 for TBC1D24) are compared only with the words of the case: in a dictionary, every name would
    look like a typo.
    """
    text = sample.response.text
    speller = dictionary(settings.language)
    case_words: Vocabulary | None = None
    verdicts: dict[str, bool] = {}
    found: list[ErrorSpan] = []
    for match in WORD.finditer(text):
        word = match.group()
        if word not in verdicts and len(verdicts) < MAX_UNKNOWN:
            if not _may_be_misspelt(word, speller) or word in settings.known_words:
                continue
            case_words = case_words or Vocabulary(sources(sample))
            verdicts[word] = word not in case_words and _is_slip(word, case_words, settings.language)
        if verdicts.get(word):
            found.append(span("misspelling", text, match.start(), match.end()))
    return found


def _may_be_misspelt(word: str, speller: SpellChecker) -> bool:
    """Whether a word needs a closer look: it is long enough, in the language's letters, and not in the dictionary."""
    if len(word) < (3 if is_symbol(word) else 4) or len(word) > MAX_WORD or word.isdigit():
        return False
    lowered = word.lower().replace("’", "'")
    letters = {letter for letter in lowered if letter.isalpha()}
    if not letters <= speller.word_frequency.letters or lowered in speller:
        return False
    return lowered.removesuffix("'s") not in speller


def _is_slip(word: str, case_words: Vocabulary, language: str) -> bool:
    if case_words.near(word):
        return True
    return len(word) >= 5 and word.islower() and word.isalpha() and _near_dictionary(word, language)


@lru_cache(maxsize=20_000)
def _near_dictionary(word: str, language: str) -> bool:
    speller = dictionary(language)
    return bool(speller.known(speller.edit_distance_1(word)))


@lru_cache(maxsize=2)
def dictionary(language: str) -> SpellChecker:
    """The dictionary of a language; raises ValueError if pyspellchecker has none for it."""
    try:
        from spellchecker import SpellChecker
    except ImportError as error:
        raise MissingExtra("the error category 'misspelling'", "text", error) from error
    return SpellChecker(language=language)
