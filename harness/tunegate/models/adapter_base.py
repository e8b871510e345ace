"""The base model of an adapter: named by its path, and by its fingerprint if Tunegate trained the adapter.

An adapter answers differently on another base, so a path is not enough: it may be relative to some other working
folder, or point to another model by now. If the fingerprint is known, the base is also searched for in the adapter's
folder and the folders above it, so that a project can be moved as a whole.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tunegate.exceptions import CannotJudge, ConfigError, Tampered, TunegateError
from tunegate.models import loading
from tunegate.models.fingerprint import ADAPTER_CONFIG

FILE = "base_model.json"
"""A file next to an adapter: {"sha256": the fingerprint of its base model}."""

Sha256Of = Callable[[Path], str]


def write_base(adapter: Path, sha256: str) -> None:
    """Name the base of an adapter by its fingerprint."""
    (adapter / FILE).write_text(json.dumps({"sha256": sha256}, indent=2), encoding="utf-8")


def place_of_base(adapter: Path, sha256_of: Sha256Of) -> str:
    """The base model of an adapter: the path (or other name for `open_model`) that its files give.

    Raises Tampered if that is not the model that the adapter was trained on, CannotJudge if no base is found.
    """
    config = adapter / ADAPTER_CONFIG
    named = loading.read_config(config).get("base_model_name_or_path")
    if not isinstance(named, str) or not named:
        raise ConfigError(f"{config}: base_model_name_or_path: expected the adapter's base model, got {named!r}")
    if not (adapter / FILE).exists():
        return _as_named(adapter, named)
    expected = loading.read_config(adapter / FILE).get("sha256")
    there = [path for path in _candidates(adapter, Path(named), str(expected)) if path.exists()]
    for path in there:
        if _sha256(path, sha256_of) == expected:
            return str(path)
    if there:
        raise Tampered(
            f"{adapter}: the base model was replaced: {there[0]} is not the base of this adapter (fingerprint "
            f"{str(expected)[:12]}…); restore that base"
        )
    raise CannotJudge(
        f"{adapter}: the base model is missing: neither {named} nor {Path(named).name!r} in a folder above the adapter "
        f"exists; restore the base with the fingerprint {str(expected)[:12]}…"
    )


def _as_named(adapter: Path, named: str) -> str:
    """The base of a third-party adapter; a relative path starts here, as in PEFT, or else at the adapter."""
    beside = adapter / named
    if not Path(named).is_absolute() and not Path(named).exists() and beside.exists():
        named = str(beside)
    if Path(named).resolve() == adapter.resolve():
        raise ConfigError(
            f"{adapter / ADAPTER_CONFIG}: base_model_name_or_path: the adapter names itself as its base; write the "
            "path of its base model"
        )
    return named


def _candidates(adapter: Path, named: Path, sha256: str) -> Iterator[Path]:
    """Possible places of the base: as named, under its name in a folder above, or in the models of a registry."""
    own = adapter.resolve()
    yield named if named.is_absolute() else own / named
    for folder in own.parents:
        for path in (folder / named.name, folder / "models" / sha256 / "model", folder / "bases" / sha256):
            if path != own and path != named:
                yield path


def _sha256(path: Path, sha256_of: Sha256Of) -> Any:
    """The fingerprint of a possible base; None if it is not a model."""
    try:
        return sha256_of(path)
    except TunegateError:
        return None
