"""The registry: promoted models, each with its attestation and its evidence, and aliases that point to them.

    registry/
        models/<sha256>/model/             the promoted bytes
        models/<sha256>/attestation.json   which gates they passed
        models/<sha256>/events.jsonl       the record of the run, so that anyone can verify it
        models/<sha256>/*.sigstore.json    the signed statements, if it was signed (`signing.py`)
        bases/<sha256>/                    the base of a promoted adapter, if the run trained it
        aliases/                           where each alias points, and the history of its moves (`aliases.py`)
        policy.yaml                        what the registry requires of a promotion, if you wrote one (`policy.py`)

Promotion is atomic: everything is written to a draft and moved to its place by `os.replace`; if the process is killed,
the old alias remains.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from tunegate.exceptions import CannotJudge, ConfigError, Tampered, nearest
from tunegate.promotion.aliases import (
    ALIAS,
    SHA256,
    alias_in,
    aliases_of,
    move,
    moving,
    pointer_file,
    pointers,
    target_of,
)
from tunegate.promotion.entry import ATTESTATION, check_entry, check_record, keep_base, publish
from tunegate.promotion.evidence import Fingerprint, attest, check_gates, check_promotable
from tunegate.promotion.keys import PrivateKey, PublicKey
from tunegate.promotion.policy import check_policy, check_signer, trusted_keys
from tunegate.promotion.signing import check_signatures, is_signed, sign_entry
from tunegate.record.read_run import read_run
from tunegate.record.recheck import NotPromotable
from tunegate.record.record import RunRecord


@dataclass(frozen=True)
class Promotion:
    """A promoted model.

    `alias` is the requested alias, None for a folder; `aliases` are all aliases that point to these bytes now.
    `already`: the alias already pointed to them, so `promote` changed nothing. `signed`: there are signed statements;
    `keys` are the hints of the keys that signed them, if the signatures were verified.
    """

    sha256: str
    folder: Path
    attestation: dict[str, Any]
    alias: str | None = None
    aliases: tuple[str, ...] = ()
    already: bool = False
    signed: bool = False
    keys: tuple[str, ...] = ()


# --- promoting -----------------------------------------------------------------------------------------------------


def promote(
    run: RunRecord,
    alias: str,
    registry: Path,
    fingerprint: Fingerprint,
    today: date | None = None,
    signer: PrivateKey | None = None,
    why: str = "",
) -> Promotion:
    """Copy a run's final model into the registry, sign it if there is a `signer`, and point the alias to it.

    A model that is already in the registry keeps the evidence of its first promotion. Waivers must be in force `today`.
    """
    alias_in(alias)
    attempt, folder = check_promotable(run, fingerprint, today or date.today())
    check_policy(registry, run, attempt, alias)
    check_signer(registry, signer)
    sha256 = attempt.model_sha256
    place = registry / "models" / sha256
    try:
        with moving(registry) as log:
            if place.exists():
                check_record(run, run.folder)
                attestation = check_entry(place, fingerprint)
                newly_signed = signer is not None and sign_entry(place, attestation, signer)
            else:
                attestation = attest(run, attempt)
                keep_base(run, folder, registry, fingerprint)
                publish(run, folder, attestation, place, fingerprint, signer)
                newly_signed = signer is not None
            already = not move(log, registry, alias, sha256, why=why, run=run.name)
    except OSError as error:
        raise CannotJudge(f"{registry}: cannot write to the registry: {error.strerror or error}") from error
    aliases = aliases_of(sha256, registry, strict=False)
    keys = () if signer is None else (signer.hint,)
    return Promotion(sha256, place, attestation, alias, aliases, already and not newly_signed, is_signed(place), keys)


# --- verifying -----------------------------------------------------------------------------------------------------


def verify(model: str, registry: Path, fingerprint: Fingerprint, keys: Sequence[PublicKey] = ()) -> Promotion:
    """Find the promotion of a model folder or an alias, and check its bytes and its evidence.

    With `keys`, it must be signed, each signature by one of them. Raises NotPromotable for bytes that were never
    promoted or never signed, Tampered if the registry's copy, evidence or signature is not what was promoted.
    """
    if not registry.is_dir():
        raise ConfigError(f"{registry}: no such registry; give its folder with --registry")
    alias = model if ALIAS.fullmatch(model) and pointer_file(model, registry).is_file() else None
    if alias and Path(model).exists():
        raise ConfigError(f"{model}: both an alias in {registry} and a folder here; write ./{model} for the folder")
    if alias:
        sha256 = target_of(alias, registry)
        folder = registry / "models" / sha256 / "model"
    else:
        folder = _model_folder(model, registry)
        sha256 = fingerprint(folder)
        if not (registry / "models" / sha256 / ATTESTATION).is_file():
            if _is_below(folder, registry / "models"):
                raise Tampered(f"{folder}: it is in the registry, but its bytes differ from those that were promoted")
            raise NotPromotable(f"{model}: these bytes ({sha256[:12]}…) were never promoted in {registry}")
    place = registry / "models" / sha256
    attestation = check_entry(place, fingerprint)
    hints = check_signatures(place, attestation, folder, keys) if keys else ()
    aliases = aliases_of(sha256, registry, strict=True)
    hints = enforce_policy(registry, place, attestation, folder, aliases) or hints
    return Promotion(sha256, place, attestation, alias, aliases, signed=is_signed(place), keys=hints)


def enforce_policy(
    registry: Path, place: Path, attestation: dict[str, Any], model: Path, aliases: Sequence[str]
) -> tuple[str, ...]:
    """Raise NotPromotable or Tampered unless an entry has what the registry's policy requires, under each of these
    aliases; returns the hints of the trusted keys that signed it, if the policy names keys."""
    trusted = trusted_keys(registry)
    hints = check_signatures(place, attestation, model, trusted) if trusted else ()
    run = read_run(place)
    attempt = check_gates(run)
    for alias in aliases or (None,):
        check_policy(registry, run, attempt, alias)
    return hints


def check_promoted(model: str, sha256: str) -> None:
    """Raise Tampered if `model` is in a registry and its present hash, `sha256`, is not the promoted one."""
    folder = Path(model).resolve()
    place = folder.parent if folder.name == "model" else folder
    held = SHA256.fullmatch(place.name) is not None and (place / ATTESTATION).exists()
    if held and place.name != sha256:
        raise Tampered(f"{folder}: changed after its promotion; start from a model that `tunegate verify` accepts")


def _model_folder(model: str, registry: Path) -> Path:
    """The folder to fingerprint: the given folder, or the model in the given registry entry."""
    folder = Path(model)
    if not folder.exists():
        aliases = [path.stem for path in pointers(registry)]
        raise ConfigError(f"{model}: neither a model folder nor an alias in {registry}{nearest(model, aliases)}")
    # Only in this registry: elsewhere, a folder may contain other weights next to a folder `model`.
    is_entry = folder.resolve().parent == (registry / "models").resolve()
    return folder / "model" if is_entry else folder


def _is_below(folder: Path, place: Path) -> bool:
    return place.resolve() in folder.resolve().parents
