"""The first look at all training rows, block by block, in bounded memory: which rows can leak a case at all.

The weight of a run of words depends on all rows (`grams`), so no block can decide alone. A block tells which runs of
the cases each of its texts shares, and whether a text matches a case in a way that needs no weights. Several workers
look at blocks (`InOrder`). Of a row, only a digest of each text is kept; a text that shares too little with the cases
to be a leak, whatever the weights, only adds to the counts. `compare` then reads the rows that are left again, and
decides.

A pair whose weighted Jaccard similarity reaches a threshold also shares that part of the case's weight and of the
text's own (Chaudhuri, Ganti and Kaushik 2006), so nothing that `compare` would find is left out.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from contextlib import closing
from dataclasses import dataclass, field
from itertools import count

from tunegate.exceptions import ConfigError
from tunegate.leaks.by_question import Look, framed_questions, inner_questions, same_questions
from tunegate.leaks.short_prompts import short_prompts
from tunegate.leaks.texts import SHORTEST_COMPARED, CaseText, TrainRow, TrainText, train_texts
from tunegate.processes import InOrder, in_blocks, in_order
from tunegate.progress import Progress
from tunegate.text.digests import digest_of, each
from tunegate.text.grams import (
    LONGEST_RUN,
    SHINGLE,
    SHORTEST_RUN,
    Containment,
    RunFinder,
    Vocabulary,
    run_length,
    runs,
    shingles_in_order,
)
from tunegate.text.minhash import NEARLY_THE_SAME

CONTAINED = 0.8
"""The share of a case's runs that makes a leak; fitted on half of the gene tests (docs/leakage.md)."""
ROUNDING = 1e-6
"""Two sums of the same weights in different orders differ by less."""
DIGEST = 16


class Runs:
    """Texts of cases by their runs of words; the vocabulary counts the training texts that contain each run."""

    def __init__(self, cases: Sequence[CaseText], length: Callable[[Sequence[str]], int]) -> None:
        self.cases = cases
        self.grams = [runs(words, length(words)) for words in (case.normal.split() for case in cases)]
        self.vocabulary = Vocabulary(self.grams)
        self.in_order = sorted(self.vocabulary.texts)
        """Every run; its place in this list is its number."""

    @property
    def numbers(self) -> dict[str, int]:
        return dict(zip(self.in_order, count(), strict=False))

    def by_number(self, numbers: bytes) -> set[str]:
        return {self.in_order[number] for number in array("I", numbers)}


class CaseIndex:
    """The texts of cases by runs: for containment, whole texts and their parts apart, and for near-duplicates.

    Whole texts and parts are weighted apart: what a text shares with its own part is not a template. Near-duplicates of
    shorter cases are not looked for: "I want help to see my order" and "I need help to see my order" are two requests.
    """

    def __init__(self, cases: Sequence[CaseText], parts: Sequence[CaseText]) -> None:
        self.cases, self.parts = cases, parts
        self.whole, self.of_parts = (
            Runs([case for case in group if case.length >= SHORTEST_RUN], run_length) for group in (cases, parts)
        )
        long = [case for case in cases if case.part != "reference" and case.length >= LONGEST_RUN]
        self.near = Runs(long, lambda _: SHINGLE)
        longest = max((len(case.normal.split()) for case in long), default=0)
        self.compared_lengths = range(SHORTEST_COMPARED, int(2 * (longest / NEARLY_THE_SAME)) + 1)
        """The numbers of words of texts that can be near-duplicates."""

    def __reduce__(self) -> tuple[type[CaseIndex], tuple[Sequence[CaseText], Sequence[CaseText]]]:
        """A worker gets the texts and builds the index itself: the runs are many times as large."""
        return CaseIndex, (self.cases, self.parts)

    @property
    def groups(self) -> tuple[Runs, Runs, Runs]:
        return self.whole, self.of_parts, self.near

    def finder(self) -> RunFinder:
        """Finds the runs of whole texts and of parts."""
        return RunFinder(run for group in (self.whole, self.of_parts) for run in group.vocabulary.texts)


