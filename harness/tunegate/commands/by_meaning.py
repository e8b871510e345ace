"""Comparing texts by meaning on a terminal: one sentence model per command, with a note when it truncates texts."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from tunegate.models.sentences import SentenceModel, default_model


def embed(texts: Sequence[str]) -> Mapping[str, Any]:
    """Texts to unit vectors; the model is loaded once, on the first call."""
    sentences = _sentences()
    if sentences.too_long(texts):
        say_once(f"by meaning, only the first {sentences.window} tokens of a text are compared")
    return sentences.embed(texts)


@cache
def say_once(note: str) -> None:
    """Print a note on standard error, once per process."""
    print(f"tunegate: {note}", file=sys.stderr)


@cache
def _sentences() -> SentenceModel:
    return default_model("comparing texts by meaning")
