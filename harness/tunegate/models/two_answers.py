"""Ambiguous model folders: with two sets of weights or two chat templates.

Loaders differ in which they use, so the gated model may differ from the served model. Two sets of weights are refused;
weights that no current loader uses, and a template that is ignored, give a note. Without torch.
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
    """Raise ConfigError if a folder has two sets of weights and different loaders would use different sets."""
    heads = _heads(folder)
    if len(heads) > 1:
        one, other = list(heads)[:2]
        raise ConfigError(
            f"{folder}: there are two sets of weights, {one} and {other}, and loaders differ in which they use: remove "
            "one of them, or move it to another folder"
        )


def notes(folder: Path) -> list[str]:
    """Notes on unused files in a folder, one line each."""
    found: list[str] = []
    taken = set[str]().union(*_heads(folder).values())
    spare = sorted(path.name for path in folder.glob("*.safetensors") if path.name not in taken) if taken else []
    if spare:
        more = f" and {len(spare) - 1} more" if len(spare) > 1 else ""
        found.append(f"{folder}: {spare[0]}{more}: these weights are not used, only {', '.join(_heads(folder))}")
    configured = _json(folder / TOKENIZER_CONFIG).get("chat_template")
    written = folder / TEMPLATE
    if isinstance(configured, str) and written.is_file() and _text(written).strip() != configured.strip():
        found.append(
            f"{folder}: there are two different chat templates: {TEMPLATE} is used and the template in "
            f"{TOKENIZER_CONFIG} is ignored, but other loaders may use it: remove one of them"
        )
    return found


def _heads(folder: Path) -> dict[str, set[str]]:
    """The files that a loader may start with, each with its weights; files with the same weights are one set."""
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
    """An object from a file; empty if there is none, since the loader reports the fault."""
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
