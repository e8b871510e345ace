"""Kinds of rows and cases: by tag, and by the answer if it is a class. Pure functions.

A miss is mapped to training rows of its kind, never to its text: a retraining learns no more from a gate than a kind,
such as `answer=not inherited` or `task=prevalence`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import comb

from tunegate.cases.traits import LONGEST_LABEL, Traits, label, traits_of
from tunegate.checks.outcome import Outcome, Verdict
from tunegate.data.training_data import Example

COMMON_ENOUGH = 2
"""An answer counts as a class if at least this number of training rows have it."""
SIGNIFICANT = 0.01
"""Significance level for weak kinds: the accepted chance that any kind looks weak by chance."""
FEWEST_MISSES = 3
RARE = 1 / 3
"""A kind is rare with less than this share of the rows of the most common kind of its family (classes, or one tag)."""


@dataclass(frozen=True, slots=True)
class WeakKind:
    """A kind in which misses concentrate: `missed` of `asked` cases, and `rows` of `of_rows` training rows.

    `rare`: the kind has few training rows, compared with the most common kind of its family.
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


def classes(examples: Iterable[Example]) -> frozenset[str]:
    """The answers that count as classes."""
    counts = Counter(label(example.wanted) for example in examples if example.wanted is not None)
    return frozenset(
        text for text, count in counts.items() if count >= COMMON_ENOUGH and 0 < len(text) <= LONGEST_LABEL
    )


def kinds_of_example(example: Example, known: frozenset[str]) -> list[str]:
    """The kinds of a training row, with its class if it is one of the `known`."""
    return _kinds(example.tags, () if example.wanted is None else (example.wanted,), known)


def of_kind(examples: Iterable[Example], kind: str, known: frozenset[str]) -> list[Example]:
    """The training rows of a kind: of a tag, of a class, or of the features that a rule names."""
    return [one for one in examples if kind in kinds_of_example(one, known) or traits_of_example(one).is_of(kind)]


def traits_of_example(example: Example) -> Traits:
    """The features of a training row, as a rule about missed cases names them. Plain text is its own prompt."""
    wanted = example.wanted
    if example.prompt is None:
        return traits_of(wanted, (), example.tags)
    return traits_of(example.prompt, () if wanted is None else (wanted,), example.tags)


def kinds_of_outcome(outcome: Outcome, known: frozenset[str]) -> list[str]:
    """The kinds of a case."""
    return _kinds(outcome.tags, outcome.references, known)


def _kinds(tags: Sequence[str], answers: Sequence[str], known: frozenset[str]) -> list[str]:
    labels = dict.fromkeys(label(answer) for answer in answers)
    return [*tags, *(f"answer={text}" for text in labels if text in known)]


def weak_kinds(outcomes: Sequence[Outcome], trained: Sequence[Example], pool: Sequence[Example]) -> list[WeakKind]:
    """The kinds with more misses than chance explains, the worst first. The whole `pool` of rows decides which answers
    are classes.

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
    """The chance that `asked` cases drawn from `judged`, `misses` of which are missed, contain `missed` or more."""
    ways = sum(
        comb(misses, hit) * comb(judged - misses, asked - hit)
        for hit in range(missed, min(asked, misses) + 1)
        if asked - hit <= judged - misses
    )
    return ways / comb(judged, asked)


def is_rare(kind: str, rows: Mapping[str, int]) -> bool:
    """Whether a kind has few training rows; true if it has none."""
    family = kind.partition("=")[0]
    commonest = max((count for other, count in rows.items() if other.partition("=")[0] == family), default=0)
    return rows.get(kind, 0) < RARE * commonest or rows.get(kind, 0) == 0
