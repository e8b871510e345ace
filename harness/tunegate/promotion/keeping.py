"""Maintaining a registry: listing it, comparing the evidence of two models, rolling back, and clearing up."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunegate.exceptions import CannotJudge, ConfigError, nearest
from tunegate.promotion.aliases import (
    EXPORTS,
    SHA256,
    Move,
    alias_in,
    history,
    is_export_entry,
    move,
    moving,
    pointers,
    target_of,
    targets,
)
from tunegate.promotion.entry import ATTESTATION, check_entry, read_json
from tunegate.promotion.evidence import Fingerprint
from tunegate.promotion.exports import read_record, verify_export
from tunegate.promotion.policy import policies_of
from tunegate.promotion.registry import enforce_policies

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Listed:
    """An alias, the model that it points to, and its last move; None for a registry that an older Tunegate wrote.

    `export_of` is the model that an export was made from, None for a model.
    """

    alias: str
    sha256: str
    moved: Move | None
    export_of: str | None


def listed(registry: Path) -> list[Listed]:
    """The aliases of a registry, by name. Raises Tampered for an alias that no promotion set."""
    _check_there(registry)
    last = {one.alias: one for one in history(registry)}
    return [
        Listed(alias, sha256, last.get(alias), source_of(registry, sha256))
        for alias, sha256 in targets(registry).items()
    ]


def source_of(registry: Path, sha256: str) -> str | None:
    """The model that an export of a registry was made from; None for a model."""
    if not is_export_entry(registry, sha256):
        return None
    return str(read_record(registry / EXPORTS / sha256)["source"].get("sha256"))


def attestation_of(model: str, registry: Path) -> Json:
    """The attestation of an alias, or of a model by the beginning of its fingerprint."""
    _check_there(registry)
    known = [path.stem for path in pointers(registry)]
    if model in known:
        if (of := source_of(registry, target_of(model, registry))) is not None:
            raise ConfigError(
                f"{model}: an export of {of[:12]}…; compare that model, which has the evidence of the gates"
            )
        return read_json(registry / "models" / target_of(model, registry) / ATTESTATION)
    found = [name for name in models(registry) if len(model) >= 6 and name.startswith(model)]
    if len(found) != 1:
        several = f"{len(found)} models in {registry} begin with this; give more characters"
        what = several if found else f"neither an alias nor a model in {registry}"
        raise ConfigError(f"{model}: {what}{nearest(model, known)}")
    return read_json(registry / "models" / found[0] / ATTESTATION)


def models(registry: Path) -> list[str]:
    """The fingerprints of the models in a registry."""
    return sorted(path.name for path in (registry / "models").glob("*") if SHA256.fullmatch(path.name))


# --- differences ---------------------------------------------------------------------------------------------------

FACTS = ("run", "base_model", "base_model_sha256", "pipeline_sha256", "tunegate")
OF_GATE = ("verdict", "passed", "drawn", "accept", "interval", "suite_sha256", "attempt")


@dataclass(frozen=True, slots=True)
class Difference:
    """A fact that differs in two attestations; `what` names it, such as `run`, or `facts: passed` for a gate."""

    what: str
    before: Any
    after: Any


def differences(before: Json, after: Json) -> Iterator[Difference]:
    """What differs in the evidence of two models: facts of their runs, their gates, their waivers."""
    for name in FACTS:
        if before.get(name) != after.get(name):
            yield Difference(name, before.get(name), after.get(name))
    first, second = ({gate["gate"]: gate for gate in one["gates"]} for one in (before, after))
    for gate in dict.fromkeys((*first, *second)):
        if gate not in first or gate not in second:
            yield Difference(gate, _result(first.get(gate)), _result(second.get(gate)))
            continue
        for name in OF_GATE:
            if first[gate].get(name) != second[gate].get(name):
                yield Difference(f"{gate}: {name}", first[gate].get(name), second[gate].get(name))
    waived = [[f"{one['stage']} {one['gate']}" for one in each.get("waivers", [])] for each in (before, after)]
    if waived[0] != waived[1]:
        yield Difference("waived", *waived)


def _result(gate: Json | None) -> str | None:
    return None if gate is None else f"{gate['verdict']}, {gate['passed']} of {gate['drawn']}"


# --- rolling back --------------------------------------------------------------------------------------------------


def rollback(registry: Path, alias: str, fingerprint: Fingerprint, *, to: str | None, why: str) -> tuple[str, str]:
    """Point an alias to the model that it pointed to before, or to an earlier model with a fingerprint that begins with
    `to`. Returns the fingerprints before and after.

    The model is verified first, and the registry's policy applies. Raises ConfigError if there is no earlier model.
    """
    _check_there(registry)
    if not why.strip():
        raise ConfigError("--why: give the reason for the rollback in a few words, for the history of the alias")
    try:
        with moving(registry) as log:
            now = target_of(alias_in(alias), registry)
            earlier = [one.sha256 for one in history(registry, alias)[::-1] if one.sha256 != now]
            found = [one for one in dict.fromkeys(earlier) if to is None or one.startswith(to)]
            if not found or (to is not None and len(found) > 1):
                what = "it has no earlier model" if to is None else f"{len(found)} earlier models begin with {to!r}"
                raise ConfigError(f"{alias}: {what}; see `tunegate registry history {alias} --registry {registry}`")
            run = _checked(registry, found[0], fingerprint, alias)
            move(log, registry, alias, found[0], why=why, run=run)
    except OSError as error:
        raise CannotJudge(f"{registry}: cannot write to the registry: {error.strerror or error}") from error
    return now, found[0]


def _checked(registry: Path, sha256: str, fingerprint: Fingerprint, alias: str) -> str:
    """Verify a model or an export that an alias will point to; returns the name of its run."""
    if is_export_entry(registry, sha256):
        found = verify_export(registry / EXPORTS / sha256, registry, fingerprint, as_alias=alias)
        return found.source.attestation["run"]
    place = registry / "models" / sha256
    if not place.is_dir():
        raise ConfigError(f"{alias}: its earlier model {sha256[:12]}… is no longer in {registry}")
    attestation = check_entry(place, fingerprint)
    enforce_policies(policies_of(registry), place, attestation, place / "model", [alias])
    return attestation["run"]


# --- clearing up ---------------------------------------------------------------------------------------------------


def unused(registry: Path, keep_days: float) -> list[Path]:
    """What may be removed: models that no alias points to and that are older than `keep_days`, and drafts of promotions
    that were killed. Exports are kept, and so are the models that they were made from; and bases, because adapters need
    them."""
    _check_there(registry)
    latest = time.time() - keep_days * 86400
    known = models(registry)
    used = set(targets(registry, known).values())
    exports = [path for path in (registry / EXPORTS).glob("*") if SHA256.fullmatch(path.name)]
    used |= {str(read_record(path)["source"].get("sha256")) for path in exports}
    free = [name for name in known if name not in used]
    old = [path for name in free if (path := registry / "models" / name).stat().st_mtime <= latest]
    return [*old, *sorted(registry.glob("*/.*.partial"))]


def remove(registry: Path, keep_days: float) -> list[Path]:
    """Remove what `unused` names, while no promotion is under way."""
    try:
        with moving(registry):
            found = unused(registry, keep_days)
            for path in found:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    except OSError as error:
        raise CannotJudge(f"{registry}: cannot write to the registry: {error.strerror or error}") from error
    return found


def _check_there(registry: Path) -> None:
    if not (registry / "models").is_dir():
        raise ConfigError(f"{registry}: no such registry; give its folder with --registry")
