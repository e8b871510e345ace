"""Finds answers in the text before every question: system messages, earlier turns, fixed words of a template.

A model that is told the answers does not have to know them. A suite is refused if its fixed text reveals answers:

- `shown`: the text contains the whole question of a case, and an answer to it.
- `keyed`: its lines contain one answer each, with most of the words that separate questions with this answer from the
  others. A class that is described by a word or two of its questions is not a key.

A list of answers without their questions (`named`) is only a warning: a classifier is given its labels.
`allow: told_answers` in the suite accepts all of this; the record and the report say so.

The text of a case's own question does not count: a text in which the model should find the answer belongs there.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil

from tunegate.cases.case import Case
from tunegate.reading.chats import Message
from tunegate.reading.templates import pieces
from tunegate.text.common_start import common_start
from tunegate.text.normal_form import normalised
from tunegate.text.words import compiled, length_in_words, spaced

FEWEST = 5
"""Fewer answers, alone or with words of their questions, are an example of the format, or chance."""
SHARE_NAMED, SHARE_KEYED = 0.02, 0.05
"""The minimum share of a bank that must be revealed: two points of a pass rate. A good description of classes tells, by
chance, the answers of a few short questions, so a key must reveal more."""
OWN = 2
"""An answer to more questions than this is a class."""
CLASS_SIZE = 1.4
"""If answers have this many questions on average, they are classes of a small bank."""
LONG_TAIL = 3
"""The number of rare classes that may be named per common class: real labels are rarely of equal size."""
APART = 0.5
"""A text with more than this share of the words that only one or two questions have refers to that question."""
RIGHT = 0.9
"""The share of a text's clues that must point to the right answer; with less, it is chance."""
SHORTEST_QUESTION = 5
"""Minimum words; many texts contain shorter questions, which count only as a turn of their own."""

Word = str
Words = tuple[Word, ...]
Place = tuple[str, str]
"""The keys of a suite's file."""


GUARD = "told_answers"
"""The name that `allow` in a suite file accepts."""


@dataclass(frozen=True, slots=True)
class Told:
    """A text of a suite with answers: its place in the file, what it reveals, the remedy, and whether it is certain."""

    place: Place
    finding: str
    remedy: str
    certain: bool

    @property
    def words(self) -> str:
        return f"{self.finding}; {self.remedy}"

    @property
    def in_place(self) -> str:
        """The finding after the keys of its text."""
        return f"{'.'.join(self.place)}: {self.finding}"


def told_beforehand(cases: Sequence[Case], system: str | None, template: str | None) -> Iterator[Told]:
    """The texts of a suite that reveal answers, or may reveal them."""
    for place, text, reached in _standing(cases, system, template):
        if given := told_by(text, reached):
            yield Told(place, given_away_words(given, reached), REMEDY, True)
        elif named := _Bank(reached).named(text):
            yield Told(place, f"names {_counted(named, reached)}", IF_LABELS, False)
    ends = _common_ends([case.prompt for case in cases if isinstance(case.prompt, str)])
    shown = _Bank([_without(ends, case) for case in cases]).shown("\n".join(ends)) if ends else {}
    if shown:  # a text in all prompts may be reading material, but not if it answers one of the questions
        yield Told(("cases", "path"), f"every prompt {given_away_words(shown, cases)}", "remove them", True)


REMEDY = (
    "remove them, or write `allow: told_answers` if the model should have them; "
    "a text to read for an answer belongs in the question of its case"
)
IF_LABELS = "if they are not the labels to choose from, remove them; if they are, write `allow: told_answers`"


def given_away_words(given: Mapping[str, str], cases: Sequence[Case]) -> str:
    """`reveals the answers of 40 of 100 cases ("BRCA1" of g-1, …), which any model would pass`."""
    return f"reveals {_counted(given, cases)}, which any model would pass"


def _counted(given: Mapping[str, str], cases: Sequence[Case]) -> str:
    shown = ", ".join(f"{answer[:40]!r} of {case_id}" for case_id, answer in list(given.items())[:3])
    more = ", …" if len(given) > 3 else ""
    return f"the answers of {len(given)} of {len(cases)} cases ({shown}{more})"


