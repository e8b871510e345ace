"""The texts that the leakage check compares: the texts of training rows and of cases, and their normal form."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from tunegate.cases.case import Case, Prompt, asked
from tunegate.checks.check import variants_of
from tunegate.data.training_data import TrainingData
from tunegate.leaks.json_text import laid_out
from tunegate.suites.suite import Suite
from tunegate.text.normal_form import normalised
from tunegate.text.words import length_in_words, spaced

SHORTEST_COMPARED = 5
"""Cases with fewer words leak only if a whole training prompt is the same: "add item to order" is common."""
STOCK_ANSWER_ROWS = 10
"""A reference in more training rows than this is a stock answer: taught on purpose, and not one case's secret."""


@dataclass(frozen=True, slots=True)
class TrainRow:
    """A row of training data. `questions` are prompts or raw text, `answers` are what the model is taught to say."""

    file: str
    number: int
    questions: tuple[str, ...]
    answers: tuple[str, ...] = ()


@dataclass(slots=True)
class TrainText:
    """A text of the training data as it is written, its normal form, and all rows that contain it.

    Texts with the same normal form are kept apart: only one layout of them may be a leak (`short_prompts`).
    """

    normal: str
    text: str
    is_question: bool = False
    rows: dict[tuple[str, int], None] = field(default_factory=dict[tuple[str, int], None])


@dataclass(slots=True)
class CaseText:
    """A text of the suites, as it is written, its normal form, and all cases (suite, id) that contain it, in order."""

    normal: str
    text: str
    part: str
    """prompt, context or reference; for a prompt with parts: question, or option"""
    asked: str = ""
    """Its interrogative line, in its normal form: without it, the reading material is not the question"""
    needs_passage: bool = False
    """Whether it asks about a passage: the same words about another passage are another question."""
    cases: dict[tuple[str, str], None] = field(default_factory=dict[tuple[str, str], None])

    @property
    def length(self) -> float:
        """In words (`length_in_words`)."""
        return length_in_words(self.normal)


def told(prompt: Prompt) -> tuple[str, ...]:
    """The system messages of a prompt: not questions, but training texts like any other."""
    turns = () if isinstance(prompt, str) else prompt
    return tuple(message["content"] for message in turns if message["role"] == "system")


@dataclass(frozen=True, slots=True)
class StageRows:
    """A stage's training examples as rows, made again each time they are iterated.

    Plain text, prompts and completions, both sides of preference pairs.
    """

    data: TrainingData

    def __len__(self) -> int:
        return len(self.data.examples)

    def __iter__(self) -> Iterator[TrainRow]:
        path = str(self.data.path)
        for example in self.data.examples:
            texts = tuple(example.answers.values())
            if example.prompt is None:
                yield TrainRow(path, example.number, texts)
            else:
                yield TrainRow(path, example.number, (asked(example.prompt),), (*told(example.prompt), *texts))


def row_as_it_is(file: str, number: int, row: Mapping[str, Any]) -> TrainRow:
    """A row without templates: each text in it, and each chat in it, both whole and without its end.

    If it has a `prompt`, `messages` or `text`, the rest are answers; a text of a single word is a label.
    """
    questions: list[str] = []
    answers: list[str] = []
    named = _QUESTIONS & row.keys()
    for key, value in row.items():
        _collect(value, questions if key in named or not named else answers)
    chats = (cast("list[Any]", value) for value in row.values() if isinstance(value, list))
    answers += [text for chat in chats for text in told(tuple(turn for turn in chat if _is_turn(turn)))]
    labels = [] if named else [text for text in questions if length_in_words(spaced(text)) < 2]
    return TrainRow(file, number, tuple(text for text in questions if text not in labels), (*answers, *labels))


_QUESTIONS = {"prompt", "messages", "text"}


def _collect(value: Any, texts: list[str]) -> None:
    if isinstance(value, str):
        texts.append(value)
    elif isinstance(value, Mapping):
        if value.get("role") != "system":  # pyright: ignore[reportUnknownMemberType]
            for item in value.values():  # pyright: ignore[reportUnknownVariableType]
                _collect(item, texts)
    elif isinstance(value, Sequence) and not isinstance(value, bytes):
        turns = [turn["content"] for turn in value if _is_turn(turn) and turn["role"] != "system"]  # pyright: ignore[reportUnknownVariableType]
        texts.extend("\n".join(turns[:end]) for end in {len(turns), len(turns) - 1} if end > 1)  # pyright: ignore[reportUnknownArgumentType]
        for item in value:  # pyright: ignore[reportUnknownVariableType]
            _collect(item, texts)


def _is_turn(value: Any) -> bool:
    return isinstance(value, Mapping) and "role" in value and isinstance(value.get("content"), str)  # pyright: ignore[reportUnknownMemberType]


def train_texts(rows: Iterable[TrainRow]) -> list[TrainText]:
    """The distinct texts of training rows; a text is a question if any row asks it, however it is written there."""
    found: dict[str, TrainText] = {}
    for row in rows:
        for texts, is_question in ((row.questions, True), (row.answers, False)):
            for text in dict.fromkeys(form for one in texts for form in (one, laid_out(one))):
                entry = found.get(text)
                if entry is None:
                    entry = found[text] = TrainText(normalised(text), text)
                entry.is_question = entry.is_question or is_question
                entry.rows[row.file, row.number] = None
    asked = {text.normal for text in found.values() if text.is_question}
    for text in found.values():
        text.is_question = text.normal in asked
    return [text for text in found.values() if text.normal]


def case_texts(suites: Iterable[Suite]) -> list[CaseText]:
    """The distinct texts of cases: prompts, contexts, and the references that belong to only one case."""
    found: dict[tuple[str, str], CaseText] = {}
    for suite in suites:
        answers = Counter(normal for case in suite.cases for normal in {normalised(text) for text in case.references})
        for case in suite.cases:
            beside = (("prompt", asked(prompt)) for prompt in asked_beside(suite, case))
            for name, text in (*_texts_of(case), *beside):
                normal = normalised(text)
                if not normal or (name == "reference" and answers[normal] > 1):
                    continue
                found.setdefault((text, name), CaseText(normal, text, name)).cases[suite.name, case.id] = None
    return list(found.values())


def _texts_of(case: Case) -> Iterator[tuple[str, str]]:
    yield "prompt", asked(case.prompt)
    if case.context is not None:
        yield "context", case.context
    if len(case.choices) == 1:  # not a choice, but a text to be scored (`perplexity`)
        yield "context", case.choices[0]
    for reference in case.references:
        yield "reference", reference


def asked_beside(suite: Suite, case: Case) -> tuple[Prompt, ...]:
    """The additional prompts of the checks for a case; none for a check that cannot tell: its case is INVALID."""
    try:
        return variants_of(suite.checks, case)
    except Exception:
        return ()
