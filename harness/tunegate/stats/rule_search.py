"""The rule of at most two features that best tells missed cases from others: found on one half, tested on the other.

The p-value is a permutation test of the whole search: the misses are dealt out again at random within each half, the
best of all rules is found again on the first half and tested on the second. So it holds for any number of features,
however much they overlap. Pure.

Sources: D. R. Cox, Biometrika 62 (1975) 441-444 (choose on one part of the data, test on the other); R. A. Fisher, The
Design of Experiments (1935), chapter 3 (permutation tests); J. Besag and P. Clifford, Biometrika 78 (1991) 301-304
(stopping early once the p-value is large).
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from operator import itemgetter

PERMUTATIONS = 299
FEWEST_MISSES = 6
"""With fewer misses than this no rule could be shown: three misses on a half are the least that a rule must explain."""
FEWEST_HITS = 3
"""A rule that holds for fewer misses of the first half than this is not looked at."""
_DIGITS = 9  # rounded, so that equal scores are equal on every machine


@dataclass(frozen=True, slots=True)
class Hits:
    """For how many of a number of cases a rule holds, and for how many of the misses among them."""

    missed: int
    cases: int


@dataclass(frozen=True, slots=True)
class FoundRule:
    """The best rule: its features, where it holds on each half, and the p-value of the whole search.

    `searched` rules were compared. The p-value is at least 1 / (`permutations` + 1); if the search stopped early, it is
    above `above` of `find_rule`, and `permutations` says how many were made.
    """

    features: tuple[str, ...]
    found: Hits
    tested: Hits
    p_value: float
    permutations: int
    searched: int


def find_rule(
    columns: Mapping[str, Sequence[bool]],
    missed: Sequence[bool],
    seed: int,
    above: float = 1.0,
    permutations: int = PERMUTATIONS,
) -> FoundRule | None:
    """The best rule for which cases are missed; None with too few misses or passes, or if no rule holds for enough.

    `columns` says for each feature which cases have it, `missed` which cases were missed: all of one length. The search
    stops as soon as its p-value is certain to be above `above`.

    Example:
        >>> missed = [number % 5 == 0 for number in range(100)]
        >>> columns = {"fifth": missed, "even": [number % 2 == 0 for number in range(100)]}
        >>> find_rule(columns, missed, seed=1).features
        ('fifth',)
    """
    rng = random.Random(seed)
    halves = _halves(missed, rng)
    if halves is None:
        return None
    first, second = (_Half(columns, half, missed) for half in halves)
    best = first.best(first.missed)
    if best is None:
        return None
    observed = second.surprise(best, second.missed)
    as_good = made = 0
    while made < permutations and (1 + as_good) / (1 + permutations) <= above:
        made += 1
        again = first.best(first.dealt(rng))
        at = 0.0 if again is None else second.surprise(again, second.dealt(rng))
        as_good += at <= observed
    p_value = (1 + as_good) / (1 + made)
    return FoundRule(
        best, first.hits(best, first.missed), second.hits(best, second.missed), p_value, made, first.searched
    )


def _halves(missed: Sequence[bool], rng: random.Random) -> tuple[list[int], list[int]] | None:
    """The cases in two halves with as many misses, and as many passes, up to one."""
    first, second = list[int](), list[int]()
    for verdict in (True, False):
        own = [case for case, one in enumerate(missed) if one is verdict]
        if len(own) < FEWEST_MISSES:
            return None
        rng.shuffle(own)
        first += own[::2]
        second += own[1::2]
    return sorted(first), sorted(second)


@dataclass
class _Half:
    """Half of the cases, as columns of `0` and `1`; what is the same however the misses are dealt is counted once."""

    columns: Mapping[str, Sequence[bool]]
    cases: list[int]
    all_missed: Sequence[bool]
    tails: dict[tuple[int, int], float] = field(default_factory=dict[tuple[int, int], float])

    @cached_property
    def missed(self) -> list[int]:
        """The places in this half of its missed cases."""
        return [place for place, case in enumerate(self.cases) if self.all_missed[case]]

    @cached_property
    def texts(self) -> dict[str, bytes]:
        return {name: bytes(48 + column[case] for case in self.cases) for name, column in self.columns.items()}

    @cached_property
    def masks(self) -> dict[str, int]:
        return {name: int(text, 2) for name, text in self.texts.items()}

    @cached_property
    def rules(self) -> list[tuple[str, str, int]]:
        """Every rule as two features (twice the same for a rule of one), with the number of its cases.

        A pair that holds for exactly the cases of one of its features is that feature alone.
        """
        masks = self.masks
        sizes = {name: mask.bit_count() for name, mask in masks.items()}
        single = [(name, name, size) for name, size in sizes.items() if FEWEST_HITS <= size < len(self.cases)]
        pairs = [
            (one, other, size)
            for (one, _, _), (other, _, _) in combinations(single, 2)
            if FEWEST_HITS <= (size := (masks[one] & masks[other]).bit_count()) < min(sizes[one], sizes[other])
        ]
        return [*single, *pairs]

    @cached_property
    def levels(self) -> tuple[float, float]:
        """What a rule of one and of two features has to make up for: the logarithm of their number."""
        single = sum(one == other for one, other, _ in self.rules)
        return math.log(max(single, 1)), math.log(max(len(self.rules) - single, 1))

    @property
    def searched(self) -> int:
        return len(self.rules)

    def dealt(self, rng: random.Random) -> list[int]:
        """As many misses as there are, at random places."""
        return sorted(rng.sample(range(len(self.cases)), len(self.missed)))

    def best(self, missed: Sequence[int]) -> tuple[str, ...] | None:
        """The rule whose misses are least likely by chance, corrected for the number of rules of its size."""
        had = {name: _among(missed, text) for name, text in self.texts.items()}
        best, found = 0.0, None
        for one, other, size in self.rules:
            hits = (had[one] & had[other]).bit_count()
            if hits < FEWEST_HITS or hits * len(self.cases) <= size * len(missed):
                continue
            score = self.tail(hits, size) + self.levels[one != other]
            if found is None or score < best:
                best, found = score, (one, other)
        return None if found is None else tuple(dict.fromkeys(found))

    def hits(self, rule: Iterable[str], missed: Sequence[int]) -> Hits:
        """Where a rule holds."""
        holds = among = -1  # every bit
        for name in rule:
            holds &= self.masks[name]
            among &= _among(missed, self.texts[name])
        return Hits(among.bit_count(), holds.bit_count())

    def surprise(self, rule: Iterable[str], missed: Sequence[int]) -> float:
        """The logarithm of the chance of as many misses where a rule holds; 0 if they are no more than elsewhere."""
        hits = self.hits(rule, missed)
        return self.tail(hits.missed, hits.cases)

    def tail(self, hits: int, size: int) -> float:
        """The logarithm of Fisher's one-sided p-value: `hits` or more of the misses are among `size` cases."""
        key = hits, size
        if key not in self.tails:
            self.tails[key] = round(log_tail(hits, size, len(self.missed), len(self.cases)), _DIGITS)
        return self.tails[key]


