"""What a case or a training row is like, as features that a rule can name: known before anybody looks at a verdict.

A feature is a short text: a tag as it is, or `answer=not inherited`, `word=percent`, `has=percentage`, `asks=how many`,
`group=g1`, or a length in words, `prompt_words>12`. Both cases and training rows have them, so a rule about missed
cases selects training rows too. Only the length of the model's answer is a feature of cases alone. Dates, negations and
question words are recognised in English.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from tunegate.cases.case import Prompt, asked
from tunegate.text.words import count_words, words_and_pairs

BOTH = " & "
"""Between the two features of a rule, where it is the name of a kind of row."""
LONGEST_LABEL = 60
"""Maximum characters; longer answers are texts, not classes."""

_MONTHS = (
    "january|february|march|april|june|july|august|september|october|november|december|jan|feb|mar|apr|jun|jul|aug|"
    "sept?|oct|nov|dec"
)
_SIGNS: Mapping[str, re.Pattern[str]] = {
    "percentage": re.compile(r"[%٪％]|\bper ?cent(?:age)?s?\b", re.IGNORECASE),
    "number": re.compile(r"\d"),
    "date": re.compile(
        rf"\b(?:1[5-9]|20)\d\d\b|\b\d{{1,2}}[./-]\d{{1,2}}[./-]\d{{2,4}}\b|\b(?:{_MONTHS})\b\.? \d", re.IGNORECASE
    ),
    "negation": re.compile(r"\b(?:not|no|never|none|without|cannot|nor|neither|except)\b|n['’]t\b", re.IGNORECASE),
    "quotation": re.compile(r"[\"“”«»„]"),
}
_ASKS = re.compile(
    r"\b(how many|how much|how often|how long|how|what|which|who|whom|whose|when|where|why)\b", re.IGNORECASE
)
_NOT_TAGS = ("answer=", "has=", "asks=", "group=")
_LENGTH = re.compile(r"(prompt|reference|response)_words(>|<=)(\d+)")
_WORDED: Mapping[str, str] = {
    "prompt": "prompts of {}",
    "reference": "expected answers of {}",
    "response": "answers of {} from the model",
}
_SAID: Mapping[str, str] = {
    "percentage": "a percentage in them",
    "number": "a number in them",
    "date": "a date or a year in them",
    "negation": "a negation in them",
    "quotation": "quotation marks in them",
}


def label(text: str) -> str:
    """An answer as a class: normalised for comparison, without a final full stop."""
    return " ".join(text.split()).rstrip(".").casefold()


@dataclass(frozen=True, slots=True)
class Traits:
    """The features of one case or row: those by name, the words of its prompt, and its lengths in words by part."""

    names: frozenset[str]
    words: frozenset[str] = frozenset()
    lengths: Mapping[str, int] = field(default_factory=dict[str, int])

    def has(self, feature: str) -> bool:
        """Whether it has a feature.

        >>> traits_of("How many of them carry 5 %?", ("25 %",), ("task=risk",)).has("has=percentage")
        True
        """
        if feature in self.names or (feature.startswith("word=") and feature.removeprefix("word=") in self.words):
            return True
        length = _LENGTH.fullmatch(feature)
        if length is None or length[1] not in self.lengths:
            return False
        return (self.lengths[length[1]] > int(length[3])) == (length[2] == ">")

    def is_of(self, kind: str) -> bool:
        """Whether it has the feature, or the two features, that a kind names."""
        return self.has(kind) or all(map(self.has, kind.split(BOTH)))


def traits_of(
    prompt: Prompt | None,
    references: Sequence[str] = (),
    tags: Iterable[str] = (),
    group: str | None = None,
    response: str | None = None,
) -> Traits:
    """The features of a case, or of a training row, whose answer is its reference. System messages do not count."""
    text = "" if prompt is None else asked(prompt)
    question = _ASKS.search(text.rpartition("\n\n")[2]) or _ASKS.search(text)
    names = {tag.replace(BOTH, " and ") for tag in tags}
    names |= {f"answer={one}" for one in map(label, references) if 0 < len(one) <= LONGEST_LABEL}
    names |= {f"has={sign}" for sign, pattern in _SIGNS.items() if pattern.search(text)}
    names |= {f"asks={question[1].casefold()}"} if question else set()
    names |= set() if group is None else {f"group={group.replace(BOTH, ' and ')}"}
    said = {"prompt": None if prompt is None else text, "reference": next(iter(references), None), "response": response}
    return Traits(
        frozenset(name.replace(BOTH, " and ") for name in names),
        frozenset(word.casefold() for word in words_and_pairs(text)),
        {part: count_words(one) for part, one in said.items() if one is not None},
    )


def columns_of(every: Sequence[Traits], fewest: int = 2) -> dict[str, list[bool]]:
    """Each feature, and which of the cases have it: tags, answers, signs, question words, groups, lengths by quarter,
    words, each the commonest first; without those that fewer than `fewest` cases have or lack."""
    named = sorted(_counted([one.names for one in every], fewest), key=_telling)
    lengths = dict.fromkeys(feature for part in _WORDED for feature in _quarters(part, every))
    words = [f"word={word}" for word in _counted([one.words for one in every], fewest)]
    return {feature: [one.has(feature) for one in every] for feature in (*named, *lengths, *words)}


def _telling(name: str) -> int:
    """Tags first, since the user chose them."""
    return next((place for place, start in enumerate(_NOT_TAGS, 1) if name.startswith(start)), 0)


def _counted(every: Sequence[frozenset[str]], fewest: int) -> list[str]:
    counts = Counter(chain.from_iterable(every))
    kept = [name for name, count in counts.items() if fewest <= count <= len(every) - fewest]
    return sorted(kept, key=lambda name: (-counts[name], name))


def _quarters(part: str, every: Sequence[Traits]) -> Iterator[str]:
    """The shortest quarter, the shorter half, the longer half, the longest quarter."""
    lengths = sorted(one.lengths[part] for one in every if part in one.lengths)
    if not lengths:
        return
    first, middle, third = (lengths[len(lengths) * quarter // 4] for quarter in (1, 2, 3))
    yield from (f"{part}_words<={first}", f"{part}_words<={middle}", f"{part}_words>{middle}", f"{part}_words>{third}")


def known_of_rows(feature: str) -> bool:
    """Whether a training row can have a feature: a row has no answer of the model."""
    return not feature.startswith("response_words")


def in_words(features: Sequence[str]) -> str:
    """Which cases a rule is about: `questions with a percentage in them and prompts of more than 12 words`.

    >>> in_words(["has=percentage", "task=risk"])
    'questions with a percentage in them and the tag task=risk'
    """
    return f"questions with {' and '.join(map(_in_words, features))}"


def _in_words(feature: str) -> str:
    if length := _LENGTH.fullmatch(feature):
        than = f"more than {length[3]}" if length[2] == ">" else f"at most {length[3]}"
        return _WORDED[length[1]].format(f"{than} word{'' if length[3] == '1' else 's'}")
    kind, _, value = feature.partition("=")
    match kind:
        case "has":
            return _SAID.get(value, f"the tag {feature}")
        case "word":
            return f"the word {value!r} in them"
        case "asks":
            return f"{value!r} as the question word"
        case "answer":
            return f"the expected answer {value!r}"
        case "group":
            return f"the group {value}"
        case _:
            return f"the tag {feature}"
