"""One set of answers for all gates of an attempt: a question that was answered is not asked again.

Gates that ask the same cases with the same settings then judge the same answers, each by its own checks.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from tunegate.cases.case import Case
from tunegate.models.blocks import Block, expect
from tunegate.models.model import GenerationSettings, Response
from tunegate.models.wrapped import WrappedModel

Question = tuple[str, str, str]
"""How it is asked (`generate` or `score_choices`), the id of the case, and everything that the model sees of it."""


def question_of(method: str, case: Case, settings: GenerationSettings) -> Question:
    """The question that a case is under these settings; the id is part of it, because repeats differ only there."""
    return method, case.id, json.dumps([case.prompt, case.context, case.choices, settings.facts()])


@dataclass(frozen=True)
class SharedAnswers(WrappedModel):
    """A model with known weights that keeps its answers; otherwise it behaves like the model inside.

    `kept` may hold answers on record, so that a run that was interrupted shares the same answers as one that was not.
    """

    kept: dict[Question, Response] = field(default_factory=dict[Question, Response])

    def generate(self, cases: Sequence[Case], settings: GenerationSettings) -> Iterator[tuple[int, Response]]:
        return self._shared("generate", cases, settings)

    def score_choices(self, cases: Sequence[Case], settings: GenerationSettings) -> Iterator[tuple[int, Response]]:
        return self._shared("score_choices", cases, settings)

    def expect(self, blocks: Iterable[Block]) -> None:
        expect(self.inner, (left for block in blocks if (left := self._left(block)).cases))

    def _left(self, block: Block) -> Block:
        """The block without the questions that have their answer."""
        asked = (case for case in block.cases if question_of(block.method, case, block.settings) not in self.kept)
        return replace(block, cases=tuple(asked))

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
            if not (0 <= place < len(left) and isinstance(response, Response)):  # pyright: ignore[reportUnnecessaryIsInstance]
                yield (left[place] if 0 <= place < len(left) else len(cases)), response  # whoever asked refuses it
                continue
            if response.error is None:
                self.kept[questions[left[place]]] = response
            yield left[place], response
