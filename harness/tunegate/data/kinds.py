"""Kinds of row and case: by tag, and by the answer where it is one of a few. Pure.

A miss is mapped to training rows of its kind, never to its text: what a retraining learns from a gate is no more than
`answer=not inherited` or `task=prevalence`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import comb

from tunegate.checks.outcome import Outcome, Verdict
from tunegate.data.training_data import Example

COMMON_ENOUGH = 2
"""So many training rows give an answer before it counts as a class of its own."""
LONGEST_LABEL = 60
"""Characters; longer answers are texts, not classes."""
SIGNIFICANT = 0.01
"""How likely luck alone may be to gather so many misses in any of the kinds for them to be called weak."""
FEWEST_MISSES = 3
RARE = 1 / 3
"""A kind with less than this share of the rows of the commonest of its family (the classes, the values of one tag)."""


@dataclass(frozen=True, slots=True)
class WeakKind:
    """A kind in which misses gather: `missed` of `asked` cases, and `rows` of `of_rows` training rows are of it.

    `rare`: few of the rows are, measured by the commonest kind of its family.
    """

    name: str
    missed: int
    asked: int
    rows: int
    of_rows: int
    rare: bool

    @property
    def in_words(self) -> str:
        share = f"{self.rows} of {self.of_rows} training rows" if self.rows else "none of the training rows"
        return f"{self.name}: {self.missed} of {self.asked} missed; {share} are of this kind"


def label(text: str) -> str:
    """An answer as a class: letters as they are compared, without a full stop at the end."""
    return " ".join(text.split()).rstrip(".").casefold()


def classes(examples: Iterable[Example]) -> frozenset[str]:
    """The answers that are classes."""
    counts = Counter(label(example.wanted) for example in examples if example.wanted is not None)
    return frozenset(
        text for text, count in counts.items() if count >= COMMON_ENOUGH and 0 < len(text) <= LONGEST_LABEL
    )


def kinds_of_example(example: Example, known: frozenset[str]) -> list[str]:
    """The kinds of a training row, whose class counts where it is one of the `known`."""
    return _kinds(example.tags, () if example.wanted is None else (example.wanted,), known)


def kinds_of_outcome(outcome: Outcome, known: frozenset[str]) -> list[str]:
    """The kinds of a case."""
    return _kinds(outcome.tags, outcome.references, known)


def _kinds(tags: Sequence[str], answers: Sequence[str], known: frozenset[str]) -> list[str]:
    labels = dict.fromkeys(label(answer) for answer in answers)
    return [*tags, *(f"answer={text}" for text in labels if text in known)]


def weak_kinds(outcomes: Sequence[Outcome], trained: Sequence[Example], pool: Sequence[Example]) -> list[WeakKind]:
    """The kinds in which misses gather more than luck would have it, the worst first. Which answers are classes, the
    whole `pool` of rows says.

    One-sided hypergeometric test of each kind, Bonferroni over the kinds.
    """
    known = classes(pool)
    judged = [outcome for outcome in outcomes if outcome.verdict in (Verdict.PASS, Verdict.FAIL)]
    misses = [outcome for outcome in judged if outcome.verdict is Verdict.FAIL]
    asked = Counter(kind for outcome in judged for kind in kinds_of_outcome(outcome, known))
    missed = Counter(kind for outcome in misses for kind in kinds_of_outcome(outcome, known))
    rows = Counter(kind for example in trained for kind in kinds_of_example(example, known))
    weak = [
        WeakKind(kind, missed[kind], asked[kind], rows[kind], len(trained), is_rare(kind, rows))
        for kind in missed
        if missed[kind] >= FEWEST_MISSES
        and by_luck(missed[kind], asked[kind], len(misses), len(judged)) * len(asked) <= SIGNIFICANT
    ]
    return sorted(weak, key=lambda kind: (-kind.missed / kind.asked, kind.name))


def by_luck(missed: int, asked: int, misses: int, judged: int) -> float:
    """The chance that `asked` cases drawn from `judged`, `misses` of which are missed, hold `missed` or more."""
    ways = sum(
        comb(misses, hit) * comb(judged - misses, asked - hit)
        for hit in range(missed, min(asked, misses) + 1)
        if asked - hit <= judged - misses
    )
    return ways / comb(judged, asked)


def is_rare(kind: str, rows: Mapping[str, int]) -> bool:
    """Whether few training rows are of a kind; always so where there are none."""
    family = kind.partition("=")[0]
    commonest = max((count for other, count in rows.items() if other.partition("=")[0] == family), default=0)
    return rows.get(kind, 0) < RARE * commonest or rows.get(kind, 0) == 0