def _among(places: Sequence[int], text: bytes) -> int:
    """One bit for each of these places (at least two): whether the feature is there."""
    return int(bytes(itemgetter(*places)(text)), 2)


def log_tail(hits: int, size: int, missed: int, cases: int) -> float:
    """The logarithm of the upper tail of the hypergeometric distribution; 0 for hits no more than expected.

    Above the mean each term is smaller than the one before it, so the sum ends early.
    """
    if hits * cases <= size * missed:
        return 0.0
    total = term = 1.0
    for k in range(hits, min(size, missed)):
        term *= (missed - k) * (size - k) / ((k + 1) * (cases - missed - size + k + 1))
        total += term
        if term < 1e-17:
            break
    first = _log_comb(missed, hits) + _log_comb(cases - missed, size - hits) - _log_comb(cases, size)
    return first + math.log(total)


def _log_comb(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def distinct(columns: Mapping[str, Sequence[bool]], fewest: int, most: int) -> dict[str, Sequence[bool]]:
    """The features that at least `fewest` cases have and as many lack; of those of the same cases, the first; at most
    `most`. No verdict is looked at."""
    kept: dict[bytes, str] = {}
    for name, column in columns.items():
        if fewest <= sum(column) <= len(column) - fewest:
            kept.setdefault(bytes(column), name)
    return {name: columns[name] for name in list(kept.values())[:most]}
