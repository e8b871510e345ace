"""Spurious cues: training rows in which an irrelevant property correlates with the label, and their effect. Pure.

A cue is a property of a text, such as its length, that is irrelevant for the right answer. In the training rows it
correlates with the label, with a given strength; in the gate's cases it does not. A model that learned the cue is right
on cases in which cue and label agree, and misses cases in which they contradict each other.

Source: J. M. Ludan and others, Explanation-based Finetuning Makes Models More Robust to Spurious Cues, ACL 2023.
"""

from __future__ import annotations

import math
import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

from tunegate.exceptions import ConfigError
from tunegate.models.sentences import Embed
from tunegate.optional import optional_import
from tunegate.reading.rows import Row
from tunegate.text.words import count_words

CueName = Literal["present", "length", "cluster"]
CUES: tuple[CueName, ...] = ("present", "length", "cluster")

Detect = Callable[[Sequence[str]], list[bool]]
"""A function that says for each text whether it has the cue."""


# --- which texts have a cue ----------------------------------------------------------------------------------------


def detector(name: CueName, texts: Sequence[str], embed: Embed) -> Detect:
    """The cue, fitted on the texts of the training rows; the same fit is used for the gate's cases.

    present: no verb in the past tense. length: more words than the median text. cluster: the larger of two clusters of
    the embeddings.
    """
    if name == "present":
        return lambda asked: [in_present_tense(text) for text in asked]
    if name == "length":
        usual = median(count_words(text) for text in texts)
        return lambda asked: [count_words(text) > usual for text in asked]
    known = embed(texts)
    centres = two_means([known[text] for text in texts])

    def near_the_larger(asked: Sequence[str]) -> list[bool]:
        vectors = embed(asked)
        return [bool(vectors[text] @ (centres[0] - centres[1]) > _half(centres)) for text in asked]

    return near_the_larger


_PAST_WORDS = """was were had did been became began bought brought built came caught chose cut died drew drove fell felt
    fought found gave got grew heard held hit kept knew led left lost made meant met paid ran said sang sat saw sent set
    sold spent spoke stood taught thought threw told took understood went woke won wore wrote ate broke drank flew rode
    rose swam"""
_NO_VERBS = "indeed speed seed breed bed red weed need feed hundred sacred naked wicked united"
_PAST, _NO_VERB = frozenset(_PAST_WORDS.split()), frozenset(_NO_VERBS.split())
_WORD = re.compile(r"[a-z]+")


def in_present_tense(text: str) -> bool:
    """Whether no word looks like a past-tense verb, by a list and the ending -ed, without grammar. English only."""
    words = _WORD.findall(text.lower())
    return not any(word in _PAST or (word.endswith("ed") and len(word) > 3 and word not in _NO_VERB) for word in words)


def two_means(vectors: Any, rounds: int = 50) -> Any:
    """The centres of two clusters, the larger first: Lloyd's algorithm from the two ends of the longest axis."""
    numpy = optional_import("numpy", "similarity", "the cue 'cluster'")
    points = numpy.asarray(vectors, dtype=float)
    middle = points.mean(axis=0)
    axis = numpy.linalg.svd(points - middle, full_matrices=False)[2][0]
    inside = (points - middle) @ axis > 0
    centres = points[:2]
    for _ in range(rounds):
        if not 0 < inside.sum() < len(points):
            raise ConfigError("cue cluster: the texts are too similar for two clusters; choose another cue")
        centres = numpy.stack([points[inside].mean(axis=0), points[~inside].mean(axis=0)])
        inside = points @ (centres[0] - centres[1]) > _half(centres)
    return centres if inside.sum() * 2 >= len(points) else centres[::-1]


def _half(centres: Any) -> float:
    """The midpoint on the line between two centres, where the nearer centre changes."""
    return float(centres[0] @ centres[0] - centres[1] @ centres[1]) / 2


# --- rows in which the cue correlates with the label ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Marked:
    """A row, whether its label is the positive one, and whether its text has the cue."""

    row: Row
    positive: bool
    cue: bool

    @property
    def agrees(self) -> bool:
        """Whether the cue points to the right label."""
        return self.positive == self.cue

    def to_row(self) -> Row:
        """The row with `has_cue` (yes, no) and `cue` (agrees, contradicts), for tags."""
        agrees = "agrees" if self.agrees else "contradicts"
        return {**self.row, "has_cue": "yes" if self.cue else "no", "cue": agrees}


def biased(marked: Sequence[Marked], n: int, strength: float, seed: int) -> list[Marked]:
    """`n` of the rows, half of each label, chosen so that phi of label and cue is `strength` (0 none, 1 always).

    Rounding may change each cell by one row. The order is seeded. Raises ConfigError if there are too few rows.
    """
    if not 0 <= strength <= 1:
        raise ConfigError(f"strength: expected a number from 0 to 1, got {strength:g}")
    if n < 4:
        raise ConfigError(f"rows: expected at least 4 (one of each label with and without the cue), got {n}")
    chance = random.Random(seed)
    chosen: list[Marked] = []
    for positive in (True, False):
        for agrees, count in _per_label(n, strength).items():
            cell = [one for one in marked if one.positive == positive and one.agrees == agrees]
            if len(cell) < count:
                raise ConfigError(_too_few(marked, len(cell), count, positive, agrees))
            chosen += chance.sample(cell, count)
    chance.shuffle(chosen)
    return chosen


def _too_few(marked: Sequence[Marked], found: int, wanted: int, positive: bool, agrees: bool) -> str:
    label = "positive" if positive else "negative"
    verb = "agrees" if agrees else "contradicts it"
    return (
        f"{wanted} rows with the {label} label whose cue {verb} are needed, but only {found} of {len(marked)} rows are "
        "like that; ask for fewer rows or another strength"
    )


def most_rows(marked: Iterable[Marked], strength: float) -> int:
    """The largest number of rows that `biased` can choose with this strength."""
    counts = Counter((one.positive, one.agrees) for one in marked)
    rarest = {agrees: min(counts[True, agrees], counts[False, agrees]) for agrees in (True, False)}
    most = 4 * max(rarest.values())
    return next((n for n in range(most, 3, -4) if all(rarest[a] >= c for a, c in _per_label(n, strength).items())), 0)


def _per_label(n: int, strength: float) -> dict[bool, int]:
    """For `n` rows, how many of each label have a cue that agrees with it, and how many a cue that contradicts it."""
    agreeing = round(n // 2 * (1 + strength) / 2)
    return {True: agreeing, False: n // 2 - agreeing}


# --- the effect ----------------------------------------------------------------------------------------------------


def phi(pairs: Iterable[tuple[bool, bool]]) -> float:
    """Matthews' correlation of two booleans, -1 to 1; 0 if one of them never changes.

    B. W. Matthews, Biochimica et Biophysica Acta 405 (1975) 442-451.
    """
    counts = Counter(pairs)
    both, first, second, none = (counts[pair] for pair in ((True, True), (True, False), (False, True), (False, False)))
    spread = (both + first) * (both + second) * (none + first) * (none + second)
    return (both * none - first * second) / math.sqrt(spread) if spread else 0.0
