"""Leakage: training data that are also in a gate's suite. A model cannot be tested on what it was taught.

Four comparisons, the most certain first; a pair of row and case is reported once, by the first that finds it:

- `exact`: a training prompt is a case's prompt, ignoring letter case, punctuation, white space and disguises
  (`disguises`), or has its question in another frame (`by_question`).
- `containment`: a training text contains a case's prompt, question, context or long reference, or `CONTAINED` of its
  13-word runs; or a training prompt is most of a case's question.
- `near_duplicate`: a text is a case's prompt or context with some words changed.
- `embedding`, on request: a training prompt has the same meaning as a case's prompt.

Text that a template puts into every prompt has little weight (`grams`). docs/leakage.md has the measurements.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice, product
from typing import Any

from tunegate.data.training_data import TrainingData
from tunegate.exceptions import CannotJudge, ConfigError
from tunegate.leaks.by_question import (
    Match,
    asked_without_a_passage,
    each,
    framed_questions,
    inner_questions,
    question_texts,
    same_questions,
    taught_options,
)
from tunegate.leaks.short_prompts import short_prompts
from tunegate.leaks.survey import CONTAINED, CaseIndex, survey
from tunegate.leaks.texts import STOCK_ANSWER_ROWS, CaseText, StageRows, TrainRow, TrainText, case_texts, train_texts
from tunegate.models.sentences import Embed
from tunegate.optional import optional_import
from tunegate.processes import InOrder, in_order
from tunegate.progress import Progress
from tunegate.suites.suite import Suite
from tunegate.text.grams import SHINGLE, Containment, runs
from tunegate.text.minhash import NEARLY_THE_SAME, NearDuplicates
from tunegate.text.words import word_spans

ALL_PAIRS = 1000
"""Above this number of pairs, only the most similar case of each row, and row of each case, are reported."""


@dataclass(frozen=True, slots=True)
class Looking:
    """How to compare: with `embed`, prompts are also compared by meaning, and a cosine of `at_least` is a leak.

    `in_order` has workers look at the blocks of rows; any workers find the same leaks. Default: a process per core.
    """

    embed: Embed | None = None
    at_least: float = 1.0
    progress: Progress | None = None
    in_order: InOrder = in_order


@dataclass(frozen=True, slots=True)
class Leak:
    """A training row and the case that it leaks. `similarity` is between 0 and 1, and 1.0 for an exact match."""

    stage: str
    train_file: str
    train_row: int
    suite: str
    case_id: str
    kind: str
    similarity: float
    train_text: str
    case_text: str


def find_leaks(stage: str, data: TrainingData, suites: Iterable[Suite], looking: Looking | None = None) -> list[Leak]:
    """Find the rows of a stage's training data that leak a case of the suites; raises MissingExtra."""
    return [replace(leak, stage=stage) for leak in compare(StageRows(data), suites, looking)]


def compare(rows: Iterable[TrainRow], suites: Iterable[Suite], looking: Looking | None = None) -> list[Leak]:
    """Find the training rows that leak a case, in the order of the cases; raises MissingExtra.

    Every such row and every such case is reported, and all their pairs if there are at most `ALL_PAIRS`. Rows that can
    be iterated twice are not held in memory, unless they are compared by meaning.
    """
    suites, looking = list(suites), looking or Looking()
    rows = list(rows) if isinstance(rows, Iterator) else rows
    cases, parts = case_texts(suites), question_texts(suites)
    surveyed = survey(rows, cases, parts, looking.progress, looking.in_order)
    train = surveyed.texts(rows) if looking.embed is None else train_texts(rows)
    pairs, counted, both = _Pairs(), asked_without_a_passage(train), [*cases, *parts]
    for kind, matches in (
        ("exact", _exact(train, cases)),
        ("exact", counted(each(train, same_questions(parts)))),
        ("containment", counted(each(train, framed_questions(both)))),
        ("containment", counted(each(train, short_prompts(both)))),
        ("containment", counted(_contained(train, surveyed.index, looking.progress))),
        ("containment", each(train, inner_questions(both))),
        ("near_duplicate", _near_duplicates(train, surveyed.index, looking.progress)),
        ("embedding", _alike(train, cases, looking)),
    ):
        for text, case, similarity in matches:
            pairs.add(kind, text, case, similarity)
    place = {(suite.name, case.id): at for at, (suite, case) in enumerate((s, c) for s in suites for c in s.cases)}
    return sorted(pairs.named(), key=lambda leak: (place[leak.suite, leak.case_id], leak.train_file, leak.train_row))