Shared = tuple[bytes, bytes, bytes, bool]
"""The numbers of the runs that a text shares with each group of the index, and whether it can be a leak by them."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a block tells: how many texts each row has, their digests in order, which are questions, which match
    without weights, and the digests of the texts that share the same runs."""

    per_row: array[int]
    digests: bytes
    questions: bytes
    matching: frozenset[bytes]
    shared: dict[Shared, bytes]


class _BlockReader:
    """Looks at the rows of a block; built once in each process."""

    def __init__(self, index: CaseIndex) -> None:
        cases, parts = index.cases, index.parts
        self._index = index
        self._finder = index.finder()
        self._numbers = [group.numbers for group in index.groups]
        self._asked = {case.normal for case in cases if case.part == "prompt"}
        both = [*cases, *parts]
        self._looks: list[Look] = [
            same_questions(parts),
            framed_questions(both),
            short_prompts(both),
            inner_questions(both),
        ]

    def __call__(self, rows: Sequence[TrainRow]) -> _Seen:
        per_row, digests, questions = array("I"), bytearray(), bytearray()
        known: dict[str, bytes] = {}
        counted: set[bytes] = set()
        matching: set[bytes] = set()
        shared: dict[Shared, bytearray] = {}
        for row in rows:
            texts = train_texts([row])
            per_row.append(len(texts))
            for text in texts:
                digest = known.get(text.text)
                if digest is None:
                    digest = known[text.text] = digest_of(text.normal, DIGEST)
                    if self._matches(text):
                        matching.add(digest)
                    if digest not in counted and (runs_of := self._shared(text)) is not None:
                        shared.setdefault(runs_of, bytearray()).extend(digest)
                    counted.add(digest)
                digests += digest
                questions.append(text.is_question)
        plain = {key: bytes(value) for key, value in shared.items()}
        return _Seen(per_row, bytes(digests), bytes(questions), frozenset(matching), plain)

    def _matches(self, text: TrainText) -> bool:
        """Whether it is a leak in a way that needs no weights, if another row asks it."""
        asked = TrainText(text.normal, text.text, is_question=True)
        return text.normal in self._asked or any(True for look in self._looks for _ in look(asked))

    def _shared(self, text: TrainText) -> Shared | None:
        words = text.normal.split()
        shingles = shingles_in_order(words)
        found = self._finder.find(words, shingles)
        whole, parts = (
            _packed(numbers[run] for run in found if run in numbers) if found else b"" for numbers in self._numbers[:2]
        )
        near, can_be = b"", bool(found)
        if len(words) in self._index.compared_lengths:
            numbers = self._numbers[2]
            distinct = set(shingles)
            held = numbers.keys() & distinct
            near = _packed(map(numbers.__getitem__, held))
            can_be = can_be or len(held) >= (NEARLY_THE_SAME - ROUNDING) * len(distinct) > 0
        return (whole, parts, near, can_be) if whole or parts or near else None


def _packed(numbers: Iterable[int]) -> bytes:
    return array("I", sorted(numbers)).tobytes()


