"""The base model under an adapter: named by its place, and by its fingerprint where Tunegate trained the adapter.

An adapter answers differently on another base, so what lies at a path is not enough: a path may be relative to where
somebody stood, and another model may lie there by now. With the fingerprint known, the base is looked for beside the
adapter and the folders above it too, so that a project may be moved as a whole.
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
"""Beside an adapter: {"sha256": the fingerprint of its base model}."""

Sha256Of = Callable[[Path], str]


def write_base(adapter: Path, sha256: str) -> None:
    """Name the base of an adapter by its fingerprint."""
    (adapter / FILE).write_text(json.dumps({"sha256": sha256}, indent=2), encoding="utf-8")


def place_of_base(adapter: Path, sha256_of: Sha256Of) -> str:
    """Where the base model of an adapter is: the path (or what else `open_model` takes) that its files lead to.

    Raises Tampered where another model than the one that it was trained on lies there, CannotJudge where none is found.
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
            f"{adapter}: its base model is another one: {there[0]} is not the base that it was trained on (fingerprint "
            f"{str(expected)[:12]}…); put that one back"
        )
    raise CannotJudge(
        f"{adapter}: its base model is gone: there is no {named}, nor a {Path(named).name!r} in a folder above the "
        f"adapter; put the base with the fingerprint {str(expected)[:12]}… there"
    )


def _as_named(adapter: Path, named: str) -> str:
    """The base of an adapter from elsewhere; a relative path counts from here, as in PEFT, or else from the adapter."""
    beside = adapter / named
    if not Path(named).is_absolute() and not Path(named).exists() and beside.exists():
        named = str(beside)
    if Path(named).resolve() == adapter.resolve():
        raise ConfigError(f"{adapter / ADAPTER_CONFIG}: base_model_name_or_path: the adapter names itself as its base")
    return named


def _candidates(adapter: Path, named: Path, sha256: str) -> Iterator[Path]:
    """Where the base may be: as named, under its name further up, or among the promoted models of a registry."""
    own = adapter.resolve()
    yield named if named.is_absolute() else own / named
    for folder in own.parents:
        for path in (folder / named.name, folder / "models" / sha256 / "model", folder / "bases" / sha256):
            if path != own and path != named:
                yield path


def _sha256(path: Path, sha256_of: Sha256Of) -> Any:
    """The fingerprint of what may be the base; None where it is no model."""
    try:
        return sha256_of(path)
    except TunegateError:
        return None
