"""Comparing texts by meaning on a terminal: one sentence model for a command, which says when it cuts texts."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from tunegate.models.sentences import SentenceModel, default_model


def embed(texts: Sequence[str]) -> Mapping[str, Any]:
    """Texts to unit vectors; the model is looked for when the first are asked, and loaded once."""
    sentences = _sentences()
    if sentences.too_long(texts):
        say_once(f"by meaning, texts of more than {sentences.window} tokens are compared by their beginning only")
    return sentences.embed(texts)


@cache
def say_once(note: str) -> None:
    """Tell the terminal, once in the life of the process."""
    print(f"tunegate: {note}", file=sys.stderr)


@cache
def _sentences() -> SentenceModel:
    return default_model("comparing texts by meaning")
