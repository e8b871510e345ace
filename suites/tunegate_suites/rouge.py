"""`rouge1` … `rouge9`, `rougeL`, `rougeLsum`: overlap of n-grams or common subsequences, measured by `rouge-score`."""

from __future__ import annotations

import re
from functools import cached_property
from itertools import islice
from typing import Any, ClassVar, Literal

from tunegate.checks import Sample
from tunegate.outcomes import Finding
from tunegate_suites.base import CaseCheck, NumericCheck
from tunegate_suites.options import require
from tunegate_suites.text import NO_REFERENCE

MAX_TABLE_CELLS = 20_000_000
"""rouge-score fills a table of answer words times reference words; beyond this it takes seconds and gigabytes."""

MOST_WORDS_OF_A_GRAM = 9
"""A text with at least that many words has an n-gram of every kind that there is: ROUGE with itself is 1."""

_TOKEN = re.compile(r"[a-z0-9]+")


class Rouge(CaseCheck, NumericCheck):
    """ROUGE against the references, the best of several counts (Lin, 2004; computed by `rouge-score`)."""

    shorthand: ClassVar[str | None] = "min"
    example: ClassVar[str] = "rougeL: {min: 0.6, measure: fmeasure}"
    extra: ClassVar[str | None] = "text"
    score_range: ClassVar[tuple[float, float]] = (0.0, 1.0)

    measure: Literal["precision", "recall", "fmeasure"] = "fmeasure"
    """which of the three numbers is the score"""
    stemmer: bool = False
    """compare the stems of English words (Porter)"""

    def prepare(self) -> None:
        require(self.name, "text", "rouge_score")

    @cached_property
    def _scorer(self) -> Any:
        from rouge_score.rouge_scorer import RougeScorer

        return RougeScorer([self.name], use_stemmer=self.stemmer)

    def judge_one(self, sample: Sample) -> Finding:
        references, answer = sample.case.references, sample.response.text
        if not references:
            return self.invalid(NO_REFERENCE)
        best = 0.0
        for reference in references:
            if not self._can_overlap(reference):
                return self.invalid(
                    f"the reference {reference[:40]!r} has too few words of a-z and 0-9 for {self.name}: "
                    "the score would be 0 whatever the answer"
                )
            # A word and the space after it take two characters at least.
            if len(answer) * len(reference) > 4 * MAX_TABLE_CELLS and self._too_long(answer, reference):
                return self.invalid(f"answer ({len(answer):,} characters) and reference are too long for {self.name}")
            best = max(best, self._score(reference, answer))
        return self.scored(best)

    def _can_overlap(self, reference: str) -> bool:
        """Whether the reference holds an n-gram; rouge-score sees nothing but the letters a to z and digits."""
        words = list(islice(_TOKEN.finditer(reference.lower()), self._words_of_a_gram))
        return len(words) == self._words_of_a_gram

    @cached_property
    def _words_of_a_gram(self) -> int:
        kind = self.name.removeprefix("rouge")
        return int(kind) if kind.isdecimal() else 1

    def _score(self, reference: str, answer: str) -> float:
        if answer == reference and not self.stemmer and len(_TOKEN.findall(answer.lower())) >= MOST_WORDS_OF_A_GRAM:
            return 1.0  # most answers of a good model; rouge-score would fill its whole table to say so
        return getattr(self._scorer.score(reference, answer)[self._known_as], self.measure)

    def _too_long(self, answer: str, reference: str) -> bool:
        return self.name.startswith("rougeL") and len(answer.split()) * len(reference.split()) > MAX_TABLE_CELLS
