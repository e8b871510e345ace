"""The registry: promoted models, each with its attestation and its evidence, and aliases that point to them.

    registry/
        models/<sha256>/model/             the promoted bytes
        models/<sha256>/attestation.json   which gates they passed
        models/<sha256>/events.jsonl       the record of the run, so that anyone can verify it
        models/<sha256>/*.sigstore.json    the signed statements, if it was signed (`signing.py`)
        bases/<sha256>/                    the base of a promoted adapter, if the run trained it
        aliases/production.json            {"alias", "sha256", "attestation_sha256"}, replaced in one step

An alias contains its own name and the hash of the attestation it was set on, so a pointer that is copied to another
name, or an attestation that is replaced, is detected. Promotion is atomic: everything is written to a draft and moved
to its place by `os.replace`; if the process is killed, the old alias remains.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal

from tunegate.exceptions import CannotJudge, ConfigError, Tampered, nearest
from tunegate.hashes import sha256_of
from tunegate.models.adapter_base import FILE as BASE_FILE
from tunegate.models.adapter_base import place_of_base
from tunegate.models.fingerprint import strangers
from tunegate.promotion.evidence import FORMAT, Fingerprint, attest, check_gates, check_promotable
from tunegate.promotion.keys import PrivateKey, PublicKey
from tunegate.promotion.policy import check_policy
from tunegate.promotion.signing import check_signatures, is_signed, sign_entry
from tunegate.record.event_log import EVENTS, digest_of
from tunegate.record.read_run import read_run
from tunegate.record.recheck import NotPromotable
from tunegate.record.record import RunRecord
from tunegate.whole_files import draft_of, place_folder, replace_file

ALIAS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
SHA256 = re.compile(r"[0-9a-f]{64}")
ATTESTATION = "attestation.json"
PARTS = ("model", EVENTS, ATTESTATION)
"""The contents of a registry entry; the only other files allowed are for people to read (`READABLE`)."""
READABLE = (".html", ".json", ".md", ".txt", ".xml")


@dataclass(frozen=True)
class Promotion:
    """A promoted model.

    `alias` is the requested alias, None for a folder; `aliases` are all that point to these bytes now. `already` says
    that the alias already pointed to them, so that `promote` changed nothing. `signed` says that there are signed
    statements; `keys` are the hints of the keys that signed them, if they were verified.
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
) -> Promotion:
    """Copy a run's final model into the registry and point the alias to it, after it was signed if there is a `signer`.

    A model that is already in the registry keeps the evidence of its first promotion. Waivers must be in force `today`.
    """
    if not ALIAS.fullmatch(alias):
        raise ConfigError(f"alias {alias!r}: expected letters, digits, '.', '_' and '-', the first a letter or digit")
    attempt, folder = check_promotable(run, fingerprint, today or date.today())
    check_policy(registry, run, attempt, alias)
    sha256 = attempt.model_sha256
    place = registry / "models" / sha256
    pointer_file = _pointer_file(alias, registry)
    try:
        if place.exists():
            _check_record(run, run.folder)
            attestation = _check_copy(place, fingerprint)
            newly_signed = signer is not None and sign_entry(place, attestation, signer)
        else:
            attestation = attest(run, attempt)
            _keep_base(run, folder, registry, fingerprint)
            _publish(run, folder, attestation, place, fingerprint, signer)
            newly_signed = signer is not None
        pointer = {"alias": alias, "sha256": sha256, "attestation_sha256": sha256_of(place / ATTESTATION)}
        already = pointer_file.is_file() and pointer_file.read_bytes() == _as_json(pointer)
        if not already:
            replace_file(pointer_file, _as_json(pointer))
    except OSError as error:
        raise CannotJudge(f"{registry}: cannot write to the registry: {error.strerror or error}") from error
    aliases = _aliases_of(sha256, registry, strict=False)
    keys = () if signer is None else (signer.hint,)
    return Promotion(sha256, place, attestation, alias, aliases, already and not newly_signed, is_signed(place), keys)


def _publish(
    run: RunRecord,
    folder: Path,
    attestation: dict[str, Any],
    place: Path,
    fingerprint: Fingerprint,
    signer: PrivateKey | None,
) -> None:
    partial = draft_of(place)
    try:
        shutil.copytree(folder, partial / "model")
        _remove_strangers(partial / "model")
        if fingerprint(partial / "model") != place.name:
            raise CannotJudge(f"{folder}: the copy differs from the original; is another process writing to it?")
        shutil.copy2(run.folder / EVENTS, partial / EVENTS)
        _check_record(run, partial)
        (partial / ATTESTATION).write_bytes(_as_json(attestation))
        if signer is not None:
            sign_entry(partial, attestation, signer)
        place_folder(partial, place)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _check_record(run: RunRecord, folder: Path) -> None:
    """Raise Tampered unless a folder contains the record that was judged."""
    try:
        digest = digest_of(folder)
    except Tampered as error:  # the fault is in the original of the copy
        raise Tampered(str(error).replace(str(folder), str(run.folder))) from error
    if digest != run.digest:
        raise Tampered(f"{run.folder / EVENTS}: the record changed after it was judged")


