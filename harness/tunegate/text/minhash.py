"""Near-duplicates: texts that say nearly the same, edited here and there, so that no long run of words is left.

MinHash with locality-sensitive hashing (`datasketch`) proposes pairs; the share of common three-word runs (Jaccard,
weighed as in `grams`) decides. Broder 1997, "On the resemblance and containment of documents".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tunegate.optional import optional_import
from tunegate.text.grams import (
    COMMON,
    Vocabulary,
)

NEARLY_THE_SAME = 0.7
"""The weighed Jaccard similarity that makes a near-duplicate; fitted as above."""


PERMUTATIONS = 128
PROPOSED_FROM = 0.5
"""Pairs are proposed from a lower similarity than is asked for: MinHash estimates, and a miss here is final."""


@dataclass(frozen=True)
class NearDuplicates:
    """Pairs of a training text and a case whose weighed Jaccard similarity reaches `threshold`."""

    cases: Sequence[set[str]]
    vocabulary: Vocabulary
    threshold: float

    def matcher(self) -> Callable[[set[str]], Iterator[tuple[int, float]]]:
        """A function from a training text's shingles to (case, similarity) pairs; raises MissingExtra."""
        sketch = optional_import("datasketch", "leakage", "looking for near-duplicates of tests in training data")
        empty: Any = sketch.MinHash(num_perm=PERMUTATIONS, seed=1)
        index: Any = sketch.MinHashLSH(threshold=PROPOSED_FROM, num_perm=PERMUTATIONS)
        totals = [self.vocabulary.total(shingles) for shingles in self.cases]
        for number, shingles in enumerate(self.cases):
            index.insert(number, signature(empty, self._particular(shingles)))

        def match(shingles: set[str]) -> Iterator[tuple[int, float]]:
            particular = self._particular(shingles)
            known = shingles & self.vocabulary.texts.keys()
            if len(known) < self.threshold * len(particular) / 2:
                return  # most of it is in no case at all
            total = self.vocabulary.total(known) + len(shingles) - len(known)
            proposed: list[int] = index.query(signature(empty, particular))
            for number in sorted(proposed):
                shared = self.vocabulary.total(self.cases[number] & known)
                similarity = shared / (totals[number] + total - shared)
                if similarity >= self.threshold:
                    yield number, similarity

        return match

    def _particular(self, shingles: set[str]) -> set[str]:
        """The shingles that are not a template's, or all where there are no others: templates propose every pair."""
        texts = self.vocabulary.texts
        return {shingle for shingle in shingles if texts.get(shingle, 0) <= COMMON} or shingles


def signature(empty: Any, shingles: set[str]) -> Any:
    """The MinHash of shingles; `empty` is one of none, whose permutations are copied."""
    filled = empty.copy()
    filled.update_batch([shingle.encode(errors="replace") for shingle in shingles])
    return filled
