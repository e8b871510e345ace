"""Embeddings for ragas metrics that compare them: those of the check `similarity`, computed locally."""

from __future__ import annotations

from typing import Any

from tunegate.models.sentences import default_model
from tunegate.optional import optional_import


def local_embeddings() -> Any:
    """The default sentence-transformers model as an instance of a subclass of ragas's base class."""
    base = optional_import("ragas.embeddings.base", "ragas", "ragas").BaseRagasEmbedding
    model = default_model("ragas")

    class LocalEmbeddings(base):
        def embed_text(self, text: str, **kwargs: Any) -> list[float]:
            too_long = model.too_long([text])
            if too_long:
                raise ValueError(
                    f"a text has {too_long[text]} tokens, but the embedding model reads only {model.window}"
                )
            return model.embed([text])[text].tolist()

        async def aembed_text(self, text: str, **kwargs: Any) -> list[float]:
            return self.embed_text(text)

    return LocalEmbeddings()
