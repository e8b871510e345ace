"""Leakage: training data that also stands in a gate's suite. A model can't be examined on what it was taught."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from tunegate.cases import Prompt
from tunegate.suites import Suite
from tunegate.training_data import TrainingData


@dataclass(frozen=True, slots=True)
class Leak:
    """A training row and the case that it gives away. `similarity` is 1.0 for an exact match."""

    stage: str
    train_file: str
    train_row: int
    suite: str
    case_id: str
    kind: str
    similarity: float
    text: str


def find_leaks(stage: str, data: TrainingData, suites: Iterable[Suite]) -> list[Leak]:
    """Find training rows whose prompt is, but for case, white space, punctuation and Unicode form, a case's prompt.

    System messages don't count: the same question under another system message is still the same question.
    """
    by_text: dict[str, list[int]] = {}
    for example in data.examples:
        by_text.setdefault(normalised(_asked(example.prompt)), []).append(example.number)
    return [
        Leak(stage, str(data.path), number, suite.name, case.id, "exact", 1.0, case.prompt_text)
        for suite in suites
        for case in suite.cases
        for number in by_text.get(normalised(_asked(case.prompt)) or _NOTHING, ())
    ]


_NOTHING = "?"
"""Normalised text never holds punctuation: a prompt without a word (its choices are the case) matches no row."""


def _asked(prompt: Prompt) -> str:
    if isinstance(prompt, str):
        return prompt
    return "\n".join(message["content"] for message in prompt if message["role"] != "system")


def normalised(text: str) -> str:
    """Unicode NFKC, case folded, without punctuation and invisible characters, runs of white space as one space."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().translate(_disguises()).split())


@cache
def _disguises() -> dict[int, str]:
    """Punctuation becomes a space, format and control characters nothing; symbols stay: 1+1 is not 1-1."""
    table: dict[int, str] = {}
    for code in range(sys.maxunicode + 1):
        category = unicodedata.category(chr(code))
        if category.startswith("P") and chr(code) != "-":
            table[code] = " "
        elif category in ("Cf", "Cc") and not chr(code).isspace():
            table[code] = ""
    return table


def describe(leaks: Sequence[Leak], shown: int = 5) -> str:
    """One line that names the leaked rows."""
    rows = ", ".join(f"{leak.train_file}:{leak.train_row} = {leak.suite}/{leak.case_id}" for leak in leaks[:shown])
    more = f" and {len(leaks) - shown} more" if len(leaks) > shown else ""
    return f"{len(leaks)} training rows also stand in a gate's suite: {rows}{more}; take them out of the training data"
