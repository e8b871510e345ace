"""`rouge1` … `rouge9`, `rougeL`, `rougeLsum`: overlap of n-grams or common subsequences, measured by `rouge-score`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import islice
from typing import Any, ClassVar, Literal

from tunegate.checks import Need, Sample
from tunegate.optional import require
from tunegate.outcomes import Finding
from tunegate_suites.base import CaseCheck, NumericCheck
from tunegate_suites.text import NO_REFERENCE

MAX_TABLE_CELLS = 20_000_000
"""Answer words times reference words: beyond this, rouge-score's table of them takes seconds and gigabytes."""

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

    @property
    def needs(self) -> tuple[Need, ...]:
        return ("reference",)

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
            # A word and the sign after it take two characters at least.
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

    def _too_long(self, answer: str, reference: str) -> bool:
        return self.name.startswith("rougeL") and _n_tokens(answer) * _n_tokens(reference) > MAX_TABLE_CELLS

    def _score(self, reference: str, answer: str) -> float:
        if answer == reference and not self.stemmer and _n_tokens(answer) >= MOST_WORDS_OF_A_GRAM:
            return 1.0  # most answers of a good model
        return self._measured(reference, answer)

    @cached_property
    def _measured(self) -> Callable[[str, str], float]:
        """The score of (reference, answer)."""
        if self.name == "rougeL":
            return self._longest_common_subsequence
        from rouge_score.rouge_scorer import RougeScorer

        scorer: Any = RougeScorer([self.name], use_stemmer=self.stemmer)
        return lambda reference, answer: getattr(scorer.score(reference, answer)[self._known_as], self.measure)

    def _longest_common_subsequence(self, reference: str, answer: str) -> float:
        """What RougeScorer says, to the last bit, without its table and without nltk, whose import takes a second."""
        from rouge_score.scoring import fmeasure

        wanted, given = self._tokens(reference), self._tokens(answer)
        if not wanted or not given:
            return 0.0
        common = common_subsequence_length(wanted, given)
        precision, recall = common / len(given), common / len(wanted)
        scores = {"precision": precision, "recall": recall, "fmeasure": fmeasure(precision, recall)}
        return scores[self.measure]

    @cached_property
    def _tokens(self) -> Callable[[str], list[str]]:
        if self.stemmer:
            from rouge_score.tokenizers import DefaultTokenizer

            return DefaultTokenizer(use_stemmer=True).tokenize
        from rouge_score.tokenize import tokenize

        return lambda text: tokenize(text, None)


def common_subsequence_length(one: Sequence[str], other: Sequence[str]) -> int:
    """The length of the longest common subsequence.

    A row of the usual table is one integer here: bit `i` is 0 where the row grows by one at `short[i]`. Source:
    H. Hyyrö, "Bit-parallel LCS-length computation revisited", AWOCA 2004.
    """
    short, long = sorted((one, other), key=len)
    places: dict[str, int] = {}
    for place, word in enumerate(short):
        places[word] = places.get(word, 0) | 1 << place
    whole = row = (1 << len(short)) - 1
    for word in long:
        matches = row & places.get(word, 0)
        row = ((row + matches) | (row - matches)) & whole
    return len(short) - row.bit_count()


def _n_tokens(text: str) -> int:
    return len(_TOKEN.findall(text.lower()))