class _Pairs:
    """The pairs found so far: all of them while they are few, and always the best of each row and each case.

    A pair has the text of its row that is most similar to the case.
    """

    def __init__(self) -> None:
        self._all: dict[tuple[str | int, ...], Leak] = {}
        self._best: dict[tuple[str | int, ...], Leak] = {}

    def add(self, kind: str, text: TrainText, case: CaseText, similarity: float) -> None:
        rows, cases = list(text.rows), list(case.cases)
        few = len(rows) * len(cases) <= ALL_PAIRS
        covering = ((rows[at % len(rows)], cases[at % len(cases)]) for at in range(max(len(rows), len(cases))))
        for (file, row), (suite, case_id) in product(rows, cases) if few else covering:
            leak = Leak("", file, row, suite, case_id, kind, round(similarity, 4), text.text, case.text)
            if len(self._all) <= ALL_PAIRS:
                _keep(self._all, (file, row, suite, case_id), leak)
            for key in ((file, row), (suite, case_id)):
                _keep(self._best, key, leak)

    def named(self) -> set[Leak]:
        return set(self._all.values() if len(self._all) <= ALL_PAIRS else self._best.values())


def _keep(found: dict[tuple[str | int, ...], Leak], key: tuple[str | int, ...], leak: Leak) -> None:
    """Keep the leak for this key, unless one of a surer kind is known, or one at least as good of its own."""
    best = found.setdefault(key, leak)
    if best.kind == leak.kind and _rank(best) < _rank(leak):
        found[key] = leak


def _rank(leak: Leak) -> tuple[float, int, str]:
    """More is better: of equally similar texts, the shorter one. It does not depend on which text was found first."""
    return leak.similarity, -len(leak.train_text), leak.train_text


# --- ways to look --------------------------------------------------------------------------------------------------


def _exact(train: Sequence[TrainText], cases: Sequence[CaseText]) -> Iterator[Match]:
    questions: dict[str, list[TrainText]] = defaultdict(list)
    for text in train:
        if text.is_question:
            questions[text.normal].append(text)
    for case in cases:
        if case.part == "prompt":
            yield from ((text, case, 1.0) for text in questions.get(case.normal, ()))


def _contained(train: Sequence[TrainText], index: CaseIndex, progress: Progress | None) -> Iterator[Match]:
    finder = index.finder()
    found = [finder.find(text.normal.split()) for text in _counted("runs of words", train, progress)]
    for group in (index.whole, index.of_parts):
        match = Containment(group.grams, group.vocabulary, CONTAINED).matcher()
        matches = [
            (text, group.cases[number], share)
            for text, shared in zip(train, found, strict=True)
            for number, share in match(shared & group.vocabulary.texts.keys())
        ]
        yield from taught_options(_without_stock_answers(matches))


def _without_stock_answers(matches: Sequence[Match]) -> Iterator[Match]:
    held: dict[int, set[tuple[str, int]]] = defaultdict(set)
    for text, case, _ in matches:
        if case.part in ("reference", "option"):
            held[id(case)].update(islice(text.rows, STOCK_ANSWER_ROWS + 1))
    for text, case, share in matches:
        if len(held.get(id(case), ())) <= STOCK_ANSWER_ROWS:
            yield text, case, share


def _near_duplicates(train: Sequence[TrainText], index: CaseIndex, progress: Progress | None) -> Iterator[Match]:
    if not index.near.cases:
        return
    match = NearDuplicates(index.near.grams, index.near.vocabulary, NEARLY_THE_SAME).matcher()
    near = [text for text in train if len(text.normal.split()) in index.compared_lengths]
    for text in _counted("near-duplicates", near, progress):
        for number, similarity in match(runs(text.normal.split(), SHINGLE)):
            yield text, index.near.cases[number], similarity


