"""`similarity`: how similar in meaning an answer is to the reference, by sentence embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar

from tunegate.checks.check import Need, Sample
from tunegate.checks.outcome import Finding
from tunegate.models.sentences import DEFAULT, SentenceModel, cached_model, default_model
from tunegate.optional import require
from tunegate.trust.wants import Wants
from tunegate_suites.base import NumericCheck
from tunegate_suites.text import NO_REFERENCE


class Similarity(NumericCheck):
    """Cosine of the sentence-transformers embeddings of answer and reference; the best of several references counts.

    A text with more tokens than the model reads (256 for the default model) is INVALID, since its end would not count.
    """

    shorthand: ClassVar[str | None] = "min"
    example: ClassVar[str] = "similarity: {min: 0.8}"
    extra: ClassVar[str | None] = "similarity"
    revision: ClassVar[str] = "2"
    score_range: ClassVar[tuple[float, float]] = (-1.0, 1.0)

    model: str = DEFAULT
    """folder of a sentence-transformers model, or the name of a model in the local Hugging Face cache; the default
    model comes with the extra"""

    @property
    def wants(self) -> Wants:
        beside = self._context.base_dir / self.model
        return Wants(loads=(str(beside) if beside.is_dir() else self.model,))

    def prepare(self) -> None:
        require(self.name, "similarity", "sentence_transformers")
        _ = self._sentences

    @property
    def needs(self) -> tuple[Need, ...]:
        return ("reference",)

    @property
    def batch_size(self) -> int:
        return 64

    @cached_property
    def _sentences(self) -> SentenceModel:
        """The model, which is never downloaded."""
        beside = self._context.base_dir / self.model
        if beside.is_dir():
            return SentenceModel(beside)
        if self.model in (DEFAULT, f"sentence-transformers/{DEFAULT}"):
            return default_model(self.name)
        cached = cached_model(self.model)
        if cached is None:
            raise self.config_error(
                "model",
                f"there is no folder {self.model!r} next to the suite, and no such model in the local Hugging Face "
                f"cache; name a folder, or leave it out for {DEFAULT}",
            )
        return cached

    def further_facts(self) -> dict[str, Any]:
        return {"weights_sha256": self._sentences.weights_sha256}

    def judge(self, samples: Sequence[Sample]) -> Sequence[Finding]:
        judged = [sample for sample in samples if sample.case.references]
        texts = [text for sample in judged for text in (sample.response.text, *sample.case.references)]
        too_long = self._sentences.too_long(texts)
        vectors = self._sentences.embed([text for text in texts if text not in too_long])
        findings: list[Finding] = []
        for sample in samples:
            references = sample.case.references
            if not references:
                findings.append(self.invalid(NO_REFERENCE))
                continue
            tokens = too_long.get(sample.response.text)
            if tokens is not None:
                findings.append(self._cut("the answer", tokens))
                continue
            tokens = next((too_long[text] for text in references if text in too_long), None)
            if tokens is not None:
                findings.append(self._cut("the reference", tokens))
                continue
            answer, *expected = [vectors[text] for text in (sample.response.text, *references)]
            # With floats, the cosine of a vector with itself may be 1.0000001.
            findings.append(self.scored(min(1.0, max(float(answer @ vector) for vector in expected))))
        return findings

    def _cut(self, what: str, tokens: int) -> Finding:
        return self.invalid(
            f"{what} has {tokens} tokens, but the model reads only {self._sentences.window}: use a model with a longer "
            "window, or use `rougeL` or a judge"
        )
