"""PEFT adapters: put on their base model, merged, and compared with what their files hold.

An adapter may bring embeddings of its own: trained ones (`modules_to_save`), or those of a vocabulary that was extended
before it was trained; then its base is given as many rows first, as PEFT's AutoPeftModel does by the tokenizer.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tunegate.exceptions import CannotJudge, ConfigError
from tunegate.models import loading
from tunegate.models.fingerprint import ADAPTER_CONFIG

WEIGHTS = "adapter_model.safetensors"
PREFIX = "base_model.model."
"""What PEFT puts before a name in the base model."""


def load_adapter(base: Any, folder: Path) -> Any:
    """The base model with a PEFT adapter merged into its weights, which makes every later step cheaper.

    An adapter that cannot be merged, a learned beginning of every prompt, is put before the prompts.
    """
    from tunegate.models.prompted import prompted

    model = put_adapter(base, folder)
    can_merge = not model.active_peft_config.is_prompt_learning
    return (merged(model) if can_merge else prompted(model)).eval()


def merged(model: Any) -> Any:
    """The base model of a PeftModel with the adapter in its weights.

    Input and output embeddings that share their weights part where the adapter changes one of them only: left alone,
    PEFT would add what it learnt for the one to both, and a saved model would be tied again when it is opened.
    """
    base = model.get_base_model()
    layers = [base.get_input_embeddings(), base.get_output_embeddings()]
    if None not in layers and _core(layers[0]).weight is _core(layers[1]).weight and _is_adapted(layers):
        output = _core(layers[1])
        output.weight = type(output.weight)(output.weight.detach().clone(), requires_grad=output.weight.requires_grad)
    whole = model.merge_and_unload()
    entry, exit_ = whole.get_input_embeddings(), whole.get_output_embeddings()
    if exit_ is not None and entry.weight is not exit_.weight:
        whole.config.get_text_config().tie_word_embeddings = whole.config.tie_word_embeddings = False
    return whole


def _core(layer: Any) -> Any:
    """The layer of the base model under what PEFT put around it."""
    for name in ("base_layer", "original_module"):
        if hasattr(layer, name):
            return _core(getattr(layer, name))
    return layer


def _is_adapted(layers: list[Any]) -> bool:
    return any(_core(layer) is not layer for layer in layers)


def put_adapter(base: Any, folder: Path, *, is_trainable: bool = False) -> Any:
    """The base model under a PEFT adapter; one that was made for another network is refused.

    Left alone, PEFT would pass over the parts of the adapter that fit nowhere, and only warn.
    """
    loading.check_weight_files(folder)
    if loading.read_config(folder / ADAPTER_CONFIG).get("task_type") == "SEQ_CLS":
        raise ConfigError(f"{folder}: the adapter of a reward model; merge it into its base model and name that folder")
    peft = loading.hf_import("peft")
    given = _shapes(folder)
    _make_room(base, given)
    embeddings = tuple(f"{PREFIX}{name}." for name in _embeddings(base))
    try:
        with loading.quiet_transformers():
            model = peft.PeftModel.from_pretrained(base, str(folder), is_trainable=is_trainable)
            wanted = set(peft.get_peft_model_state_dict(model, save_embedding_layers=False))
    except Exception as error:
        raise CannotJudge(f"{folder}: the adapter cannot be put on its base model: {_told(error)}") from error
    places = {_plain(name.replace(f".{model.active_adapter}", "")) for name in model.state_dict()}
    brought = {name for name in given if name.startswith(embeddings) and _plain(name) in places}
    strange = sorted((wanted - given.keys()) | (given.keys() - wanted - brought))
    if strange:
        raise CannotJudge(
            f"{folder}: the adapter is for another base model: {len(strange)} of its parts have no place there, or are "
            f"missing, the first is {strange[0]}; put its own base model under it"
        )
    return model


def _shapes(folder: Path) -> dict[str, list[int]]:
    """The tensors of an adapter's file, by name."""
    try:
        with loading.hf_import("safetensors").safe_open(str(folder / WEIGHTS), framework="pt") as file:
            return {name: list(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except Exception as error:
        raise CannotJudge(f"{folder / WEIGHTS}: cannot be read: {loading.one_line(error)}") from error


def _embeddings(base: Any) -> list[str]:
    """The names of the input and output embeddings in the base model: `model.embed_tokens`, `lm_head`."""
    layers = [layer for layer in (base.get_input_embeddings(), base.get_output_embeddings()) if layer is not None]
    return [name for name, module in base.named_modules() if any(module is layer for layer in layers)]


def _make_room(base: Any, given: Mapping[str, list[int]]) -> None:
    """Give the base model as many embeddings as the adapter brings, where it brings all of them and these are more."""
    rows = [_rows(name, given) for name in _embeddings(base)]
    tied = base.config.get_text_config().tie_word_embeddings
    brought = {count for count in rows if count is not None}
    if len(brought) != 1 or (None in rows and not tied):
        return
    (count,) = brought
    if count > base.get_input_embeddings().weight.shape[0]:
        with loading.quiet_transformers():
            base.resize_token_embeddings(count, mean_resizing=False)


def _rows(layer: str, given: Mapping[str, list[int]]) -> int | None:
    """How many embeddings an adapter's file has for a layer; None where it has no whole ones."""
    return next((shape[0] for name, shape in given.items() if _plain(name) == f"{PREFIX}{layer}.weight"), None)


def _plain(name: str) -> str:
    """The name of a layer's weights without what PEFT puts around it; it saves some of them twice."""
    for part in (".modules_to_save", ".token_adapter", ".base_layer", ".original_module"):
        name = name.replace(part, "")
    return name


def _told(error: Exception) -> str:
    """The first line of an error; where that only announces others, as torch's of sizes do, the first of these too."""
    first, *more = [line.strip() for line in str(error).strip().splitlines()] or [type(error).__name__]
    return f"{first} {more[0]}" if first.endswith(":") and more else first
