"""One look at all rows of a training file, block by block, in bounded memory: what its data card needs of each row.

Several processes render the rows and look at them. Only digests of the rows are kept, because a card counts equal
rows, answers and tags, and shows few of them. `texts` finds these few when the rows are read again.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Set
from contextlib import closing
from dataclasses import dataclass, field
from heapq import heappush, heappushpop
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from tunegate.cases.bank import draw_rank
from tunegate.cases.case import asked
from tunegate.data.faults import DataFaults
from tunegate.data.prepare import row_pii
from tunegate.data.token_lengths import CountTokens
from tunegate.data.training_data import Example, Faults, TrainingFile, check_labels, hashed
from tunegate.exceptions import ConfigError
from tunegate.models.pii_names import name_finder
from tunegate.processes import in_blocks, in_order
from tunegate.progress import Progress
from tunegate.reading.rows import Row
from tunegate.text.digests import digest_of

DIGEST = 12
"""Bytes of a digest. The chance that any two of 100 million different texts have the same one is below 10^-13."""
LANGUAGE_ROWS = 200
"""The number of random rows whose language is recognised."""
ROWS_SHOWN = 20
SHORT_ANSWER = 200
"""An answer of this number of characters, or more, is not counted among the most common ones."""

T = TypeVar("T")


# --- every row -----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Digests:
    """Digests of rows and of their texts, one after the other, in the order of the rows.

    `asked` has two for each row with a prompt: those of the question and of its answer. `answers` are short answers.
    """

    numbers: array[int] = field(default_factory=lambda: array("Q"))
    rows: bytearray = field(default_factory=bytearray)
    wanted: bytearray = field(default_factory=bytearray)
    answers: bytearray = field(default_factory=bytearray)
    tags: bytearray = field(default_factory=bytearray)
    asked: bytearray = field(default_factory=bytearray)
    labels: Counter[bool | None] = field(default_factory=Counter[bool | None])

    def add(self, later: Digests) -> None:
        self.numbers += later.numbers
        self.rows += later.rows
        self.wanted += later.wanted
        self.answers += later.answers
        self.tags += later.tags
        self.asked += later.asked
        self.labels.update(later.labels)


def digests_of(examples: Iterable[Example]) -> Digests:
    found = Digests()
    for example in examples:
        found.numbers.append(example.number)
        found.rows += _digest(example.to_json())
        found.labels[example.label] += 1
        if example.wanted is not None:
            found.wanted += _digest(example.wanted)
        for answer in _short_answer(example):
            found.answers += _digest(answer)
        for tag in example.tags:
            found.tags += _digest(tag)
        if example.prompt is not None:
            found.asked += b"".join(map(_digest, _asked_and_answered(example)))
    return found


def _digest(text: str) -> bytes:
    return digest_of(text, DIGEST)


def _short_answer(example: Example) -> tuple[str, ...]:
    """The answer to learn, with single spaces; nothing if it is long or missing."""
    wanted = example.wanted
    return () if wanted is None or len(wanted) >= SHORT_ANSWER else (" ".join(wanted.split()),)


def _asked_and_answered(example: Example) -> tuple[str, str]:
    """What a row is about, and what it says: the label of a prompt and its answer, or, without labels, an answer.

    A row with two answers contradicts no other row, so all such rows count as having the same answer.
    """
    assert example.prompt is not None
    prompt, answers = asked(example.prompt), list(example.answers.values())
    if example.label is not None:
        return json.dumps([prompt, *answers]), str(example.label)
    return prompt, answers[0] if len(answers) == 1 else ""


def texts(examples: Iterable[Example], wanted: Set[bytes], path: Path) -> dict[bytes, str]:
    """The short answers and tags with these digests; raises ConfigError if the examples no longer have them."""
    found: dict[bytes, str] = {}
    for example in examples if wanted else ():
        for text in (*_short_answer(example), *example.tags):
            if (digest := _digest(text)) in wanted:
                found[digest] = text
        if len(found) == len(wanted):
            break
    if len(found) < len(wanted):
        raise ConfigError(f"{path}: the rows changed while they were read; start again when nothing writes to the file")
    return found


# --- the rows that are looked at closely ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Looking:
    """How to look at rows closely: rows with more than `max_length` tokens are listed; without `find_pii`, nothing
    looks for personal data; `names` is a spaCy model that also finds names."""

    count_tokens: CountTokens
    max_length: int | None
    find_pii: bool
    names: str | None


@dataclass(slots=True)
class Details:
    """How many rows have each length, and how often each kind of personal data is found.

    `longer` are the numbers of the first rows that are too long; `with_pii`, of the first rows with personal data.
    """

    lengths: Counter[int] = field(default_factory=Counter[int])
    longer: list[int] = field(default_factory=list[int])
    kinds: Counter[str] = field(default_factory=Counter[str])
    with_pii: list[int] = field(default_factory=list[int])

    def add(self, other: Details) -> None:
        self.lengths.update(other.lengths)
        self.longer = sorted((*self.longer, *other.longer))[:ROWS_SHOWN]
        self.kinds.update(other.kinds)
        self.with_pii = sorted((*self.with_pii, *other.with_pii))[:ROWS_SHOWN]


class CloseLook:
    """Looks at rows closely; built once in each process."""

    def __init__(self, looking: Looking) -> None:
        self._how = looking
        self._find_names = None if looking.names is None or not looking.find_pii else name_finder(looking.names)

    def __call__(self, examples: Sequence[Example], progress: Progress | None = None) -> Details:
        counts = self._how.count_tokens(examples, progress)
        limit = self._how.max_length
        longer = [one.number for one, n in zip(examples, counts, strict=True) if limit is not None and n > limit]
        kinds: Counter[str] = Counter()
        with_pii: list[int] = []
        for done, example in enumerate(examples if self._how.find_pii else ()):
            if progress is not None and done % 1000 == 0:
                progress("personal data", done, len(examples), "rows")
            if found := row_pii(example, self._find_names).kinds:
                kinds.update(found)
                with_pii.append(example.number)
        if progress is not None and self._how.find_pii:
            progress("personal data", len(examples), len(examples), "rows")
        return Details(Counter(counts), sorted(longer)[:ROWS_SHOWN], kinds, sorted(with_pii)[:ROWS_SHOWN])


class Draw(Generic[T]):
    """The first `most` of all added rows, in `draw_order`; if no more were added, all of them, as they were added."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._seen = 0
        self._kept: list[tuple[int, int, T]] = []

    def add(self, number: int, row: T) -> None:
        entry = (-draw_rank(str(number), seed=0), self._seen, row)
        self._seen += 1
        if self._seen <= self._most:
            heappush(self._kept, entry)
        else:
            heappushpop(self._kept, entry)

    @property
    def rows(self) -> list[T]:
        in_order = sorted(self._kept, key=lambda entry: entry[1] if self._seen <= self._most else -entry[0])
        return [row for _, _, row in in_order]


