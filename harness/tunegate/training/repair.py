"""The rows of an attempt: the first of a seeded order, repaired and mixed by its settings. Pure functions.

The rows depend only on data, settings and seed, which are on record: a killed attempt resumes with exactly the same
rows.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

from tunegate.cases.bank import draw_order
from tunegate.data.conflicts import in_conflict
from tunegate.data.kinds import classes, of_kind
from tunegate.data.training_data import Example, TrainingData
from tunegate.pipeline.ladders import Settings

MOST_REPEATS = 4
"""A row is repeated at most this often: a few memorised rows teach nothing about their kind."""


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """The rows of an attempt, in order, and notes on how they were chosen."""

    examples: list[Example]
    notes: list[str] = field(default_factory=list[str])

    def to_json(self) -> dict[str, Any]:
        """The facts for the record: which rows these are."""
        digest = hashlib.sha256("\n".join(example.to_json() for example in self.examples).encode(errors="replace"))
        return {"rows": len(self.examples), "sha256": digest.hexdigest(), "notes": self.notes}


def training_set(data: TrainingData, replay: TrainingData | None, settings: Settings, seed: int) -> TrainingSet:
    """The rows of an attempt with these settings."""
    base, notes = data.take(settings.rows, seed), list[str]()
    if settings.conflicts == "drop":
        bad = in_conflict(base)
        if bad and len(bad) < len(base):
            base = [example for example in base if example.number not in bad]
            notes.append(f"{len(bad)} rows left out that answer the same question differently")
    if settings.repair and settings.kinds:
        pool = data.take(None, seed)
        base = repaired(base, pool, settings.kinds, settings.repair, seed)
        notes.append(_note(base, pool, settings.kinds))
    if settings.replay and replay is not None:
        general = replayed(base, replay, settings.replay, seed)
        notes.append(_mixed_in(general, base, replay, settings.replay))
        base = [*base, *general]
    return TrainingSet(base, notes)


def repaired(
    base: Sequence[Example], pool: Sequence[Example], kinds: Sequence[str], share: float, seed: int
) -> list[Example]:
    """As much text as `base`, with `share` of it from rows of these kinds: those of `base`, others of the `pool`, then
    the same again, each at most MOST_REPEATS times. The rest are the other rows of `base`, in their order.

    If there are too few rows of the kinds, other rows of `base` fill the remaining text.
    """
    known = classes(pool)
    budget = sum(map(size, base))
    weak: list[Example] = []
    for kind in kinds:
        own = of_kind(base, kind, known)
        there = {example.number for example in own}
        more = of_kind((example for example in pool if example.number not in there), kind, known)
        weak += _filled(_again([*own, *more], seed), share * budget / len(kinds))
    numbers = {example.number for example in weak}
    rest = [example for example in base if example.number not in numbers]
    return _filled(iter(rest), budget - sum(map(size, weak))) + weak


def replayed(base: Sequence[Example], replay: TrainingData, share: float, seed: int) -> list[Example]:
    """General rows that are `share` of the text after they are added to `base`: the first of a seeded order."""
    wanted = share / (1.0 - share) * sum(map(size, base))
    return [replace(row, general=True) for row in _filled(iter(replay.take(None, seed)), wanted)]


def _mixed_in(general: Sequence[Example], base: Sequence[Example], replay: TrainingData, wanted: float) -> str:
    if len(general) < len(replay.examples):
        return f"{len(general)} rows of general data mixed in ({wanted:.0%} of the text)"
    added = sum(map(size, general))
    share = added / (added + sum(map(size, base)))
    return f"all {len(general)} rows of general data mixed in ({share:.0%} of the text, {wanted:.0%} wanted)"


def size(example: Example) -> int:
    """Characters of a training row; to count tokens would need the model's tokenizer."""
    return len(example.to_json())


def _again(rows: Sequence[Example], seed: int) -> Iterator[Example]:
    """The rows in their order, then again in other orders, MOST_REPEATS times in total."""
    by_number = {str(example.number): example for example in rows}
    rounds = (draw_order(by_number, seed + turn) for turn in range(1, MOST_REPEATS))
    return chain(rows, (by_number[number] for order in rounds for number in order))


def _filled(rows: Iterator[Example], budget: float) -> list[Example]:
    """Rows until the budget of text is used up: the last row is included if more than half of it fits."""
    taken: list[Example] = []
    left = budget
    for example in rows:
        if left < size(example) / 2:
            break
        taken.append(example)
        left -= size(example)
    return taken


def _note(rows: Sequence[Example], pool: Sequence[Example], kinds: Sequence[str]) -> str:
    known = classes(pool)
    times = Counter(example.number for example in rows)
    distinct = {example.number: example for example in rows}.values()
    parts: list[str] = []
    for kind in kinds:
        own = of_kind(distinct, kind, known)
        parts.append(f"{kind}: {len(own)} rows, used {sum(times[example.number] for example in own)} times")
    return f"repaired: {'; '.join(parts)}"
