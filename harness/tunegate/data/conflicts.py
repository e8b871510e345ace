"""Label noise that is visible in the training data: nearly the same question with two answers. Pure functions.

Two rows conflict when their prompts share NEARLY of their words, their answers differ, and no word of either answer is
among the words in which the prompts differ. The last condition separates noise from a contrast: two paragraphs that
differ only in "dominant" and "recessive" should have answers that differ in that word.

Rows with the same words are one prompt, however many there are. Two prompts that share this share of their words also
share one of their rarest words (prefix filter; S. Chaudhuri, V. Ganti and R. Kaushik, ICDE 2006): each is compared with
the `MOST_COMPARED` prompts that share its rarest words. Further prompts share only the words of a template.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from math import ceil

from tunegate.cases.traits import label
from tunegate.data.training_data import Example
from tunegate.text.words import words_and_pairs

NEARLY = 0.85
"""The share of the distinct words of two prompts that both have (Jaccard)."""
FEWEST_WORDS = 4
MOST_PROMPTS, MOST_COMPARED = 5000, 100
"""At most this number of prompts, and of comparisons for each: a diagnosis must not take longer than a training."""
MOST_PAIRS = 1000
"""At most this number of pairs are listed; `in_conflict` returns all rows."""


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


Words = frozenset[str]
Near = Callable[[Words, Words], bool]
Answers = Mapping[str, Sequence[Example]]
"""Rows by their answer, as a class (`kinds.label`)."""


@dataclass(slots=True)
class _Prompt:
    """A prompt by its words, with the rows that ask it."""

    words: Words
    answers: dict[str, list[Example]] = field(default_factory=dict[str, list[Example]])


def nearly_the_same(one: Words, other: Words) -> bool:
    """Whether two prompts share NEARLY of their words."""
    shared = len(one & other)
    return shared >= NEARLY * (len(one) + len(other) - shared)


def conflicts(examples: Sequence[Example], near: Near = nearly_the_same) -> list[Conflict]:
    """The pairs of rows in conflict, in the order of their rows, at most `MOST_PAIRS`; a repeated row counts once."""
    found = (
        _conflict(a, b)
        for ones, others in _disagreeing(examples, near)
        for answer, rows in ones.items()
        for other, against in others.items()
        for a in (rows if answer != other else ())
        for b in against
        if ones is not others or a.number < b.number
    )
    return sorted(islice(found, MOST_PAIRS), key=lambda one: (one.first, one.second))


def in_conflict(examples: Sequence[Example], near: Near = nearly_the_same) -> frozenset[int]:
    """The numbers of all rows in conflict with another: counting cannot tell which of the two is wrong."""
    found: set[int] = set()
    for pair in _disagreeing(examples, near):
        for ones, others in (pair, pair[::-1]):
            for answer, rows in ones.items():
                if len(others) > 1 or answer not in others:
                    found.update(row.number for row in rows)
    return frozenset(found)


def _conflict(a: Example, b: Example) -> Conflict:
    a, b = (a, b) if a.number < b.number else (b, a)
    return Conflict(a.number, b.number, (a.wanted or "", b.wanted or ""))


def _disagreeing(examples: Sequence[Example], near: Near) -> Iterator[tuple[Answers, Answers]]:
    """Pairs of prompts (or a prompt with itself), each with its answers that an answer of the other contradicts."""
    prompts = _prompts(examples)
    for prompt in prompts:
        if len(prompt.answers) > 1:
            yield prompt.answers, prompt.answers
    for one, other in _near(prompts, near):
        apart = one.words ^ other.words
        ones, others = _without(apart, one.answers), _without(apart, other.answers)
        if len({*ones, *others}) > 1 and ones and others:
            yield ones, others


def _without(apart: Words, answers: Answers) -> Answers:
    """The answers without any word in which the prompts differ."""
    return {answer: rows for answer, rows in answers.items() if apart.isdisjoint(_words(answer))}


def _prompts(examples: Sequence[Example]) -> list[_Prompt]:
    """The first distinct prompts, up to the limit, with all their rows."""
    prompts: dict[Words, _Prompt] = {}
    for example in {example.number: example for example in examples}.values():
        if example.prompt is None or example.wanted is None:
            continue
        words = frozenset(_words(_text(example)))
        if len(words) >= FEWEST_WORDS and (words in prompts or len(prompts) < MOST_PROMPTS):
            prompt = prompts.setdefault(words, _Prompt(words))
            prompt.answers.setdefault(label(example.wanted), []).append(example)
    return list(prompts.values())


def _near(prompts: Sequence[_Prompt], near: Near) -> Iterator[tuple[_Prompt, _Prompt]]:
    counts = Counter(word for prompt in prompts for word in prompt.words)
    holders: dict[str, list[int]] = defaultdict(list)
    by_length = sorted(prompts, key=lambda prompt: len(prompt.words))
    for place, one in enumerate(by_length):
        rarest = sorted(one.words, key=lambda word: (counts[word], word))
        prefix = rarest[: len(rarest) - ceil(NEARLY * len(rarest)) + 1]
        alike = dict.fromkeys(other for word in prefix for other in holders[word][-MOST_COMPARED:])
        for other in islice(alike, MOST_COMPARED):
            if near(one.words, by_length[other].words):
                yield by_length[other], one
        for word in prefix:
            holders[word].append(place)


def _words(text: str) -> list[str]:
    return words_and_pairs(text.casefold())


def _text(example: Example) -> str:
    assert example.prompt is not None
    if isinstance(example.prompt, str):
        return example.prompt
    return "\n".join(message["content"] for message in example.prompt if message["role"] != "system")
