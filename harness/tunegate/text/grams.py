"""Runs of words that a training text shares with a case, weighted so that runs that all texts share count for little.

A template ("What is the inheritance pattern of …?") is in every row and every case by construction. So a run of words
that is in more than `COMMON` texts gets the weight `COMMON` divided by their number, and the rest of a text decides. If
a text is only such boilerplate, all its runs have little weight and it is still found.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from tunegate.text.words import has_words_of_one_character

COMMON = 10
"""A run in more texts than this is a common phrase (the number of Brown et al. 2020, appendix C)."""
LONGEST_RUN, SHORTEST_RUN = 13, 8
"""Runs of 13 words; a text of 8 to 12 words is one run (both bounds: Brown et al. 2020, appendix C). `length_in_words`
gives the number of words of a text in a script without spaces.

Shorter references are labels, names and numbers ("autosomal dominant"), which answer many different questions.
"""
SHINGLE = 3
"""Words in a run when near-duplicates are compared."""


def run_length(words: Sequence[str]) -> int:
    """The length of the runs of a case for containment: doubled if most words are single characters."""
    characters = sum(map(has_words_of_one_character, words))
    return min(2 * LONGEST_RUN if 2 * characters > len(words) else LONGEST_RUN, len(words))


def runs(words: Sequence[str], length: int) -> set[str]:
    """All runs of `length` words; a shorter text is one run."""
    return {" ".join(words[at : at + length]) for at in range(max(1, len(words) - length + 1))}


class Vocabulary:
    """The runs of the cases, with the number of training texts and cases that contain each."""

    def __init__(self, cases: Iterable[set[str]]) -> None:
        self.texts: Counter[str] = Counter(run for grams in cases for run in grams)

    def add(self, shared: Iterable[str]) -> None:
        """Count a training text's runs; all must be runs of the cases."""
        self.texts.update(shared)

    def weight(self, run: str) -> float:
        return min(1.0, COMMON / max(1, self.texts[run]))

    def total(self, grams: Iterable[str]) -> float:
        return sum(self.weight(run) for run in grams)


def shingles_in_order(words: Sequence[str]) -> list[str]:
    """The run of `SHINGLE` words that begins at each word; empty for a shorter text."""
    return list(map(" ".join, zip(words, words[1:], words[2:], strict=False)))


class RunFinder:
    """Finds the cases' runs, of several lengths, in a training text: one look-up per word, by a run's first words."""

    def __init__(self, grams: Iterable[str]) -> None:
        self._grams = set(grams)
        self._lengths: dict[str, set[int]] = defaultdict(set)
        for run in self._grams:
            words = run.split()
            self._lengths[" ".join(words[:SHINGLE])].add(len(words))

    def find(self, words: Sequence[str], shingles: Sequence[str] | None = None) -> set[str]:
        """The runs in a text; `shingles` are those of its words (`shingles_in_order`), if they are known."""
        shingles = shingles_in_order(words) if shingles is None else shingles
        if self._lengths.keys().isdisjoint(shingles):
            return set()
        found: set[str] = set()
        for at, shingle in enumerate(shingles):
            for length in self._lengths.get(shingle, ()):
                found.add(" ".join(words[at : at + length]))
        return found & self._grams


@dataclass(frozen=True)
class Containment:
    """The share of a case's weight that a training text contains, for all pairs that reach `threshold`.

    A pair at the threshold must share one of the case's heaviest runs: without all of these, too much weight is
    missing. Only they are indexed (prefix filtering: Chaudhuri, Ganti and Kaushik 2006), so a template costs nothing.
    """

    cases: Sequence[set[str]]
    vocabulary: Vocabulary
    threshold: float

    def matcher(self) -> Callable[[set[str]], Iterator[tuple[int, float]]]:
        """A function from a training text's runs to (case, share) pairs."""
        totals = [self.vocabulary.total(grams) for grams in self.cases]
        index: dict[str, list[int]] = defaultdict(list)
        for number, grams in enumerate(self.cases):
            for run in self._heaviest(grams, (1 - self.threshold) * totals[number]):
                index[run].append(number)

        def match(found: set[str]) -> Iterator[tuple[int, float]]:
            for number in {number for run in found for number in index.get(run, ())}:
                share = self.vocabulary.total(self.cases[number] & found) / totals[number]
                if share >= self.threshold:
                    yield number, share

        return match

    def _heaviest(self, grams: set[str], may_miss: float) -> Iterator[str]:
        weight = 0.0
        for run in sorted(grams, key=lambda run: (-self.vocabulary.weight(run), run)):
            if weight > may_miss + 1e-9:
                return
            weight += self.vocabulary.weight(run)
            yield run
