"""One set of answers for all gates of an attempt: a question that was answered is not asked again.

Gates that ask the same cases with the same settings then judge the same answers, each by its own checks.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tunegate.cases.case import Case
from tunegate.models.model import GenerationSettings, Model, Response, notes_of, request_of, templates_of

Question = tuple[str, str, str]
"""How it is asked (`generate` or `score_choices`), the id of the case, and everything that the model sees of it."""


def question_of(method: str, case: Case, settings: GenerationSettings) -> Question:
    """The question that a case is under these settings; the id is part of it, because repeats differ only there."""
    return method, case.id, json.dumps([case.prompt, case.context, case.choices, settings.facts()])


@dataclass
class SharedAnswers:
    """A model with known weights that keeps its answers; otherwise it behaves like the model inside.

    `kept` may hold answers on record, so that a run that was interrupted shares the same answers as one that was not.
    """

    inner: Model
    kept: dict[Question, Response] = field(default_factory=dict[Question, Response])

    @property
    def name(self) -> str:
        return self.inner.name

    @property
    def sha256(self) -> str | None:
        return self.inner.sha256

    @property
    def dtype(self) -> str | None:
        return self.inner.dtype

    @property
    def block_size(self) -> int:
        return self.inner.block_size

    @property
    def request(self) -> Mapping[str, Any]:
        return request_of(self.inner)

    @property
    def notes(self) -> tuple[str, ...]:
        return notes_of(self.inner)

    @property
    def chat_templates(self) -> tuple[str, ...]:
        return templates_of(self.inner)

    def generate(self, cases: Sequence[Case], settings: GenerationSettings) -> Iterator[tuple[int, Response]]:
        return self._shared("generate", cases, settings)

    def score_choices(self, cases: Sequence[Case], settings: GenerationSettings) -> Iterator[tuple[int, Response]]:
        return self._shared("score_choices", cases, settings)

    def _shared(
        self, method: str, cases: Sequence[Case], settings: GenerationSettings
    ) -> Iterator[tuple[int, Response]]:
        questions = [question_of(method, case, settings) for case in cases]
        for index, question in enumerate(questions):
            if question in self.kept:
                yield index, self.kept[question]
        left = [index for index, question in enumerate(questions) if question not in self.kept]
        ask = self.inner.generate if method == "generate" else self.inner.score_choices
        for place, response in ask([cases[index] for index in left], settings) if left else ():
            if response.error is None:
                self.kept[questions[left[place]]] = response
            yield left[place], response