def _alike(train: Sequence[TrainText], cases: Sequence[CaseText], looking: Looking) -> Iterator[Match]:
    asked = [case for case in cases if case.part == "prompt"]
    taught = [text for text in train if text.is_question]
    if looking.embed is None or not asked or not taught:
        return
    numpy = optional_import("numpy", "leakage", "comparing prompts by meaning")
    known = looking.embed([case.text for case in asked])
    matrix = numpy.stack([known[case.text] for case in asked])
    for start in range(0, len(taught), _CHUNK):
        chunk = taught[start : start + _CHUNK]
        if looking.progress is not None:
            looking.progress("meaning", start, len(taught), "texts")
        vectors = looking.embed([text.text for text in chunk])
        cosines = numpy.stack([vectors[text.text] for text in chunk]) @ matrix.T
        if not numpy.isfinite(cosines).all():  # NaN compares as below every bound, and would count as no leak
            raise CannotJudge(
                "leakage: embed: some embeddings are not finite numbers: leaks by meaning cannot be excluded"
            )
        for row, column in zip(*(cosines >= looking.at_least).nonzero(), strict=True):
            yield chunk[row], asked[column], min(1.0, float(cosines[row, column]))
    if looking.progress is not None:
        looking.progress("meaning", len(taught), len(taught), "texts")


_CHUNK = 2048


def _counted(label: str, texts: Sequence[TrainText], progress: Progress | None) -> Iterator[TrainText]:
    for done, text in enumerate(texts):
        if progress is not None and done % 1000 == 0:
            progress(label, done, len(texts), "texts")
        yield text
    if progress is not None and texts:
        progress(label, len(texts), len(texts), "texts")


# --- what becomes of them ------------------------------------------------------------------------------------------


def describe(leaks: Sequence[Leak], shown: int = 5) -> str:
    """One line with the leaked rows."""
    rows = ", ".join(f"{leak.train_file}:{leak.train_row} = {leak.suite}/{leak.case_id}" for leak in leaks[:shown])
    more = f" and {len(leaks) - shown} more" if len(leaks) > shown else ""
    count = len({(leak.train_file, leak.train_row) for leak in leaks})
    return (
        f"{count} training rows are also in a gate's suite: {rows}{more}; remove them from the training data, or write "
        "`leakage: drop_from_train`"
    )


def facts(leaks: Sequence[Leak]) -> list[dict[str, Any]]:
    """The leaks for a record: all of them, but texts only for the first pair of each of the first cases."""
    shown: set[tuple[str, str]] = set()
    listed: list[dict[str, Any]] = []
    for leak in leaks:
        fact = asdict(leak)
        if (leak.suite, leak.case_id) in shown or len(shown) == SHOWN_SIDE_BY_SIDE:
            del fact["train_text"], fact["case_text"]
        else:
            fact["train_text"], fact["case_text"] = excerpt(leak.train_text, leak.case_text), leak.case_text[:EXCERPT]
        shown.add((leak.suite, leak.case_id))
        listed.append(fact)
    return listed


SHOWN_SIDE_BY_SIDE, EXCERPT = 100, 1000
"""How many leaked cases a record shows with both texts, and the maximum characters of each text."""


def excerpt(text: str, about: str, limit: int = EXCERPT) -> str:
    """The part of a long text with the words of `about`, as far as it contains them literally."""
    if len(text) <= limit:
        return text
    spans = list(word_spans(about))
    fours = (about[spans[at][0] : spans[min(at + 3, len(spans) - 1)][1]] for at in range(max(1, len(spans) - 3)))
    starts = (text.find(" ".join(four.split())) for four in (fours if spans else ()))
    start = max(0, next((start for start in starts if start >= 0), 0) - 40)
    return ("…" if start else "") + text[start : start + limit] + ("…" if start + limit < len(text) else "")


def without(data: TrainingData, leaks: Iterable[Leak]) -> TrainingData:
    """A stage's training data without the rows that leak; raises ConfigError if none is left."""
    leaked = {leak.train_row for leak in leaks if leak.train_file == str(data.path)}
    examples = tuple(example for example in data.examples if example.number not in leaked)
    if not examples:
        raise ConfigError(f"{data.path}: every row is also in a gate's suite; `leakage: drop_from_train` left none")
    kept = {part: tuple(one for one in rows if one.number not in leaked) for part, rows in data.held_out.items()}
    return replace(data, examples=examples, held_out=kept)