# --- by blocks -----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Survey:
    """What is known about all rows. `sample` are the rows whose language is to be recognised."""

    digests: Digests
    details: Details
    sha256: str
    sample: Sequence[Example]


@dataclass(frozen=True, slots=True)
class _Seen:
    """What was found in a block; `hashed` is its part of what the hash of the rows covers."""

    digests: Digests
    details: Details
    hashed: bytes
    faults: Faults


class _BlockReader:
    """Renders the rows of a block and looks at them; built once in each process."""

    def __init__(self, how: tuple[TrainingFile, Looking]) -> None:
        self._file, looking = how
        self._look = CloseLook(looking)

    def __call__(self, rows: Sequence[tuple[int, Row]]) -> _Seen:
        examples, faults = self._file.rendered(rows)
        return _Seen(digests_of(examples), self._look(examples), b"".join(map(hashed, examples)), faults)


def survey(
    file: TrainingFile, looking: Looking, progress: Progress | None = None, processes: int | None = None
) -> Survey:
    """Look at all rows once, in blocks; the result does not depend on the blocks or the number of processes.

    Raises DataFaults with every row that does not fit the method.
    """
    digests, details, faults = Digests(), Details(), Faults()
    sha256 = hashlib.sha256()
    drawn = Draw[tuple[int, Row]](LANGUAGE_ROWS)
    blocks = in_blocks(_drawing(file, drawn), lambda numbered: _characters(numbered[1]))
    block: _Seen
    with closing(in_order(_BlockReader, (file, looking), blocks, processes)) as seen:  # an interrupt ends the workers
        for block in seen:
            digests.add(block.digests)
            details.add(block.details)
            sha256.update(block.hashed)
            for fault, rows in block.faults.items():
                faults.setdefault(fault, []).extend(rows)
            if progress is not None:
                progress("data card", len(digests.numbers), 0, "rows")
    if faults:
        raise DataFaults(file.path, faults, len(digests.numbers))
    check_labels(file.path, digests.labels)
    sample, _ = file.rendered(drawn.rows)
    return Survey(digests, details, sha256.hexdigest(), sample)


def _drawing(file: TrainingFile, drawn: Draw[tuple[int, Row]]) -> Iterator[tuple[int, Row]]:
    for number, row in file:
        drawn.add(number, (number, row))
        yield number, row


def _characters(value: Any) -> int:
    """The length of all texts and bytes in a value of a row."""
    if isinstance(value, str | bytes):
        return len(value)
    if isinstance(value, dict):
        return sum(map(_characters, cast("dict[str, Any]", value).values()))
    return sum(map(_characters, cast("Sequence[Any]", value))) if isinstance(value, list | tuple) else 1
