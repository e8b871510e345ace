"""Names of people, found by a spaCy model: only if the user gives a model, because no pattern identifies a name."""

from __future__ import annotations

from typing import Any

from tunegate.exceptions import ConfigError
from tunegate.optional import optional_import
from tunegate.reading.files import one_line
from tunegate.text.pii import FindNames

MAX_CHARS = 100_000
"""Longer texts are read in pieces of this size, because spaCy's memory use grows with the length."""


def name_finder(model: str) -> FindNames:
    """A finder by the entities `PERSON` (or `PER`) of an installed spaCy model; raises MissingExtra or ConfigError."""
    spacy = optional_import("spacy", "names", "finding the names of people")
    try:
        pipeline: Any = spacy.load(model, exclude=["lemmatizer", "textcat"])
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"names: the spaCy model {model!r} cannot be loaded ({one_line(error):.120}); "
            f"install it: python -m spacy download {model}"
        ) from error

    def find(text: str) -> list[tuple[int, int]]:
        return [
            (start + entity.start_char, start + entity.end_char)
            for start in range(0, len(text), MAX_CHARS)
            for entity in pipeline(text[start : start + MAX_CHARS]).ents
            if entity.label_ in ("PERSON", "PER")
        ]

    return find
