"""`rouge1` … `rouge9`, `rougeL`, `rougeLsum`: overlap of n-grams or common subsequences, measured by `rouge-score`.

The library's own words are sequences of a-z and 0-9, and other letters are lost. A text with other letters is split by
`tunegate.text.words` instead, which supports every script; the score of any other text is the library's.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import islice
from typing import Any, ClassVar, Literal

from tunegate.checks.check import Need, Sample
from tunegate.checks.outcome import Finding
from tunegate.optional import require
from tunegate.text.normal_form import visible
from tunegate.text.words import compiled, words_by_pairs
from tunegate_suites.base import CaseCheck, NumericCheck
from tunegate_suites.text import NO_REFERENCE

MAX_TABLE_CELLS = 20_000_000
"""Answer words times reference words: above this, rouge-score's table takes seconds and gigabytes."""

MOST_WORDS_OF_A_GRAM = 9
"""A text with at least this number of words has n-grams of every kind, so its ROUGE with itself is 1."""

_TOKEN = re.compile(r"[a-z0-9]+")
_OTHER_SIGN = re.compile("[^\0-\xa9\u2000-\u206f\u20a0-\u2bff]")
"""Characters that may be letters, for a fast test: quotes, dashes, arrows and mathematical symbols are not."""
_OTHER_LETTER = compiled(r"[[\p{L}\p{M}\p{Nd}]--\p{ASCII}]")


class Rouge(CaseCheck, NumericCheck):
    """ROUGE with the references, where the best of several counts (Lin, 2004; computed by `rouge-score`)."""

    shorthand: ClassVar[str | None] = "min"
    example: ClassVar[str] = "rougeL: {min: 0.6, measure: fmeasure}"
    reads_answer_alone: ClassVar[bool] = True
    extra: ClassVar[str | None] = "text"
    score_range: ClassVar[tuple[float, float]] = (0.0, 1.0)
    revision: ClassVar[str] = "2"

    measure: Literal["precision", "recall", "fmeasure"] = "fmeasure"
    """which of the three numbers is the score"""
    stemmer: bool = False
    """compare the stems of English words (Porter); words with letters other than a-z have no stem"""

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
                    f"the reference {reference[:40]!r} has too few words for {self.name}: "
                    "the score would be 0 for any answer"
                )
            if len(answer) * len(reference) > MAX_TABLE_CELLS and self._too_long(answer, reference):
                return self.invalid(f"answer ({len(answer):,} characters) and reference are too long for {self.name}")
            best = max(best, self._score(reference, answer))
        return self.scored(best)

    def _can_overlap(self, reference: str) -> bool:
        """Whether the reference has an n-gram."""
        enough = self._words_of_a_gram
        words = every_word(reference)
        return len(list(islice(_TOKEN.finditer(reference.lower()), enough)) if words is None else words) >= enough

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

        scorer: Any = RougeScorer([self.name], tokenizer=self)
        return lambda reference, answer: getattr(scorer.score(reference, answer)[self._known_as], self.measure)

    def _longest_common_subsequence(self, reference: str, answer: str) -> float:
        """The same score as RougeScorer, to the last bit, without its table and without nltk, which is slow to
        import."""
        from rouge_score.scoring import fmeasure

        wanted, given = self.tokenize(reference), self.tokenize(answer)
        if not wanted or not given:
            return 0.0
        common = common_subsequence_length(wanted, given)
        precision, recall = common / len(given), common / len(wanted)
        scores = {"precision": precision, "recall": recall, "fmeasure": fmeasure(precision, recall)}
        return scores[self.measure]

    def tokenize(self, text: str) -> list[str]:
        """The words of a text: the tokenizer method that `rouge-score` calls."""
        words = every_word(text)
        if words is None:
            return self._tokens(text)
        return [stem for word in words for stem in (self._tokens(word) if word.isascii() else [word])]

    @cached_property
    def _tokens(self) -> Callable[[str], list[str]]:
        """The library's own tokenizer."""
        if self.stemmer:
            from rouge_score.tokenizers import DefaultTokenizer

            return DefaultTokenizer(use_stemmer=True).tokenize
        from rouge_score.tokenize import tokenize

        return lambda text: tokenize(text, None)


def every_word(text: str) -> list[str] | None:
    """The words of a text with letters that `rouge-score` drops, in one spelling; None for a text without such
    letters."""
    if text.isascii() or not _OTHER_SIGN.search(text) or not _OTHER_LETTER.search(text):
        return None
    folded = unicodedata.normalize("NFKC", visible(text)).casefold()
    return [
        word
        for word in words_by_pairs(unicodedata.normalize("NFKC", folded).replace("_", " "))
        if any(map(str.isalnum, word))
    ]


def common_subsequence_length(one: Sequence[str], other: Sequence[str]) -> int:
    """The length of the longest common subsequence.

    A row of the usual table is one integer here: bit `i` is 0 if the row grows by one at `short[i]`. Source:
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
    words = every_word(text)
    return len(_TOKEN.findall(text.lower()) if words is None else words)
