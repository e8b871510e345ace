"""A model folder that holds two answers to one question: which weights, which chat template.

Loaders differ in which they take, so that what is gated need not be what is served. Two sets of weights are refused;
what no loader of today takes for the model, and a template that is passed over, is told. No torch.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

from tunegate.exceptions import ConfigError
from tunegate.models.fingerprint import ADAPTER_CONFIG

SINGLE, INDEX, ADAPTER = "model.safetensors", "model.safetensors.index.json", "adapter_model.safetensors"
TEMPLATE = "chat_template.jinja"
TOKENIZER_CONFIG = "tokenizer_config.json"


def check_one_set(folder: Path) -> None:
    """Raise ConfigError where two sets of weights lie in a folder, each of which some loader takes for the model."""
    heads = _heads(folder)
    if len(heads) > 1:
        one, other = list(heads)[:2]
        raise ConfigError(
            f"{folder}: two sets of weights: {one} and {other}; loaders differ in which of them they take: remove the "
            "one that is not meant, or move it to a folder of its own"
        )


def notes(folder: Path) -> list[str]:
    """What a folder holds beside what is used, a line each."""
    found: list[str] = []
    taken = set[str]().union(*_heads(folder).values())
    spare = sorted(path.name for path in folder.glob("*.safetensors") if path.name not in taken) if taken else []
    if spare:
        more = f" and {len(spare) - 1} more" if len(spare) > 1 else ""
        found.append(f"{folder}: {spare[0]}{more}: weights that are not used: only {', '.join(_heads(folder))} is")
    configured = _json(folder / TOKENIZER_CONFIG).get("chat_template")
    written = folder / TEMPLATE
    if isinstance(configured, str) and written.is_file() and _text(written).strip() != configured.strip():
        found.append(
            f"{folder}: two chat templates that differ: {TEMPLATE} is used, the one in {TOKENIZER_CONFIG} is passed "
            "over; other loaders may take that one: remove the one that is not meant"
        )
    return found


def _heads(folder: Path) -> dict[str, set[str]]:
    """The files that a loader begins with, each with the weights that it leads to; those that lead to the same ones
    are one set."""
    named: Any = _json(folder / "config.json").get("transformers_weights")
    mapped: Any = _json(folder / INDEX).get("weight_map")
    shards = {str(name) for name in cast("dict[str, object]", mapped if isinstance(mapped, dict) else {}).values()}
    candidates: dict[str, set[str]] = {
        **({ADAPTER: {ADAPTER}} if (folder / ADAPTER_CONFIG).is_file() and (folder / ADAPTER).is_file() else {}),
        **({f"config.json (transformers_weights: {named})": {named}} if isinstance(named, str) else {}),
        **({SINGLE: {SINGLE}} if (folder / SINGLE).is_file() else {}),
        **({INDEX: shards} if shards else {}),
    }
    heads: dict[str, set[str]] = {}
    for head, weights in candidates.items():
        if weights not in heads.values():
            heads[head] = weights
    return heads


def _json(path: Path) -> dict[str, Any]:
    """An object from a file; empty where there is none: what is wrong with it, the loader says."""
    try:
        data: Any = json.loads(_text(path))
    except ValueError:
        return {}
    return cast("dict[str, Any]", data) if isinstance(data, dict) else {}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
