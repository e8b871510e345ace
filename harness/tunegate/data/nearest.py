"""The training rows nearest to a text, by the words and pairs of words that they share. Pure.

Rare words count for more (tf-idf weights, cosine): G. Salton and C. Buckley, Information Processing & Management 24
(1988) 513-523. Whether missed cases are farther from every row than passed ones: A. M. Mood's median test
(Introduction to the Theory of Statistics, 1950), with Fisher's exact p-value.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from heapq import nsmallest
from itertools import pairwise
from statistics import median
from typing import Any

from tunegate.data.kinds import by_luck
from tunegate.models.sentences import Embed
from tunegate.text.normal_form import normalised

SHOWN = 3
COMMON = 2000
"""A run of words in more rows than this says nothing about which of them is near, and would cost the most time."""


@dataclass(frozen=True, slots=True)
class Near:
    """A training row, by its place, and its similarity to a text: 0 (no word in common) to 1 (the same words)."""

    row: int
    similarity: float


@dataclass(frozen=True)
class NearestRows:
    """Finds the rows nearest to a text among these texts.

    Example:
        >>> rows = NearestRows(["What causes Fabry disease?", "Is Fabry disease rare?", "What is a gene?"])
        >>> [near.row for near in rows.of("How rare is Fabry disease?")]
        [1, 0, 2]
    """

    texts: Sequence[str]

    @cached_property
    def _grams(self) -> list[Counter[str]]:
        return [grams(text) for text in self.texts]

    @cached_property
    def _weights(self) -> dict[str, float]:
        rows = Counter(gram for one in self._grams for gram in one)
        return {gram: math.log((1 + len(self.texts)) / (1 + count)) + 1 for gram, count in rows.items()}

    @cached_property
    def _index(self) -> dict[str, list[tuple[int, float]]]:
        """For each gram its rows, with its share of the length of their vectors."""
        index: dict[str, list[tuple[int, float]]] = defaultdict(list)
        for row, own in enumerate(self._grams):
            vector = self._vector(own)
            length = math.hypot(*vector.values()) or 1.0
            for gram, weight in vector.items():
                index[gram].append((row, weight / length))
        return {gram: rows for gram, rows in index.items() if len(rows) <= COMMON}

    def _vector(self, own: Counter[str]) -> dict[str, float]:
        unseen = math.log(1 + len(self.texts)) + 1
        return {gram: (1 + math.log(count)) * self._weights.get(gram, unseen) for gram, count in own.items()}

    def of(self, text: str, most: int = SHOWN) -> list[Near]:
        """The nearest rows, the nearest first; rows without a word in common are left out."""
        vector = self._vector(grams(text))
        length = math.hypot(*vector.values()) or 1.0
        found: dict[int, float] = defaultdict(float)
        for gram, weight in vector.items():
            for row, share in self._index.get(gram, ()):
                found[row] += weight / length * share
        best = sorted(found.items(), key=lambda item: (-round(item[1], 9), item[0]))[:most]
        return [Near(row, min(similarity, 1.0)) for row, similarity in best]


@dataclass(frozen=True)
class NearestByMeaning:
    """Finds the rows nearest to a text by the cosine of their embeddings, also where they share no word."""

    texts: Sequence[str]
    embed: Embed

    @cached_property
    def _vectors(self) -> Mapping[str, Any]:
        return self.embed(self.texts)

    def of(self, text: str, most: int = SHOWN) -> list[Near]:
        """The nearest rows, the nearest first."""
        asked = self.embed([text])[text]
        found = ((row, round(float(self._vectors[one] @ asked), 6)) for row, one in enumerate(self.texts))
        return [Near(row, similarity) for row, similarity in nsmallest(most, found, key=lambda one: (-one[1], one[0]))]


def grams(text: str) -> Counter[str]:
    """The words of a text and its pairs of words, in their normal form, counted."""
    words = normalised(text).split()
    return Counter([*words, *map(" ".join, pairwise(words))])


@dataclass(frozen=True, slots=True)
class Farther:
    """How many missed and how many passed cases are farther from every training row than the median case.

    `p_value` is the chance of at least `missed_far` missed ones, if misses had nothing to do with it (one-sided).
    """

    missed_far: int
    missed: int
    passed_far: int
    passed: int
    p_value: float


def farther(missed: Sequence[float], passed: Sequence[float]) -> Farther | None:
    """Whether missed cases are farther from the training rows than passed ones: each number is the similarity of a
    case's nearest row. None without misses or passes."""
    if not missed or not passed:
        return None
    middle = median([*missed, *passed])
    far, others = (sum(similarity < middle for similarity in side) for side in (missed, passed))
    everyone = len(missed) + len(passed)
    p_value = by_luck(far, len(missed), far + others, everyone) if far + others else 1.0
    return Farther(far, len(missed), others, len(passed), p_value)
