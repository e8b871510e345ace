"""A local judge: the verdict is the most likely label, and nothing is parsed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from tunegate.cases.case import Case
from tunegate.exceptions import Tampered
from tunegate.models.blocks import Block, expect
from tunegate.models.model import GenerationSettings, Model, OpenJudge, Response
from tunegate.reading.chats import Message
from tunegate_suites.judges.opinion import Opinion
from tunegate_suites.options import LocalModels

QUESTIONS_AT_ONCE = 8
"""The number of questions in a block. It is small, so that several workers share those about a batch of answers. The
blocks are the same without workers, since rounding depends on them (docs/determinism.md)."""


@dataclass(frozen=True)
class LocalJudge:
    """Asks a transformers model for the likelihood of each label of the menu. `sha256` is its fingerprint when the
    suite was read.

    It is opened where the model under test is open: on its workers, or, without workers, in this process.
    """

    spec: str
    sha256: str | None
    menu: tuple[str, ...]
    models: LocalModels

    @cached_property
    def _model_here(self) -> Model:
        return self.models.open(self.spec)

    def _model(self, open_judge: OpenJudge | None) -> Model:
        """The open model; raises Tampered if it has other weights than those that were hashed for the suite."""
        model = self._model_here if open_judge is None else open_judge(self.spec)
        if None not in (self.sha256, model.sha256) and model.sha256 != self.sha256:
            raise Tampered(
                f"judge {self.spec!r}: it was opened with the weights {model.sha256:.12}, but the suite was read "
                f"with {self.sha256:.12}"
            )
        return model

    def ask(self, questions: Sequence[tuple[Message, ...]], open_judge: OpenJudge | None = None, /) -> list[Opinion]:
        model = self._model(open_judge)
        cases = [Case(str(index), question, choices=self.menu) for index, question in enumerate(questions)]
        opinions = [Opinion(None, "the judge gave no answer")] * len(cases)
        blocks = [
            Block("score_choices", tuple(cases[start : start + QUESTIONS_AT_ONCE]), GenerationSettings())
            for start in range(0, len(cases), QUESTIONS_AT_ONCE)
        ]
        expect(model, blocks)
        for block in blocks:
            for index, response in block.asked_of(model):
                opinions[int(block.cases[index].id)] = self._opinion(response)
        return opinions

    def _opinion(self, response: Response) -> Opinion:
        if response.error is not None:
            return Opinion(None, f"the judge could not answer: {response.error}")
        likelihoods = [score.log_likelihood for score in response.choice_scores]
        raw = ", ".join(f"{label}: {value:.4f}" for label, value in zip(self.menu, likelihoods, strict=False))
        if len(likelihoods) != len(self.menu) or not all(map(math.isfinite, likelihoods)):
            return Opinion(None, "the judge gave no usable likelihoods of the labels", raw)
        best = max(likelihoods)
        if likelihoods.count(best) > 1:
            return Opinion(None, "the judge finds two labels equally likely", raw)
        share = 1.0 / sum(math.exp(value - best) for value in likelihoods)
        label = self.menu[likelihoods.index(best)]
        return Opinion(label, f"{share:.0%} of the likelihood on {label}", f"log-likelihoods {raw}")