def told_by(text: str, cases: Sequence[Case]) -> dict[str, str]:
    """The cases whose answers a text before each of them certainly reveals: case id to answer, in their order."""
    bank = _Bank(cases)
    given = bank.shown(text) | bank.keyed(text)
    return {case.id: given[case.id] for case in cases if case.id in given}


def told_or_named_by(text: str, cases: Sequence[Case]) -> dict[str, str]:
    """As `told_by`, and the cases whose answers it only names: for a text where a list of labels has no place, such as
    a chat template."""
    given = _Bank(cases).named(text) | told_by(text, cases)
    return {case.id: given[case.id] for case in cases if case.id in given}


def _standing(
    cases: Sequence[Case], system: str | None, template: str | None
) -> Iterator[tuple[Place, str, Sequence[Case]]]:
    """The fixed texts of a suite: place, text, and the cases that it comes before."""
    if system is not None:
        yield ("generate", "system"), system, [case for case in cases if not _begins_with_system(case)]
    fixed = [text for text, _ in pieces(template or "") if text.strip()]
    if fixed:
        yield ("cases", "prompt"), " ".join(fixed), [_without(fixed, case) for case in cases]
    histories: dict[tuple[tuple[str, str], ...], list[Case]] = defaultdict(list)
    for case in cases:
        turns = tuple((turn["role"], turn["content"]) for turn in history(case))
        if turns:
            histories[turns].append(case)
    for turns, behind in histories.items():
        text = "\n".join(content for _, content in turns)
        if len({question(case) for case in behind}) > OWN:
            yield ("cases", "messages"), text, behind
        else:  # a text for one question may be reading material, but not if it answers that question
            asked = {normalised(content) for role, content in turns if role == "user"}
            again = [case for case in behind if normalised(question(case)) in asked]
            if again:
                yield ("cases", "messages"), text, again


def _common_ends(prompts: Sequence[str]) -> list[str]:
    """The whole sentences with which all prompts begin, and with which they end."""
    if len(set(prompts)) <= OWN:
        return []
    start = common_start(prompts)
    end = common_start([prompt[len(start) :][::-1] for prompt in prompts])[::-1]
    whole = [re.match(rf"(?s).*[{_ENDS}]", start), re.search(rf"(?s)[{_ENDS}].*", end)]
    return [found[0] for found in whole if found and length_in_words(spaced(found[0])) >= SHORTEST_QUESTION]


_ENDS = r"\n.?!:。？！：។။।"


def _without(fixed: Sequence[str], case: Case) -> Case:
    """The case with only the row's text as its prompt, without the words of the template."""
    prompt = question(case)
    for literal in fixed:
        prompt = prompt.replace(literal, " ")
    return replace(case, prompt=prompt)


def _begins_with_system(case: Case) -> bool:
    return not isinstance(case.prompt, str) and case.prompt[0]["role"] == "system"


def history(case: Case) -> tuple[Message, ...]:
    """The turns before the question, which is the user's last."""
    if isinstance(case.prompt, str):
        return ()
    users = [at for at, turn in enumerate(case.prompt) if turn["role"] == "user"]
    return case.prompt[: users[-1]] if users else ()


def question(case: Case) -> str:
    """The question: the user's last turn, and the beginning of the assistant's answer."""
    if isinstance(case.prompt, str):
        return case.prompt
    return "\n".join(turn["content"] for turn in case.prompt[len(history(case)) :] if turn["role"] != "system")


