"""Near-duplicates: nearly equal texts with many small edits, so that they share no long run of words.

MinHash with locality-sensitive hashing (`datasketch`) proposes pairs; the share of common three-word runs (Jaccard,
weighted as in `grams`) decides. Broder 1997, "On the resemblance and containment of documents".
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
"""The weighted Jaccard similarity from which a pair is a near-duplicate; fitted as above."""


PERMUTATIONS = 128
PROPOSED_FROM = 0.5
"""Pairs are proposed from a lower similarity than required: MinHash estimates, and a pair missed here is lost."""


@dataclass(frozen=True)
class NearDuplicates:
    """Pairs of a training text and a case whose weighted Jaccard similarity reaches `threshold`."""

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
                return  # most of the text is in no case
            total = self.vocabulary.total(known) + len(shingles) - len(known)
            proposed: list[int] = index.query(signature(empty, particular))
            for number in sorted(proposed):
                shared = self.vocabulary.total(self.cases[number] & known)
                similarity = shared / (totals[number] + total - shared)
                if similarity >= self.threshold:
                    yield number, similarity

        return match

    def _particular(self, shingles: set[str]) -> set[str]:
        """The shingles outside templates, or all shingles if there are no others: templates would propose every
        pair."""
        texts = self.vocabulary.texts
        return {shingle for shingle in shingles if texts.get(shingle, 0) <= COMMON} or shingles


def signature(empty: Any, shingles: set[str]) -> Any:
    """The MinHash of shingles; `empty` is an empty MinHash whose permutations are copied."""
    filled = empty.copy()
    filled.update_batch([shingle.encode(errors="replace") for shingle in shingles])
    return filled