@dataclass(slots=True)
class Survey:
    """What is known of all rows: the counts of runs (in `index`), the texts of each row, and those to compare."""

    index: CaseIndex
    per_row: array[int] = field(default_factory=lambda: array("I"))
    digests: bytearray = field(default_factory=bytearray)
    questions: bytearray = field(default_factory=bytearray)
    to_compare: set[bytes] = field(default_factory=set[bytes])

    def texts(self, rows: Iterable[TrainRow]) -> list[TrainText]:
        """The texts of all rows with a text to compare; raises ConfigError if the rows are not those of the survey."""
        wanted = self._wanted_rows()
        kept: list[TrainRow] = []
        beside: set[bytes] = set()
        numbered = zip(count(), rows, strict=False)
        for number, start in wanted:
            row = next((row for at, row in numbered if at == number), None)
            own = self._row(number, start)
            if row is None or {digest_of(text.normal, DIGEST) for text in train_texts([row])} != own:
                raise ConfigError(f"{row.file if row else 'training rows'}: the rows changed while they were compared")
            kept.append(row)
            beside |= own
        asked = self._asked(beside)
        found = train_texts(kept)
        for text in found:
            text.is_question = digest_of(text.normal, DIGEST) in asked
        return found

    def _wanted_rows(self) -> list[tuple[int, int]]:
        """The number of each row to compare, and where its digests begin."""
        found: list[tuple[int, int]] = []
        start = 0
        for number, texts in enumerate(self.per_row):
            end = start + texts * DIGEST
            if self.to_compare and not self.to_compare.isdisjoint(each(self.digests[start:end], DIGEST)):
                found.append((number, start))
            start = end
        return found

    def _row(self, number: int, start: int) -> set[bytes]:
        return set(each(self.digests[start : start + self.per_row[number] * DIGEST], DIGEST))

    def _asked(self, among: set[bytes]) -> set[bytes]:
        """The texts that some row asks."""
        pairs = zip(each(self.digests, DIGEST), self.questions, strict=True) if among else ()
        return {digest for digest, is_question in pairs if is_question and digest in among}


def survey(
    rows: Iterable[TrainRow],
    cases: Sequence[CaseText],
    parts: Sequence[CaseText],
    progress: Progress | None = None,
    in_order: InOrder = in_order,
) -> Survey:
    """Look at all rows once, in blocks; the result does not depend on the blocks, nor on which workers look at them."""
    found = Survey(CaseIndex(cases, parts))
    groups = found.index.groups
    counts = [array("Q", bytes(8 * len(group.in_order))) for group in groups]
    counted: set[bytes] = set()
    may_leak: dict[Shared, bytearray] = {}
    total = len(rows) if isinstance(rows, Sized) else 0
    block: _Seen
    blocks = in_blocks(rows, _characters)
    with closing(in_order(_BlockReader, found.index, blocks)) as seen:  # an interrupt ends the workers
        for block in seen:
            found.per_row += block.per_row
            found.digests += block.digests
            found.questions += block.questions
            found.to_compare |= block.matching
            for shared, digests in block.shared.items():
                new = [digest for digest in each(digests, DIGEST) if digest not in counted]
                counted.update(new)
                for numbers, of_group in zip(shared[:3], counts, strict=True):
                    for number in array("I", numbers) if new else ():
                        of_group[number] += len(new)
                if shared[-1] and new:
                    may_leak.setdefault(shared, bytearray()).extend(b"".join(new))
            if progress is not None:
                progress("leaks", len(found.per_row), total, "rows")
    for group, of_group in zip(groups, counts, strict=True):
        group.vocabulary.texts.update(dict(zip(group.in_order, of_group, strict=True)))
    found.to_compare.update(_by_weight(found.index, may_leak))
    return found


def _by_weight(index: CaseIndex, may_leak: dict[Shared, bytearray]) -> Iterator[bytes]:
    """The digests of the texts that can be leaks by the runs that they share, now that all counts are known."""
    thresholds = (CONTAINED, CONTAINED, NEARLY_THE_SAME)
    matchers = [
        Containment(group.grams, group.vocabulary, threshold - ROUNDING).matcher()
        for group, threshold in zip(index.groups, thresholds, strict=True)
    ]
    for shared, digests in may_leak.items():
        numbers = shared[:3]
        if any(
            any(True for _ in match(group.by_number(packed)))
            for group, match, packed in zip(index.groups, matchers, numbers, strict=True)
        ):
            yield from each(digests, DIGEST)


def _characters(row: TrainRow) -> int:
    return sum(map(len, row.questions)) + sum(map(len, row.answers))
