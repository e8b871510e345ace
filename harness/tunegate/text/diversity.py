"""How diverse a set of texts is, by several measures; higher is always more diverse.

Each measure prepares the texts once and returns a function from chosen texts (their indices) to the figure, so that
many subsets of the same texts are cheap to measure.

Sources: distinct-n: Li et al. 2016, "A diversity-promoting objective function for neural conversation models";
self-BLEU: Zhu et al. 2018, "Texygen"; compression ratio: Shaib et al. 2024, "Standardizing the measurement of text
diversity"; Vendi score: Friedman and Dieng 2023, "The Vendi Score".
"""

from __future__ import annotations

import gzip
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any

from tunegate.optional import optional_import
from tunegate.text.grams import SHINGLE, SHORTEST_RUN, runs
from tunegate.text.minhash import NEARLY_THE_SAME
from tunegate.text.normal_form import normalised
from tunegate.text.words import length_in_words

Figure = Callable[[Sequence[int]], float]
"""The diversity of the texts with these indices (at least one)."""

Gram = tuple[str, ...]
LONGEST_GRAM = 4
TINY_COUNT = 0.1
"""What counts instead of no common run at all, so that the geometric mean of BLEU is not 0 (Chen and Cherry 2014,
method 1; `SmoothingFunction().method1` of nltk)."""
TEMPLATE_WORDS = 3


def distinct(texts: Sequence[Sequence[str]], n: int) -> Figure:
    """distinct-n: the share of different ones among all runs of n words.

    >>> distinct([["it", "is"], ["it", "was"]], 1)([0, 1])
    0.75
    """
    grams = [_grams(words, n) for words in texts]

    def figure(chosen: Sequence[int]) -> float:
        total = sum(len(grams[at]) for at in chosen)
        return len(set(chain.from_iterable(grams[at] for at in chosen))) / total if total else 0.0

    return figure


def unlike_others(texts: Sequence[Sequence[str]]) -> Figure:
    """1 - self-BLEU: BLEU-4 of each text with all others as references, averaged.

    The same numbers as `sentence_bleu(..., SmoothingFunction().method1, auto_reweigh=True)` of nltk, which a test
    compares; counting each text once makes hundreds of subsets affordable.
    """
    counts = [_shared([Counter(_grams(words, n)) for words in texts]) for n in range(1, LONGEST_GRAM + 1)]
    lengths = [len(words) for words in texts]

    def figure(chosen: Sequence[int]) -> float:
        most = [_two_most([of_order[at] for at in chosen]) for of_order in counts]
        others = Counter(lengths[at] for at in chosen)
        scores = (_bleu([of_order[at] for of_order in counts], lengths[at], most, others) for at in chosen)
        return 1.0 - sum(scores) / len(chosen)

    return figure


def _shared(counts: Sequence[Counter[Gram]]) -> list[list[tuple[Gram, int]]]:
    """The counts of the runs that several texts have: no other run can be common to a text and the others."""
    texts = Counter(gram for one in counts for gram in one)
    return [[(gram, count) for gram, count in one.items() if texts[gram] > 1] for one in counts]


def _two_most(counts: Sequence[Sequence[tuple[Gram, int]]]) -> dict[Gram, tuple[int, int]]:
    """The two highest counts of each run, by text: the highest of all other texts is one of them."""
    most: dict[Gram, tuple[int, int]] = {}
    for one in counts:
        for gram, count in one:
            first, second = most.get(gram, (0, 0))
            most[gram] = (count, first) if count > first else (first, max(second, count))
    return most


def _bleu(
    counts: Sequence[Sequence[tuple[Gram, int]]],
    length: int,
    most: Sequence[Mapping[Gram, tuple[int, int]]],
    lengths: Mapping[int, int],
) -> float:
    """BLEU of a text whose counts are among those of `most`, and its length among `lengths`."""
    orders = min(LONGEST_GRAM, length)
    logarithms = 0.0
    for order in range(orders):
        common = 0
        for gram, count in counts[order]:
            first, second = most[order][gram]
            common += min(count, second if count == first else first)
        if not order and not common:
            return 0.0
        logarithms += math.log((common or TINY_COUNT) / (length - order))
    if not orders:
        return 0.0
    others = [other for other, number in lengths.items() if number > (other == length)]
    closest = min(others, key=lambda other: (abs(other - length), other), default=length)
    return math.exp(min(0.0, 1.0 - closest / length) + logarithms / orders)


