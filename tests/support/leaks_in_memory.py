"""The leakage comparison with all rows in memory and every text of every row compared with all cases, also if another
row has the same text: blocks must agree with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

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
from tunegate.leaks.leakage import Leak, _exact, _Pairs, _without_stock_answers  # pyright: ignore[reportPrivateUsage]
from tunegate.leaks.short_prompts import sentences
from tunegate.leaks.survey import CONTAINED
from tunegate.leaks.texts import SHORTEST_COMPARED, CaseText, TrainRow, TrainText, case_texts, train_texts
from tunegate.suites.suite import Suite
from tunegate.text.grams import LONGEST_RUN, SHINGLE, SHORTEST_RUN, Containment, Vocabulary, run_length, runs
from tunegate.text.minhash import NEARLY_THE_SAME, NearDuplicates


def compare_in_memory(rows: Sequence[TrainRow], suites: Sequence[Suite]) -> list[Leak]:
    train, cases, parts = _apart(rows), case_texts(suites), question_texts(suites)
    pairs, counted, both = _Pairs(), asked_without_a_passage(train), [*cases, *parts]
    for kind, matches in (
        ("exact", _exact(train, cases)),
        ("exact", counted(each(train, same_questions(parts)))),
        ("containment", counted(each(train, framed_questions(both)))),
        ("containment", counted(_sentences(train, both))),
        ("containment", counted(_contained(train, cases, parts))),
        ("containment", each(train, inner_questions(both))),
        ("near_duplicate", _near_duplicates(train, cases)),
    ):
        for text, case, similarity in matches:
            pairs.add(kind, text, case, similarity)
    place = {(suite.name, case.id): at for at, (suite, case) in enumerate((s, c) for s in suites for c in s.cases)}
    return sorted(pairs.named(), key=lambda leak: (place[leak.suite, leak.case_id], leak.train_file, leak.train_row))


def _apart(rows: Sequence[TrainRow]) -> list[TrainText]:
    """The texts of each row by themselves: none can hide another."""
    asked = {text.normal for text in train_texts(rows) if text.is_question}
    train = [text for row in rows for text in train_texts([row])]
    for text in train:
        text.is_question = text.normal in asked
    return train


def _sentences(train: Sequence[TrainText], cases: Sequence[CaseText]) -> Iterator[Match]:
    short = [
        case
        for case in cases
        if case.part in ("prompt", "question") and SHORTEST_COMPARED <= case.length < SHORTEST_RUN
    ]
    apart = ((text, sentences(text.text)) for text in train)
    return ((text, case, 1.0) for text, own in apart for case in short if case.normal in own)


def _contained(train: Sequence[TrainText], cases: Sequence[CaseText], parts: Sequence[CaseText]) -> Iterator[Match]:
    for group in (cases, parts):
        long = [case for case in group if case.length >= SHORTEST_RUN]
        grams = [runs(case.normal.split(), run_length(case.normal.split())) for case in long]
        vocabulary = Vocabulary(grams)
        lengths = {len(run.split()) for run in vocabulary.texts}
        found = [
            {run for length in lengths for run in runs(text.normal.split(), length)} & vocabulary.texts.keys()
            for text in train
        ]
        for shared in {text.normal: own for text, own in zip(train, found, strict=True)}.values():
            vocabulary.add(shared)
        match = Containment(grams, vocabulary, CONTAINED).matcher()
        matches = [
            (text, long[at], share) for text, own in zip(train, found, strict=True) if own for at, share in match(own)
        ]
        yield from taught_options(_without_stock_answers(matches))


def _near_duplicates(train: Sequence[TrainText], cases: Sequence[CaseText]) -> Iterator[Match]:
    compared = [case for case in cases if case.part != "reference" and case.length >= LONGEST_RUN]
    if not compared:
        return
    shingles = [runs(case.normal.split(), SHINGLE) for case in compared]
    vocabulary = Vocabulary(shingles)
    longest = max(len(case.normal.split()) for case in compared) / NEARLY_THE_SAME
    near = [text for text in train if SHORTEST_COMPARED <= len(text.normal.split()) <= 2 * longest]
    for normal in {text.normal for text in near}:
        vocabulary.add(run for run in runs(normal.split(), SHINGLE) if run in vocabulary.texts)
    match = NearDuplicates(shingles, vocabulary, NEARLY_THE_SAME).matcher()
    for text in near:
        yield from ((text, compared[at], share) for at, share in match(runs(text.normal.split(), SHINGLE)))
