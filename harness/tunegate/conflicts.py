"""Label noise that shows in the training data themselves: nearly the same question with two answers. Pure.

Two rows disagree when their prompts share NEARLY of their words, their answers differ, and no word of either answer is
among the words in which the prompts differ. The last is what tells noise from a contrast: of two paragraphs that differ
only in "dominant" and "recessive", the answers should differ, and do so in that word.

Pairs are found exactly, without comparing all of them: texts that share so many words share one of their rarest
(prefix filter; S. Chaudhuri, V. Ganti and R. Kaushik, ICDE 2006).
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil

from tunegate.kinds import label
from tunegate.training_data import Example

NEARLY = 0.85
"""The share of distinct words, of all that two prompts have, that both have (Jaccard)."""
FEWEST_WORDS = 4
MOST_ROWS = 5000
"""Of more rows, the first so many are looked at: a diagnosis must not take longer than a training."""

_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two training rows, by number, that answer nearly the same question with different answers."""

    first: int
    second: int
    answers: tuple[str, str]

    @property
    def in_words(self) -> str:
        one, other = (answer if len(answer) <= 40 else answer[:39] + "…" for answer in self.answers)
        return f"rows {self.first} and {self.second}: {one!r} and {other!r}"


@dataclass(frozen=True, slots=True)
class _Asked:
    number: int
    words: frozenset[str]
    answer: str


def conflicts(examples: Sequence[Example]) -> list[Conflict]:
    """The pairs of rows that disagree, in the order of their rows; a row given twice is one."""
    distinct = {example.number: example for example in examples}.values()
    asked = [
        _Asked(example.number, words, example.wanted)
        for example in list(distinct)[:MOST_ROWS]
        if example.prompt is not None and example.wanted is not None
        and len(words := frozenset(_words(_text(example)))) >= FEWEST_WORDS
    ]  # fmt: skip
    found = [
        Conflict(min(a.number, b.number), max(a.number, b.number), _in_order(a, b))
        for a, b in _near(asked)
        if label(a.answer) != label(b.answer) and not _told_apart(a, b)
    ]
    return sorted(found, key=lambda one: (one.first, one.second))


def in_conflict(examples: Sequence[Example]) -> frozenset[int]:
    """The numbers of all rows that disagree with another: which of the two is wrong, no count can say."""
    return frozenset(number for one in conflicts(examples) for number in (one.first, one.second))


def _in_order(a: _Asked, b: _Asked) -> tuple[str, str]:
    return (a.answer, b.answer) if a.number < b.number else (b.answer, a.answer)


def _told_apart(a: _Asked, b: _Asked) -> bool:
    """Whether the prompts differ in a word that one of the answers holds."""
    return bool((a.words ^ b.words) & {*_words(a.answer), *_words(b.answer)})


def _near(asked: Sequence[_Asked]) -> Iterator[tuple[_Asked, _Asked]]:
    counts = Counter(word for one in asked for word in one.words)
    holders: dict[str, list[_Asked]] = defaultdict(list)
    for one in sorted(asked, key=lambda asked: (len(asked.words), asked.number)):
        rarest = sorted(one.words, key=lambda word: (counts[word], word))
        prefix = rarest[: len(rarest) - ceil(NEARLY * len(rarest)) + 1]
        near = {other.number: other for word in prefix for other in holders[word]}
        for other in near.values():
            shared = len(one.words & other.words)
            if shared >= NEARLY * (len(one.words) + len(other.words) - shared):
                yield other, one
        for word in prefix:
            holders[word].append(one)


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _text(example: Example) -> str:
    assert example.prompt is not None
    if isinstance(example.prompt, str):
        return example.prompt
    return "\n".join(message["content"] for message in example.prompt if message["role"] != "system")
