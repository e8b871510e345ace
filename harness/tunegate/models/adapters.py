"""PEFT adapters: applied to their base model, merged, and compared with the contents of their files.

An adapter may have its own embeddings: trained embeddings (`modules_to_save`), or those of a vocabulary that was
extended before the training. In the second case, the base is first extended to as many rows, as PEFT's AutoPeftModel
does based on the tokenizer.
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
"""The prefix that PEFT puts before a name of the base model."""


def load_adapter(base: Any, folder: Path) -> Any:
    """The base model with a PEFT adapter merged into its weights, which makes every later step cheaper.

    An adapter that is a learned prefix of every prompt cannot be merged; it is applied to each prompt instead.
    """
    from tunegate.models.prompted import prompted

    model = put_adapter(base, folder)
    can_merge = not model.active_peft_config.is_prompt_learning
    return (merged(model) if can_merge else prompted(model)).eval()


def merged(model: Any) -> Any:
    """The base model of a PeftModel with the adapter in its weights.

    Input and output embeddings that share weights are separated if the adapter changes only one of them. Without that,
    PEFT would change both, and a saved model would share the weights again when it is opened.
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
    """The layer of the base model inside PEFT's wrappers."""
    for name in ("base_layer", "original_module"):
        if hasattr(layer, name):
            return _core(getattr(layer, name))
    return layer


def _is_adapted(layers: list[Any]) -> bool:
    return any(_core(layer) is not layer for layer in layers)


def put_adapter(base: Any, folder: Path, *, is_trainable: bool = False) -> Any:
    """The base model with a PEFT adapter; an adapter for another network is refused.

    PEFT itself would skip the parts of the adapter that do not fit, and only warn.
    """
    loading.check_weight_files(folder)
    if loading.read_config(folder / ADAPTER_CONFIG).get("task_type") == "SEQ_CLS":
        raise ConfigError(
            f"{folder}: this is the adapter of a reward model; merge it into its base model and name the merged folder"
        )
    peft = loading.hf_import("peft")
    given = _shapes(folder)
    _make_room(base, given)
    embeddings = tuple(f"{PREFIX}{name}." for name in _embeddings(base))
    try:
        with loading.quiet_transformers():
            model = peft.PeftModel.from_pretrained(base, str(folder), is_trainable=is_trainable)
            wanted = set(peft.get_peft_model_state_dict(model, save_embedding_layers=False))
    except Exception as error:
        raise CannotJudge(f"{folder}: the adapter does not fit its base model: {_first_reason(error)}") from error
    places = {_plain(name.replace(f".{model.active_adapter}", "")) for name in model.state_dict()}
    brought = {name for name in given if name.startswith(embeddings) and _plain(name) in places}
    strange = sorted((wanted - given.keys()) | (given.keys() - wanted - brought))
    if strange:
        raise CannotJudge(
            f"{folder}: the adapter is for another base model: {len(strange)} of its parts do not exist in this "
            "base or "
            f"are missing, first {strange[0]}; use the base model that it was trained on"
        )
    return model


def _shapes(folder: Path) -> dict[str, list[int]]:
    """The tensors of an adapter's file, by name."""
    try:
        with loading.hf_import("safetensors").safe_open(str(folder / WEIGHTS), framework="pt") as file:
            return {name: list(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except Exception as error:
        raise CannotJudge(f"{folder / WEIGHTS}: the file cannot be read: {loading.one_line(error)}") from error


def _embeddings(base: Any) -> list[str]:
    """The names of the input and output embeddings in the base model: `model.embed_tokens`, `lm_head`."""
    layers = [layer for layer in (base.get_input_embeddings(), base.get_output_embeddings()) if layer is not None]
    return [name for name, module in base.named_modules() if any(module is layer for layer in layers)]


def _make_room(base: Any, given: Mapping[str, list[int]]) -> None:
    """Extend the base model's embeddings to the number in the adapter, if the adapter has all of them and more."""
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
    """How many embeddings an adapter's file has for a layer; None if it has no complete embeddings."""
    return next((shape[0] for name, shape in given.items() if _plain(name) == f"{PREFIX}{layer}.weight"), None)


def _plain(name: str) -> str:
    """The name of a layer's weights without PEFT's additions; PEFT saves some weights twice."""
    for part in (".modules_to_save", ".token_adapter", ".base_layer", ".original_module"):
        name = name.replace(part, "")
    return name


def _first_reason(error: Exception) -> str:
    """The first line of an error, with the second line if the first only introduces a list, as torch's size errors
    do."""
    first, *more = [line.strip() for line in str(error).strip().splitlines()] or [type(error).__name__]
    return f"{first} {more[0]}" if first.endswith(":") and more else first
