"""A local judge: the verdict is the most likely label, and nothing is parsed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from tunegate.cases.case import Case
from tunegate.models.model import GenerationSettings, Model, Response
from tunegate.reading.chats import Message
from tunegate_suites.judges.opinion import Opinion
from tunegate_suites.options import LocalModels


@dataclass(frozen=True)
class LocalJudge:
    """Asks a transformers model for the likelihood of each label of the menu."""

    spec: str
    menu: tuple[str, ...]
    models: LocalModels

    @cached_property
    def _model(self) -> Model:
        return self.models.open(self.spec)

    def ask(self, questions: Sequence[tuple[Message, ...]]) -> list[Opinion]:
        cases = [Case(str(index), question, choices=self.menu) for index, question in enumerate(questions)]
        opinions = [Opinion(None, "the judge gave no answer")] * len(cases)
        for index, response in self._model.score_choices(cases, GenerationSettings()):
            opinions[index] = self._opinion(response)
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
