"""Leaks by question: rows with a case's question in another frame, with other options or without options."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

from tunegate.cases.case import asked
from tunegate.leaks.parts import FEWEST_WORDS, Question, Segment, frame, length_beside, questions, segments
from tunegate.leaks.texts import SHORTEST_COMPARED, CaseText, TrainText, asked_beside
from tunegate.suites.suite import Suite
from tunegate.text.grams import COMMON, LONGEST_RUN, SHORTEST_RUN
from tunegate.text.normal_form import normalised
from tunegate.text.words import length_in_words

Found = tuple[CaseText, float]
Look = Callable[[TrainText], Iterator[Found]]
"""A way to look: from a training text to the cases that it leaks, with the similarity of each."""
Match = tuple[TrainText, CaseText, float]

COVERED = 0.5
"""A row's question matches a case's if it is this share of it: many vignettes have the same last sentence."""
OWN = 2
"""A text in more cases than this is not the question of one case."""


def question_texts(suites: Iterable[Suite]) -> list[CaseText]:
    """The questions of prompts with more text than the question, and the long options that only one case has."""
    found: dict[tuple[str, str, str, bool], CaseText] = {}
    for suite in suites:
        prompts = [
            (case, asked(prompt), segments(asked(prompt)))
            for case in suite.cases
            for prompt in (case.prompt, *asked_beside(suite, case))
        ]
        shared = frame(parts for _, _, parts in prompts)
        options = Counter(option for case, _, parts in prompts for option in _long_options(case.choices, parts))
        for case, whole, parts in prompts:
            own = [option for option in _long_options(case.choices, parts) if options[option] <= OWN]
            texts = [*(CaseText(option, option, "option") for option in own), *_questions_in(parts, shared)]
            for text in texts:
                if text.normal != normalised(whole):
                    alike = text.normal, text.part, text.asked, text.needs_passage
                    found.setdefault(alike, text).cases[suite.name, case.id] = None
    return list(found.values())


def _questions_in(prompt: Sequence[Segment], shared: frozenset[str]) -> Iterator[CaseText]:
    for question in questions(prompt, shared):
        for unit, asks in _units(question):
            alone = unit.length >= LONGEST_RUN or length_beside(prompt, shared, unit) < SHORTEST_RUN
            yield CaseText(unit.normal, unit.text, "question", asked=asks, needs_passage=not alone)


def _long_options(choices: Sequence[str], parts: Sequence[Segment]) -> set[str]:
    listed = [part.normal for part in parts if part.is_option]
    options = {*listed, *(map(normalised, choices) if len(choices) > 1 else ())}
    return {option for option in options if length_in_words(option) >= SHORTEST_RUN}


def _units(question: Question) -> Iterator[tuple[Question, str]]:
    """The whole question, with its interrogative line; that line; and its sentence, if it is most of the line."""
    lines = question.lines()
    long = [line for line in lines if line.length >= SHORTEST_RUN]
    main = [line for line in lines if line.asks][-1:] or (long if len(long) == 1 else [])
    yield question, main[0].normal if main and len(lines) > 1 else ""
    for line in main:
        if len(lines) > 1 and (line.length >= SHORTEST_COMPARED or line == lines[0]):
            yield line, ""
        for sentence in [sentence for sentence in line.sentences() if sentence.asks][-1:]:
            if sentence.length >= SHORTEST_COMPARED and 0 < line.length - sentence.length < SHORTEST_RUN:
                yield sentence, ""


# --- ways to look --------------------------------------------------------------------------------------------------


def by_normal_form(cases: Iterable[CaseText]) -> dict[str, list[CaseText]]:
    """The texts of cases by normal form: several cases may ask the same, with a passage and without one."""
    found: dict[str, list[CaseText]] = defaultdict(list)
    for case in cases:
        found[case.normal].append(case)
    return found


def same_questions(cases: Sequence[CaseText]) -> Look:
    """Rows that contain only the question of a case."""
    wanted = by_normal_form(case for case in cases if case.part == "question" and case.length >= FEWEST_WORDS)

    def look(text: TrainText) -> Iterator[Found]:
        if text.is_question:
            yield from ((case, 1.0) for case in wanted.get(text.normal, ()))

    return look


def framed_questions(cases: Sequence[CaseText]) -> Look:
    """Rows whose question, without its frame, is a case's question that is too short for runs of words."""
    asking = (case for case in cases if case.part in ("prompt", "question"))
    wanted = by_normal_form(case for case in asking if FEWEST_WORDS <= case.length < SHORTEST_RUN)
    may_hold = holds_one_of(wanted)

    def look(text: TrainText) -> Iterator[Found]:
        if text.is_question and may_hold(text) and _PARTED.search(text.text):
            for normal in dict.fromkeys(_asked_in(text.text)):
                yield from ((case, 1.0) for case in wanted.get(normal, ()) if normal != text.normal)

    return look