def _keep_base(run: RunRecord, adapter: Path, registry: Path, fingerprint: Fingerprint) -> None:
    """Copy the base of an adapter into the registry if the run made it, so that clearing the run folder loses nothing.

    The user's own base, which may have gigabytes and serve many adapters, stays in its place.
    """
    if not (adapter / BASE_FILE).exists():
        return
    base = Path(place_of_base(adapter, fingerprint)).resolve()
    if run.folder.resolve() not in base.parents:
        return
    place = registry / "bases" / fingerprint(base)
    partial = draft_of(place)
    if place.exists():
        return
    try:
        shutil.copytree(base, partial)
        _remove_strangers(partial)
        place_folder(partial, place)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _remove_strangers(model: Path) -> None:
    """Remove files that a training left in the model folder: only the model and its documents are promoted."""
    for name in strangers(model):
        (model / name).unlink()
    for folder in sorted((path for path in model.rglob("*") if path.is_dir()), reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()


def _as_json(data: dict[str, Any]) -> bytes:
    return json.dumps(data, indent=2).encode()


# --- aliases -------------------------------------------------------------------------------------------------------


def state_of(alias: str, sha256: str, registry: Path) -> Literal["there", "gone", "replaced"]:
    """The state of the promotion of a model to an alias; does not check the bytes, as `verify` does.

    `gone`: the alias or the model is no longer in the registry. `replaced`: the alias points to another model.
    """
    path = _pointer_file(alias, registry)
    if not path.is_file():
        return "gone"
    pointer = _read_pointer(path)
    if pointer["sha256"] != sha256:
        return "replaced"
    if not (registry / "models" / sha256).exists():
        return "gone"
    _check_pin(pointer, path)
    return "there"


def _pointer_file(alias: str, registry: Path) -> Path:
    return registry / "aliases" / f"{alias}.json"


def _aliases_of(sha256: str, registry: Path, *, strict: bool) -> tuple[str, ...]:
    """The aliases that point to a model; an invalid pointer raises Tampered if `strict`, otherwise it is ignored."""
    found: list[str] = []
    for path in sorted((registry / "aliases").glob("*.json")):
        try:
            pointer = _read_pointer(path)
            if pointer["sha256"] == sha256:
                _check_pin(pointer, path)
                found.append(pointer["alias"])
        except Tampered:
            if strict:
                raise
    return tuple(found)


def _read_pointer(path: Path) -> dict[str, str]:
    """The content of an alias file; raises Tampered unless it is a pointer that was written under this name."""
    pointer = _read_json(path)
    if pointer.keys() != {"alias", "sha256", "attestation_sha256"} or not SHA256.fullmatch(str(pointer["sha256"])):
        raise Tampered(f"{path}: not a pointer that `tunegate promote` wrote; promote to this alias again")
    if pointer["alias"] != path.stem:
        raise Tampered(
            f"{path}: the pointer of the alias {pointer['alias']!r} under another name; no promotion wrote it here"
        )
    return pointer


def _check_pin(pointer: dict[str, str], path: Path) -> None:
    """Raise Tampered unless the alias's model is in the registry with the attestation that the alias was set on."""
    attestation = path.parent.parent / "models" / pointer["sha256"] / ATTESTATION
    if not attestation.is_file():
        raise Tampered(f"{path}: points to {pointer['sha256']}, which the registry does not have with its attestation")
    if sha256_of(attestation) != pointer["attestation_sha256"]:
        raise Tampered(f"{path}: {attestation} changed after this alias was set")


# --- verifying -----------------------------------------------------------------------------------------------------


def verify(model: str, registry: Path, fingerprint: Fingerprint, keys: Sequence[PublicKey] = ()) -> Promotion:
    """Find the promotion of a model folder or an alias, and check its bytes and its evidence.

    With `keys`, it must be signed, each signature by one of them. Raises NotPromotable for bytes that were never
    promoted or never signed, Tampered if the registry's copy, evidence or signature is not what was promoted.
    """
    if not registry.is_dir():
        raise ConfigError(f"{registry}: no such registry; give its folder with --registry")
    pointer_file = _pointer_file(model, registry)
    alias = model if ALIAS.fullmatch(model) and pointer_file.is_file() else None
    if alias and Path(model).exists():
        raise ConfigError(f"{model}: both an alias in {registry} and a folder here; write ./{model} for the folder")
    if alias:
        pointer = _read_pointer(pointer_file)
        _check_pin(pointer, pointer_file)
        sha256 = pointer["sha256"]
        folder = registry / "models" / sha256 / "model"
    else:
        folder = _model_folder(model, registry)
        sha256 = fingerprint(folder)
        if not (registry / "models" / sha256 / ATTESTATION).is_file():
            if _lies_in(folder, registry / "models"):
                raise Tampered(f"{folder}: it is in the registry, but its bytes are not those that were promoted")
            raise NotPromotable(f"{model}: these bytes ({sha256[:12]}…) were never promoted in {registry}")
    place = registry / "models" / sha256
    attestation = _check_copy(place, fingerprint)
    hints = check_signatures(place, attestation, folder, keys) if keys else ()
    aliases = _aliases_of(sha256, registry, strict=True)
    run = read_run(place)
    for one in aliases or (None,):
        check_policy(registry, run, check_gates(run), one)
    return Promotion(sha256, place, attestation, alias, aliases, signed=is_signed(place), keys=hints)


def check_promoted(model: str, sha256: str) -> None:
    """Raise Tampered for a model in a registry with another hash than `sha256`, its present hash."""
    folder = Path(model).resolve()
    place = folder.parent if folder.name == "model" else folder
    held = SHA256.fullmatch(place.name) is not None and (place / ATTESTATION).exists()
    if held and place.name != sha256:
        raise Tampered(f"{folder}: changed after its promotion; start from a model that `tunegate verify` accepts")


def _model_folder(model: str, registry: Path) -> Path:
    """The folder to fingerprint: the given folder, or the model in the given registry entry."""
    folder = Path(model)
    if not folder.exists():
        aliases = [path.stem for path in (registry / "aliases").glob("*.json")]
        raise ConfigError(f"{model}: neither a model folder nor an alias in {registry}{nearest(model, aliases)}")
    # Only for an entry of this registry: elsewhere, a folder may contain other weights next to a folder `model`.
    is_entry = folder.resolve().parent == (registry / "models").resolve()
    return folder / "model" if is_entry else folder


def _lies_in(folder: Path, place: Path) -> bool:
    return place.resolve() in folder.resolve().parents


def _check_copy(place: Path, fingerprint: Fingerprint) -> dict[str, Any]:
    """The attestation of a model in the registry; its bytes, its record and its attestation must agree."""
    for name in PARTS:
        if not (place / name).exists():
            raise Tampered(f"{place}: {name} is missing from the registry; remove the rest and promote the run again")
    _check_strangers(place)
    if fingerprint(place / "model") != place.name:
        raise Tampered(f"{place / 'model'}: the bytes differ from those that were promoted")
    attestation = _read_json(place / ATTESTATION)
    if attestation.get("format") != FORMAT:
        raise ConfigError(
            f"{place / ATTESTATION}: written by another version of Tunegate (format {attestation.get('format')!r}, "
            f"this version reads {FORMAT}); remove {place} and promote the run again"
        )
    run = read_run(place)
    if run.digest != attestation.get("record_sha256"):
        raise Tampered(f"{place / EVENTS}: the record differs from the hash in the attestation")
    expected = attest(run, check_gates(run))
    # Older attestations do not name the base; the hash of an adapter covers its base anyway.
    free = {"tunegate": None, **({} if "base_model_sha256" in attestation else {"base_model_sha256": None})}
    if {**attestation, **free} != {**expected, **free} or expected["model_sha256"] != place.name:
        raise Tampered(f"{place / ATTESTATION}: the attestation contradicts the record of the run")
    return attestation


def _check_strangers(place: Path) -> None:
    """Raise Tampered for an additional file that a program could run or open instead of the promoted files."""
    odd = [f"model/{name}" for name in strangers(place / "model")]
    odd += [path.name for path in place.iterdir() if path.name not in PARTS and path.suffix not in READABLE]
    odd = [name for name in odd if not _left_by_the_system(name)]
    if odd:
        raise Tampered(f"{place / odd[0]}: no promotion wrote this file; remove it")


def _left_by_the_system(name: str) -> bool:
    """Whether a file system or a file manager creates such files."""
    return Path(name).name in (".DS_Store", "Thumbs.db") or Path(name).name.startswith(".nfs")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Tampered(f"{path}: cannot be read as JSON: {error}") from error
    if not isinstance(data, dict):
        raise Tampered(f"{path}: expected a JSON object")
    return data  # pyright: ignore[reportUnknownVariableType]