def incompressible(texts: Sequence[Sequence[str]]) -> Figure:
    """The size of the texts after gzip as a share of their size before."""
    lines = [" ".join(words).encode() for words in texts]

    def figure(chosen: Sequence[int]) -> float:
        whole = b"\n".join(lines[at] for at in chosen)
        return len(gzip.compress(whole, mtime=0)) / len(whole) if whole else 0.0

    return figure


def not_repeated(texts: Sequence[str]) -> Figure:
    """The share of texts that are not a near-duplicate of an earlier one.

    Near-duplicates have the same normal form, or share 70 % of their three-word runs; texts of fewer than eight words
    must be the same.
    """
    numbers: dict[str, int] = {}
    form_of = [numbers.setdefault(normalised(text), len(numbers)) for text in texts]
    alike = _nearly_the_same([set(runs(f.split(), SHINGLE)) if _is_long(f) else set() for f in numbers])

    def figure(chosen: Sequence[int]) -> float:
        seen: set[int] = set()
        new = 0
        for form in (form_of[at] for at in sorted(chosen)):
            new += form not in seen and alike[form].isdisjoint(seen)
            seen.add(form)
        return new / len(chosen)

    return figure


def _is_long(form: str) -> bool:
    """Whether a text has enough words to be compared by its runs of words; a shorter one must be the same."""
    return length_in_words(form) >= SHORTEST_RUN


def _nearly_the_same(sets: Sequence[set[str]]) -> list[set[int]]:
    """For each set the others with which it shares `NEARLY_THE_SAME` of their union (Jaccard).

    Two such sets share one of their rarest members, so only sets that do are compared: what a template puts into many
    texts costs nothing (prefix filtering; Chaudhuri et al. 2006, "A Primitive Operator for Similarity Joins").
    """
    texts = Counter(chain.from_iterable(sets))
    sharing: dict[str, list[int]] = defaultdict(list)
    alike: list[set[int]] = [set() for _ in sets]
    for at, one in enumerate(sets):
        enough = math.ceil(NEARLY_THE_SAME * len(one) - 1e-9)
        rarest = sorted(one, key=lambda run: (texts[run], run))[: len(one) - enough + 1] if one else []
        for other in {other for run in rarest for other in sharing[run]}:
            if len(one & sets[other]) >= NEARLY_THE_SAME * len(one | sets[other]):
                alike[at].add(other)
                alike[other].add(at)
        for run in rarest:
            sharing[run].append(at)
    return alike


def no_template(texts: Sequence[str]) -> Figure:
    """The share of texts that neither begin nor end with the same three words as another text.

    >>> no_template(["The answer is A.", "The answer is B, or not."])([0, 1])
    0.0
    """
    forms = [normalised(text).split() for text in texts]
    openings = [tuple(words[:TEMPLATE_WORDS]) for words in forms]
    endings = [tuple(words[-TEMPLATE_WORDS:]) for words in forms]

    def figure(chosen: Sequence[int]) -> float:
        begun, ended = Counter(openings[at] for at in chosen), Counter(endings[at] for at in chosen)
        return sum(begun[openings[at]] == ended[endings[at]] == 1 for at in chosen) / len(chosen)

    return figure


def vendi(vectors: Sequence[Any]) -> Figure:
    """The Vendi score: the exponential of the entropy of the eigenvalues of the cosines divided by their number.

    The effective number of different texts, from 1 to the number of texts. `vectors` are unit vectors.
    """
    numpy = optional_import("numpy", "similarity", "the Vendi score")
    rows = numpy.asarray(vectors, dtype=float)
    cosines = rows @ rows.T

    def figure(chosen: Sequence[int]) -> float:
        values = numpy.linalg.eigvalsh(cosines[numpy.ix_(chosen, chosen)] / len(chosen))
        values = values[values > 1e-12]
        return float(numpy.exp(-(values * numpy.log(values)).sum()))

    return figure


def _grams(words: Sequence[str], n: int) -> list[Gram]:
    return [tuple(words[at : at + n]) for at in range(len(words) - n + 1)]
