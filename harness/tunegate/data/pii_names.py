"""Names of people, found by a spaCy model: only where a model is named, since no form tells a name."""

from __future__ import annotations

from typing import Any

from tunegate.data.pii import FindNames
from tunegate.exceptions import ConfigError
from tunegate.optional import optional_import
from tunegate.reading.files import one_line

MAX_CHARS = 100_000
"""What is read at once; a longer text is read in pieces, since spaCy's memory grows with the length."""


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
