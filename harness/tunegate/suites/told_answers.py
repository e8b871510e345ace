"""What a model is told before every question: system messages, earlier turns, the fixed words of a prompt template.

A model that is told the answers need not know them. A suite is refused when its standing text gives cases away:

- `shown`: it holds a case's whole question, and an answer to it.
- `keyed`: its lines hold one answer each, beside most of what sets questions with this answer apart from the others.
  A class that is described by a word or two of its questions is no key.

A list of answers without their questions (`named`) is a warning: a classifier is told its labels.
`allow: told_answers` in the suite accepts all of it; the record and the report say so.

What a case's own question says is no matter: a text that the model is to read for its answer belongs there.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import takewhile
from math import ceil

from tunegate.cases.case import Case
from tunegate.reading.chats import Message
from tunegate.reading.templates import pieces
from tunegate.text.normal_form import normalised
from tunegate.text.words import compiled, length_in_words, spaced

FEWEST = 5
"""Fewer answers that are named, or beside words of their questions, are an example of the form, or luck."""
SHARE_NAMED, SHARE_KEYED = 0.02, 0.05
"""Of a bank, this share must be given away: two points of a pass rate. What describes classes well tells by chance
which is that of a few short questions, so a key must hold more."""
OWN = 2
"""An answer of more questions is a class."""
CLASS_SIZE = 1.4
"""Where answers of a question or two are so many for each on average, they are classes, and the bank is small."""
LONG_TAIL = 3
"""So many rare classes to a common one may be named: the labels of real messages are seldom of one size."""
APART = 0.5
"""Of the words that only a question or two have: a text with more of one question's than this means that question."""
RIGHT = 0.9
"""So many of a text's clues must point at the right answer for it to be a key, and not chance."""
SHORTEST_QUESTION = 5
"""Words; a shorter question stands in many a text, unless it is a turn of its own."""

Word = str
Words = tuple[Word, ...]
Place = tuple[str, str]
"""The keys of a suite's file."""


GUARD = "told_answers"
"""The name that `allow` in a suite file accepts."""


@dataclass(frozen=True, slots=True)
class Told:
    """What one text of a suite says of its answers: where it is in the file, and whether it surely gives them away."""

    place: Place
    words: str
    certain: bool


def told_beforehand(cases: Sequence[Case], system: str | None, template: str | None) -> Iterator[Told]:
    """The texts of a suite that give answers away, or may."""
    for place, text, reached in _standing(cases, system, template):
        if given := told_by(text, reached):
            yield Told(place, f"{given_away_words(given, reached)}; {REMEDY}", True)
        elif named := _Bank(reached).named(text):
            yield Told(place, f"names {_counted(named, reached)}; {IF_LABELS}", False)
    ends = _common_ends([case.prompt for case in cases if isinstance(case.prompt, str)])
    shown = _Bank([_without(ends, case) for case in cases]).shown("\n".join(ends)) if ends else {}
    if shown:  # a text that all questions share may be there to be read, but one of the questions, answered, is not
        yield Told(("cases", "path"), f"every prompt {given_away_words(shown, cases)}; leave them out", True)


REMEDY = (
    "leave them out, or say `allow: told_answers` if the model is meant to have them; "
    "what a model is to read for an answer belongs in the question of that case"
)
IF_LABELS = "if they are not the labels to choose from, leave them out; if they are, say `allow: told_answers`"


def given_away_words(given: Mapping[str, str], cases: Sequence[Case]) -> str:
    """`gives away the answers of 40 of 100 cases ("BRCA1" of g-1, …), which any model would then pass`."""
    return f"gives away {_counted(given, cases)}, which any model would pass"


def _counted(given: Mapping[str, str], cases: Sequence[Case]) -> str:
    shown = ", ".join(f"{answer[:40]!r} of {case_id}" for case_id, answer in list(given.items())[:3])
    more = ", …" if len(given) > 3 else ""
    return f"the answers of {len(given)} of {len(cases)} cases ({shown}{more})"


def told_by(text: str, cases: Sequence[Case]) -> dict[str, str]:
    """The cases that a text surely gives away when it comes before each of them: case id to answer, in their order."""
    bank = _Bank(cases)
    given = bank.shown(text) | bank.keyed(text)
    return {case.id: given[case.id] for case in cases if case.id in given}


def _standing(
    cases: Sequence[Case], system: str | None, template: str | None
) -> Iterator[tuple[Place, str, Sequence[Case]]]:
    """The standing texts of a suite: place, text, and the cases that it stands before."""
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
        else:  # a text for one question is there to be read; that question in it, answered, is not
            asked = {normalised(content) for role, content in turns if role == "user"}
            again = [case for case in behind if normalised(question(case)) in asked]
            if again:
                yield ("cases", "messages"), text, again


def _common_ends(prompts: Sequence[str]) -> list[str]:
    """The whole sentences that all prompts begin with, and end with."""
    if len(set(prompts)) <= OWN:
        return []
    start = _common_start(prompts)
    end = _common_start([prompt[len(start) :][::-1] for prompt in prompts])[::-1]
    whole = [re.match(rf"(?s).*[{_ENDS}]", start), re.search(rf"(?s)[{_ENDS}].*", end)]
    return [found[0] for found in whole if found and length_in_words(spaced(found[0])) >= SHORTEST_QUESTION]


_ENDS = r"\n.?!:。？！：។။।"


def _common_start(texts: Sequence[str]) -> str:
    first, last = min(texts), max(texts)
    same = takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
    return "".join(letter for letter, _ in same)


def _without(fixed: Sequence[str], case: Case) -> Case:
    """The case with what its row says for a prompt, without the words of the template."""
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
    """What is asked: the user's last turn, and what the assistant has begun to say."""
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
        """The questions that most of what sets them apart is said of."""
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
        """Answers by question: cases that ask the same are one."""
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
        """The words that only a question or two have, with these questions."""
        holders: dict[Word, set[str]] = defaultdict(set)
        for asked in self._answers_to:
            for word in set(_words(asked)):
                if any(map(str.isalnum, word)):
                    holders[word].add(asked)
        return {word: questions for word, questions in holders.items() if len(questions) <= OWN}

    @cached_property
    def _clues_of(self) -> Counter[str]:
        """How many words set each question apart."""
        return Counter(asked for questions in self._questions_with.values() for asked in questions)

    @cached_property
    def _lengths(self) -> dict[Word, list[int]]:
        """How many words the answers have that begin with a word, the longest first."""
        lengths: dict[Word, set[int]] = defaultdict(set)
        for words in self._questions_of:
            lengths[words[0]].add(len(words))
        return {word: sorted(of_word, reverse=True) for word, of_word in lengths.items()}

    def _answers_in(self, text: str) -> dict[Words, None]:
        """The answers that stand in a text, in order; "inherited" does not where "not inherited" does."""
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
