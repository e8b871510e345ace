"""A transformers model that is already in memory, in training or not, with the engine's model interface."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any, cast

from tunegate.models.hf import BATCH_SIZE_CPU, BATCH_SIZE_GPU, HFModel
from tunegate.models.loading import hf_import
from tunegate.models.reward_model import RewardModel


def loaded_model(
    model: Any, tokenizer: Any, name: str, sha256: str | None = None, batch_size: int | None = None
) -> HFModel | RewardModel:
    """The model with its tokenizer; a model for sequence classification is a reward model, which only scores."""
    on_gpu = str(model.device).startswith("cuda")
    kind = RewardModel if type(_inner(model)).__name__.endswith("ForSequenceClassification") else HFModel
    return kind(name, sha256, model, tokenizer, batch_size or (BATCH_SIZE_GPU if on_gpu else BATCH_SIZE_CPU))


def _inner(model: Any) -> Any:
    """The model inside its adapter, if it has one."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


@contextmanager
def undisturbed(model: Any) -> Generator[None]:
    """Restore random states and training modes afterwards: asking a model must not change its training."""
    import numpy as np

    torch = hf_import("torch")
    training = [module for module in model.modules() if module.training]
    python_state, numpy_state = random.getstate(), np.random.get_state()
    devices = [model.device] if str(model.device).startswith("cuda") else []
    model.eval()
    try:
        with torch.random.fork_rng(devices=devices), torch.no_grad():
            yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
        for module in training:
            module.training = True


def sha256_in_memory(model: Any, tokenizer: Any) -> str:
    """SHA-256 over the weights, buffers, configurations and the tokenizer of a model in memory.

    It distinguishes two states of a model. It is never the fingerprint of a folder, which is computed from its files.
    """
    torch = hf_import("torch")
    digest = hashlib.sha256(f"{type(model).__qualname__}\n".encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\n".encode())
        if tensor.numel():
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    digest.update(model.config.to_json_string(use_diff=False).encode())
    for part in _settings(model, tokenizer):
        digest.update(f"\n{part}".encode(errors="surrogatepass"))
    return digest.hexdigest()


def _settings(model: Any, tokenizer: Any) -> Iterator[str]:
    """What else affects an answer: how generation ends, the adapters, the vocabulary, the chat template."""
    yield str(getattr(model, "generation_config", ""))
    yield str(getattr(model, "active_adapters", "") if hasattr(model, "peft_config") else "")
    for name, config in sorted(getattr(model, "peft_config", {}).items()):
        yield f"{name} {json.dumps(config.to_dict(), sort_keys=True, default=_in_order)}"
    yield str(tokenizer.chat_template)
    yield str(tokenizer.special_tokens_map)
    backend = getattr(tokenizer, "backend_tokenizer", None)
    yield backend.to_str() if backend is not None else str(sorted(tokenizer.get_vocab().items()))


def _in_order(value: Any) -> Any:
    return sorted(map(str, cast("set[object]", value))) if isinstance(value, set) else str(value)