def holds_one_of(normals: Iterable[str]) -> Callable[[TrainText], bool]:
    """Whether a text may have a part whose normal form is one of these, by the first two words of each.

    In plain ASCII without markup, the words of a part follow each other in the whole; any other text may have it.
    Symbols separate words here: a label takes those beside it along ("Q-What is $5?" asks "What is $5?").
    """
    starts = [tuple(_WORD.findall(normal)[:2]) for normal in normals]
    pairs = set(starts)
    unclear = any(len(start) < 2 for start in starts)

    def may_hold(text: TrainText) -> bool:
        if not pairs:
            return False
        if unclear or not text.text.isascii() or _MARKUP.search(text.text):
            return True
        words = _WORD.findall(text.normal)
        return not pairs.isdisjoint(pairwise(words))

    return may_hold


_WORD = re.compile(r"\w+")
_MARKUP = re.compile(r"[<&{\[\x00-\x08\x0e-\x1f\x7f]|\*\*")
"""What changes the words of a part: tags, entities, JSON, invisible characters, and bold type within a word."""


def _asked_in(text: str) -> Iterator[str]:
    """The question in a row's text, in its normal form: the question, its first sentence, or the text after a colon."""
    for question in questions(segments(text)):
        yield question.normal
        first = question.segments[0]
        if first.asks:
            yield first.normal
            yield normalised(_COLON.split(first.text)[-1])


_COLON = re.compile("[:：]")
_PARTED = re.compile(r"[\n:：①<*]|^\W*\d{1,4}\s?[.)）．、]|(?:^|\s)[(（]?[AaＡａ1１][.)）．、]|[?？]\s*\S")
"""The kinds of text that may be a prompt with parts."""


def inner_questions(cases: Sequence[CaseText]) -> Look:
    """Rows whose question is contained in a case's, and is most of it."""
    index: dict[str, set[str]] = defaultdict(set)
    asking = (case for case in cases if case.part in ("prompt", "question"))
    compared = by_normal_form(case for case in asking if not case.needs_passage)
    for normal in compared:
        words = normal.split()
        for at in range(len(words) - SHORTEST_RUN + 1):
            index[" ".join(words[at : at + SHORTEST_RUN])].add(normal)

    def look(text: TrainText) -> Iterator[Found]:
        if not text.is_question:
            return
        near = index.get(" ".join(text.normal.split(maxsplit=SHORTEST_RUN)[:SHORTEST_RUN]), ())
        if not near or len(near) > COMMON or (length := length_in_words(text.normal)) < SHORTEST_RUN:
            return
        holders = sorted(normal for normal in near if f" {text.normal} " in f" {normal} ")
        if len(holders) > OWN:
            return
        for normal in holders:
            if normal != text.normal and length >= COVERED * length_in_words(normal):
                yield from ((case, 1.0) for case in compared[normal])

    return look


def each(train: Iterable[TrainText], look: Look) -> Iterator[Match]:
    """The matches of training texts, in their order, by one way to look."""
    return ((text, case, share) for text in train for case, share in look(text))


def taught_options(matches: Iterable[Match]) -> Iterator[Match]:
    """Matches without options that a long text only mentions: a fact in a long text is not the secret of one case.

    A text teaches an option if the option is most of the text, or if the text also has another option of its case.
    """
    matches = list(matches)
    held = Counter((id(text), key) for text, case, _ in matches if case.part == "option" for key in case.cases)
    for text, case, share in matches:
        beside_others = any(held[id(text), key] > 1 for key in case.cases)
        if case.part != "option" or beside_others or _is_most(case, text):
            yield text, case, share


def _is_most(case: CaseText, text: TrainText) -> bool:
    return case.length >= COVERED * length_in_words(text.normal)


def asked_without_a_passage(train: Sequence[TrainText]) -> Callable[[Iterable[Match]], Iterator[Match]]:
    """Keeps the matches, and of each the rows, that may count: a question about a passage is a different question
    about another passage."""
    beside: dict[tuple[str, int], list[str]] = {}

    def long_texts() -> dict[tuple[str, int], list[str]]:
        if not beside:
            for text in train:
                if text.is_question and length_in_words(text.normal) >= SHORTEST_RUN:
                    for row in text.rows:
                        beside.setdefault(row, []).append(text.normal)
        return beside

    def beside_another(row: tuple[str, int], case: CaseText) -> bool:
        return any(case.normal not in other for other in long_texts().get(row, ()))

    def counted(matches: Iterable[Match]) -> Iterator[Match]:
        for text, case, share in matches:
            if not case.needs_passage:
                if not case.asked or f" {case.asked} " in f" {text.normal} ":
                    yield text, case, share
            elif _alone(text, case):
                rows = {row: None for row in text.rows if not beside_another(row, case)}
                if rows:
                    yield replace(text, rows=rows), case, share

    return counted


def _alone(text: TrainText, case: CaseText) -> bool:
    """Whether the text has no other long sentence than the case's question."""
    beside = [part.normal for part in segments(text.text) if not part.is_option and case.normal not in part.normal]
    return length_in_words(" ".join(beside)) < SHORTEST_RUN