@dataclass(frozen=True)
class _Bank:
    """Cases by the words of their questions and answers."""

    cases: Sequence[Case]

    def shown(self, text: str) -> dict[str, str]:
        lines, all_words = {normalised(line) for line in text.splitlines()}, f" {normalised(text)} "
        found = self._answers_in(text)
        given: dict[str, str] = {}
        for case in self.cases:
            asked = normalised(question(case))
            whole = length_in_words(asked) >= SHORTEST_QUESTION and f" {asked} " in all_words
            if not asked or not (whole or asked in lines):
                continue
            answers = [reference for reference in case.references if _words(reference) in found]
            if answers or not case.references:
                given[case.id] = answers[0] if answers else "?"
        return given

    def named(self, text: str) -> dict[str, str]:
        found = self._answers_in(text)
        own = [answer for answer in found if len(self._questions_of[answer]) <= OWN]
        if len(own) <= LONG_TAIL * (len(found) - len(own)):
            return {}
        asked = {asked for answer in own for asked in self._questions_of[answer]}
        if len(own) < self._fewest(SHARE_NAMED) or len(asked) >= CLASS_SIZE * len(own):
            return {}
        return self._given(set(own), asked)

    def keyed(self, text: str) -> dict[str, str]:
        right: dict[str, Words] = {}
        wrong: set[str] = set()
        for segment in _segments(text):
            answers = self._answers_in(segment)
            if len(answers) != 1:
                continue
            [answer] = answers
            for asked in self._meant_by({*_words(segment)} - {*answer}):
                if answer in self._answers_to[asked]:
                    right[asked] = answer
                else:
                    wrong.add(asked)
        right = {asked: answer for asked, answer in right.items() if asked not in wrong}
        if len(right) < self._fewest(SHARE_KEYED) or len(right) < RIGHT * (len(right) + len(wrong)):
            return {}
        return self._given(set(right.values()), set(right))

    def _meant_by(self, words: set[Word]) -> list[str]:
        """The questions of which the words contain most of the distinguishing words."""
        said = Counter(asked for word in words for asked in self._questions_with.get(word, ()))
        return [asked for asked, count in said.items() if count > APART * self._clues_of[asked]]

    def _given(self, answers: set[Words], asked: set[str]) -> dict[str, str]:
        given: dict[str, str] = {}
        for case in self.cases:
            told = [reference for reference in case.references if _words(reference) in answers]
            if told and normalised(question(case)) in asked:
                given[case.id] = told[0]
        return given

    def _fewest(self, share: float) -> int:
        return max(FEWEST, ceil(share * len(self.cases)))

    @cached_property
    def _answers_to(self) -> dict[str, set[Words]]:
        """Answers by question: cases with the same question are merged."""
        answers: dict[str, set[Words]] = defaultdict(set)
        for case in self.cases:
            answers[normalised(question(case))] |= {words for text in case.references if (words := _words(text))}
        return answers

    @cached_property
    def _questions_of(self) -> dict[Words, set[str]]:
        questions: dict[Words, set[str]] = defaultdict(set)
        for asked, answers in self._answers_to.items():
            for answer in answers:
                questions[answer].add(asked)
        return questions

    @cached_property
    def _questions_with(self) -> dict[Word, set[str]]:
        """The words that only one or two questions contain, with these questions."""
        holders: dict[Word, set[str]] = defaultdict(set)
        for asked in self._answers_to:
            for word in set(_words(asked)):
                if any(map(str.isalnum, word)):
                    holders[word].add(asked)
        return {word: questions for word, questions in holders.items() if len(questions) <= OWN}

    @cached_property
    def _clues_of(self) -> Counter[str]:
        """How many distinguishing words each question has."""
        return Counter(asked for questions in self._questions_with.values() for asked in questions)

    @cached_property
    def _lengths(self) -> dict[Word, list[int]]:
        """The first word of answers to the lengths of these answers in words, the longest first."""
        lengths: dict[Word, set[int]] = defaultdict(set)
        for words in self._questions_of:
            lengths[words[0]].add(len(words))
        return {word: sorted(of_word, reverse=True) for word, of_word in lengths.items()}

    def _answers_in(self, text: str) -> dict[Words, None]:
        """The answers in a text, in order; "inherited" does not count where "not inherited" does."""
        words, found, at = _words(text), dict[Words, None](), 0
        while at < len(words):
            ways = (words[at : at + length] for length in self._lengths.get(words[at], ()))
            answer = next((way for way in ways if way in self._questions_of), None)
            if answer is not None:
                found[answer] = None
            at += len(answer or (words[at],))
        return found


def _segments(text: str) -> Iterator[str]:
    """Lines, their sentences, and the parts of these: an answer key may be written either way."""
    for line in re.split(r"[\n;；]|\\n", text):
        sentences = re.split(rf"{_STOP}", line)
        parts = re.split(rf"{_STOP}|,\s|[，、،၊]|\band\b|&", line)
        yield from dict.fromkeys([line, *sentences, *parts])


_STOP = r"(?:[.!?]\s|[。！？។။।])"
_WORD = compiled(r"[\w\p{No}][\w\p{No}-]*|\S")


def _words(text: str) -> Words:
    """Words and symbols as they are compared."""
    return tuple(_WORD.findall(normalised(text)))
