"""The registry: promoted models, each with its attestation and its evidence, and aliases that point at them.

    registry/
        models/<sha256>/model/             the promoted bytes
        models/<sha256>/attestation.json   which gates they passed
        models/<sha256>/events.jsonl       the record of the run, so that anyone can check
        aliases/production.json            {"sha256": ..., ...}, replaced in one step

Promotion is atomic: everything is written beside its place and moved there by `os.replace`; a kill in the middle
leaves the old alias.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunegate.event_log import EVENTS
from tunegate.evidence import Fingerprint, NotPromotable, attest, check_gates, check_promotable
from tunegate.exceptions import CannotJudge, ConfigError, Tampered, nearest
from tunegate.record import RunRecord, read_run

ALIAS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Promotion:
    """A promoted model."""

    alias: str
    sha256: str
    folder: Path
    attestation: dict[str, Any]


def promote(run: RunRecord, alias: str, registry: Path, fingerprint: Fingerprint) -> Promotion:
    """Copy a run's final model into the registry and point the alias at it."""
    if not ALIAS.fullmatch(alias):
        raise ConfigError(f"alias {alias!r}: letters, digits, '.', '_' and '-' were expected, the first no sign")
    attempt, folder = check_promotable(run, fingerprint)
    sha256 = attempt.model_sha256
    attestation = attest(run, attempt, alias)
    place = registry / "models" / sha256
    try:
        if place.exists():
            _check_copy(place, fingerprint)
        else:
            _publish(run, folder, attestation, place, fingerprint)
        pointer = {"alias": alias, "sha256": sha256, "run": run.name, "record_sha256": run.digest}
        _replace(registry / "aliases" / f"{alias}.json", json.dumps(pointer, indent=2))
    except OSError as error:
        raise CannotJudge(f"{registry}: the registry cannot be written: {error.strerror or error}") from error
    return Promotion(alias, sha256, place, attestation)


def _publish(run: RunRecord, folder: Path, attestation: dict[str, Any], place: Path, fingerprint: Fingerprint) -> None:
    partial = place.with_name(f".{place.name}.{uuid.uuid4().hex}.partial")
    try:
        shutil.copytree(folder, partial / "model")
        if fingerprint(partial / "model") != place.name:
            raise CannotJudge(f"{folder}: the copy differs from the original; is another process writing to it?")
        shutil.copy2(run.folder / EVENTS, partial / EVENTS)
        (partial / "attestation.json").write_text(json.dumps(attestation, indent=2), encoding="utf-8")
        _sync_tree(partial)
        os.replace(partial, place)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _sync_tree(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            fd = os.open(path, os.O_RDONLY)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)


def _replace(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    try:
        with partial.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def verify(model: str, registry: Path, fingerprint: Fingerprint) -> Promotion:
    """Say which promotion stands behind a model folder or an alias; its bytes and its evidence are checked.

    Raises NotPromotable for bytes that were never promoted, Tampered when the registry's own copy or evidence changed.
    """
    if not registry.is_dir():
        raise ConfigError(f"{registry}: no such registry; name it with --registry")
    alias_file = registry / "aliases" / f"{model}.json"
    alias = model if ALIAS.fullmatch(model) and alias_file.is_file() else ""
    if alias and Path(model).exists():
        raise ConfigError(f"{model}: an alias in {registry}, and a folder here; write ./{model} for the folder")
    if alias:
        sha256 = str(_read_json(alias_file).get("sha256"))
        folder = registry / "models" / sha256 / "model"
        if not folder.is_dir():
            raise Tampered(f"{alias_file}: points at {sha256}, which is not in the registry")
    else:
        folder = Path(model)
        if not folder.exists():
            aliases = [path.stem for path in (registry / "aliases").glob("*.json")]
            raise ConfigError(f"{model}: neither a model folder nor an alias in {registry}{nearest(model, aliases)}")
        if (folder / "attestation.json").is_file():  # a registry entry, as `promote` prints it: its model is inside
            folder = folder / "model"
        sha256 = fingerprint(folder)
    place = registry / "models" / sha256
    if not (place / "attestation.json").is_file():
        _raise_if_changed(folder, registry)
        raise NotPromotable(f"{model}: these bytes ({sha256[:12]}…) were never promoted in {registry}")
    attestation = _check_copy(place, fingerprint)
    return Promotion(alias or str(attestation["promoted_to"]), sha256, place, attestation)


def _raise_if_changed(folder: Path, registry: Path) -> None:
    models = (registry / "models").resolve()
    if models in folder.resolve().parents:
        raise Tampered(f"{folder}: lies in the registry, but its bytes are not those that were promoted")


def _check_copy(place: Path, fingerprint: Fingerprint) -> dict[str, Any]:
    """The attestation of a model in the registry; its bytes, its record and what is attested must agree."""
    if fingerprint(place / "model") != place.name:
        raise Tampered(f"{place / 'model'}: the bytes are not those that were promoted")
    if not (place / EVENTS).is_file():
        raise Tampered(f"{place}: the record of the run, the evidence of the promotion, is gone")
    attestation = _read_json(place / "attestation.json")
    run = read_run(place)
    if run.digest != attestation.get("record_sha256"):
        raise Tampered(f"{place / EVENTS}: not the record that the attestation vouches for")
    expected = attest(run, check_gates(run), str(attestation.get("promoted_to")))
    if {**attestation, "tunegate": None} != {**expected, "tunegate": None} or expected["model_sha256"] != place.name:
        raise Tampered(f"{place / 'attestation.json'}: says something else than the record of the run")
    return attestation


def _read_json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Tampered(f"{path}: cannot be read as JSON: {error}") from error
    if not isinstance(data, dict):
        raise Tampered(f"{path}: a JSON object was expected")
    return data  # pyright: ignore[reportUnknownVariableType]
