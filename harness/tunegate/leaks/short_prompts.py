"""Prompts too short for runs of words, if they are a whole sentence or line of a training text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from tunegate.leaks.by_question import Found, Look, by_normal_form, holds_one_of
from tunegate.leaks.texts import SHORTEST_COMPARED, CaseText, TrainText
from tunegate.text.grams import SHORTEST_RUN
from tunegate.text.normal_form import normalised, unescaped
from tunegate.text.words import has_words_of_one_character


def short_prompts(cases: Sequence[CaseText]) -> Look:
    """Texts with a short prompt or question as a sentence or line of its own."""
    asking = (case for case in cases if case.part in ("prompt", "question"))
    short = by_normal_form(case for case in asking if SHORTEST_COMPARED <= case.length < SHORTEST_RUN)
    may_hold = holds_one_of(short)

    def look(text: TrainText) -> Iterator[Found]:
        if may_hold(text):
            yield from ((case, 1.0) for sentence in sentences(text.text) for case in short.get(sentence, ()))

    return look


def sentences(text: str) -> set[str]:
    """The sentences and lines of a text in their normal form; in scripts without word spaces, a space ends a phrase."""
    text = unescaped(text)
    parts = _ENDS.split(text)
    if has_words_of_one_character(text):
        parts += text.split()
    return {normalised(part) for part in parts}


_ENDS = re.compile('[\n"“”„«»「」『』:;?!。｡？！：；।॥؟؛۔។၊။།።፧]|[.．](?:\\s|$)')
