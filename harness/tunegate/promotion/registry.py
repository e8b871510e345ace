"""The registry: promoted models, each with its attestation and its evidence, and aliases that point at them.

    registry/
        models/<sha256>/model/             the promoted bytes
        models/<sha256>/attestation.json   which gates they passed
        models/<sha256>/events.jsonl       the record of the run, so that anyone can check
        bases/<sha256>/                    the base of a promoted adapter, where the run trained it
        aliases/production.json            {"alias", "sha256", "attestation_sha256"}, replaced in one step

An alias names itself and pins the attestation that it was set on, so a pointer that is copied to another name, or an
attestation that is swapped under it, shows. Promotion is atomic: everything is written beside its place and moved there
by `os.replace`; a kill in the middle leaves the old alias.
"""

from __future__ import annotations

import json
import re
import shutil
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
from tunegate.record.event_log import EVENTS, digest_of
from tunegate.record.read_run import read_run
from tunegate.record.recheck import NotPromotable
from tunegate.record.record import RunRecord
from tunegate.whole_files import draft_of, place_folder, replace_file

ALIAS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
SHA256 = re.compile(r"[0-9a-f]{64}")
ATTESTATION = "attestation.json"
PARTS = ("model", EVENTS, ATTESTATION)
"""What lies in a model's place in the registry; beside it, at most what people read (`READABLE`)."""
READABLE = (".html", ".json", ".md", ".txt", ".xml")


@dataclass(frozen=True)
class Promotion:
    """A promoted model.

    `alias` is the one that was asked for, None for a folder; `aliases` are all that point at these bytes now. `already`
    says that `promote` found the alias as it was to be, and changed nothing.
    """

    sha256: str
    folder: Path
    attestation: dict[str, Any]
    alias: str | None = None
    aliases: tuple[str, ...] = ()
    already: bool = False


# --- promoting -----------------------------------------------------------------------------------------------------


def promote(
    run: RunRecord, alias: str, registry: Path, fingerprint: Fingerprint, today: date | None = None
) -> Promotion:
    """Copy a run's final model into the registry and point the alias at it.

    A model that is there already keeps the evidence of its first promotion. Waivers must be in force `today`.
    """
    if not ALIAS.fullmatch(alias):
        raise ConfigError(f"alias {alias!r}: letters, digits, '.', '_' and '-' were expected, the first no sign")
    attempt, folder = check_promotable(run, fingerprint, today or date.today())
    sha256 = attempt.model_sha256
    place = registry / "models" / sha256
    pointer_file = _pointer_file(alias, registry)
    try:
        if place.exists():
            _check_record(run, run.folder)
            attestation = _check_copy(place, fingerprint)
        else:
            attestation = attest(run, attempt)
            _keep_base(run, folder, registry, fingerprint)
            _publish(run, folder, attestation, place, fingerprint)
        pointer = {"alias": alias, "sha256": sha256, "attestation_sha256": sha256_of(place / ATTESTATION)}
        already = pointer_file.is_file() and pointer_file.read_bytes() == _as_json(pointer)
        if not already:
            replace_file(pointer_file, _as_json(pointer))
    except OSError as error:
        raise CannotJudge(f"{registry}: the registry cannot be written: {error.strerror or error}") from error
    return Promotion(sha256, place, attestation, alias, _aliases_of(sha256, registry, strict=False), already)


def _publish(run: RunRecord, folder: Path, attestation: dict[str, Any], place: Path, fingerprint: Fingerprint) -> None:
    partial = draft_of(place)
    try:
        shutil.copytree(folder, partial / "model")
        _remove_strangers(partial / "model")
        if fingerprint(partial / "model") != place.name:
            raise CannotJudge(f"{folder}: the copy differs from the original; is another process writing to it?")
        shutil.copy2(run.folder / EVENTS, partial / EVENTS)
        _check_record(run, partial)
        (partial / ATTESTATION).write_bytes(_as_json(attestation))
        place_folder(partial, place)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _check_record(run: RunRecord, folder: Path) -> None:
    """Raise Tampered unless a folder holds the record that was judged."""
    try:
        digest = digest_of(folder)
    except Tampered as error:  # of a copy: what is wrong with it is wrong with what it was made from
        raise Tampered(str(error).replace(str(folder), str(run.folder))) from error
    if digest != run.digest:
        raise Tampered(f"{run.folder / EVENTS}: not the record that was judged; it changed in between")


def _keep_base(run: RunRecord, adapter: Path, registry: Path, fingerprint: Fingerprint) -> None:
    """Put the base of an adapter into the registry where the run made it: who clears the run folder keeps the model.

    A base of the user's own, which may have gigabytes and serve many adapters, stays where it is.
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
    """Promoted is the model, with its documents: nothing that a training left beside it."""
    for name in strangers(model):
        (model / name).unlink()
    for folder in sorted((path for path in model.rglob("*") if path.is_dir()), reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()


def _as_json(data: dict[str, Any]) -> bytes:
    return json.dumps(data, indent=2).encode()


# --- aliases -------------------------------------------------------------------------------------------------------


def state_of(alias: str, sha256: str, registry: Path) -> Literal["there", "gone", "replaced"]:
    """What became of the promotion of a model to an alias; its bytes are not looked at, `verify` does that.

    `gone`: the alias or the model is not in the registry any more. `replaced`: the alias points at another model.
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
    """The aliases that point at a model; a pointer that is not sound raises Tampered if `strict`, else is left out."""
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
    """What an alias file says; raises Tampered unless it is the pointer that was written under this very name."""
    pointer = _read_json(path)
    if pointer.keys() != {"alias", "sha256", "attestation_sha256"} or not SHA256.fullmatch(str(pointer["sha256"])):
        raise Tampered(f"{path}: not the pointer that `tunegate promote` writes; promote to this alias again")
    if pointer["alias"] != path.stem:
        raise Tampered(
            f"{path}: is the pointer of the alias {pointer['alias']!r} under another name; no promotion put it there"
        )
    return pointer


def _check_pin(pointer: dict[str, str], path: Path) -> None:
    """Raise Tampered unless the model that an alias points at is there with the attestation that it was set on."""
    attestation = path.parent.parent / "models" / pointer["sha256"] / ATTESTATION
    if not attestation.is_file():
        raise Tampered(f"{path}: points at {pointer['sha256']}, which is not in the registry with its attestation")
    if sha256_of(attestation) != pointer["attestation_sha256"]:
        raise Tampered(f"{path}: {attestation} is not the attestation that this alias was set on")


# --- verifying -----------------------------------------------------------------------------------------------------


def verify(model: str, registry: Path, fingerprint: Fingerprint) -> Promotion:
    """Say which promotion stands behind a model folder or an alias; its bytes and its evidence are checked.

    Raises NotPromotable for bytes that were never promoted, Tampered when the registry's own copy or evidence changed.
    """
    if not registry.is_dir():
        raise ConfigError(f"{registry}: no such registry; name it with --registry")
    pointer_file = _pointer_file(model, registry)
    alias = model if ALIAS.fullmatch(model) and pointer_file.is_file() else None
    if alias and Path(model).exists():
        raise ConfigError(f"{model}: an alias in {registry}, and a folder here; write ./{model} for the folder")
    if alias:
        pointer = _read_pointer(pointer_file)
        _check_pin(pointer, pointer_file)
        sha256 = pointer["sha256"]
    else:
        folder = _model_folder(model, registry)
        sha256 = fingerprint(folder)
        if not (registry / "models" / sha256 / ATTESTATION).is_file():
            if _lies_in(folder, registry / "models"):
                raise Tampered(f"{folder}: lies in the registry, but its bytes are not those that were promoted")
            raise NotPromotable(f"{model}: these bytes ({sha256[:12]}…) were never promoted in {registry}")
    place = registry / "models" / sha256
    attestation = _check_copy(place, fingerprint)
    return Promotion(sha256, place, attestation, alias, _aliases_of(sha256, registry, strict=True))


def check_promoted(model: str, sha256: str) -> None:
    """Raise Tampered for a model that a registry holds as another one: `sha256` is what it is now."""
    folder = Path(model).resolve()
    place = folder.parent if folder.name == "model" else folder
    held = SHA256.fullmatch(place.name) is not None and (place / ATTESTATION).exists()
    if held and place.name != sha256:
        raise Tampered(f"{folder}: promoted, and changed since; start from a model that `tunegate verify` accepts")


def _model_folder(model: str, registry: Path) -> Path:
    """The folder whose bytes count: the one that was named, or the model in the registry entry that was named."""
    folder = Path(model)
    if not folder.exists():
        aliases = [path.stem for path in (registry / "aliases").glob("*.json")]
        raise ConfigError(f"{model}: neither a model folder nor an alias in {registry}{nearest(model, aliases)}")
    # Only an entry of this registry: elsewhere, other weights may lie beside a folder named `model`.
    is_entry = folder.resolve().parent == (registry / "models").resolve()
    return folder / "model" if is_entry else folder


def _lies_in(folder: Path, place: Path) -> bool:
    return place.resolve() in folder.resolve().parents


def _check_copy(place: Path, fingerprint: Fingerprint) -> dict[str, Any]:
    """The attestation of a model in the registry; its bytes, its record and what is attested must agree."""
    for name in PARTS:
        if not (place / name).exists():
            raise Tampered(f"{place}: {name} is gone from the registry; remove the rest and promote the run again")
    _check_strangers(place)
    if fingerprint(place / "model") != place.name:
        raise Tampered(f"{place / 'model'}: the bytes are not those that were promoted")
    attestation = _read_json(place / ATTESTATION)
    if attestation.get("format") != FORMAT:
        raise ConfigError(
            f"{place / ATTESTATION}: written by another version of Tunegate (format {attestation.get('format')!r}, "
            f"this one reads {FORMAT}); remove {place} and promote the run again"
        )
    run = read_run(place)
    if run.digest != attestation.get("record_sha256"):
        raise Tampered(f"{place / EVENTS}: not the record that the attestation vouches for")
    expected = attest(run, check_gates(run))
    # Attestations from before the base was named lack it; what they attest of an adapter covers its base all the same.
    free = {"tunegate": None, **({} if "base_model_sha256" in attestation else {"base_model_sha256": None})}
    if {**attestation, **free} != {**expected, **free} or expected["model_sha256"] != place.name:
        raise Tampered(f"{place / ATTESTATION}: says something else than the record of the run")
    return attestation


def _check_strangers(place: Path) -> None:
    """Raise Tampered for a file beside the promoted ones that a program could run or open in their stead."""
    odd = [f"model/{name}" for name in strangers(place / "model")]
    odd += [path.name for path in place.iterdir() if path.name not in PARTS and path.suffix not in READABLE]
    odd = [name for name in odd if not _left_by_the_system(name)]
    if odd:
        raise Tampered(f"{place / odd[0]}: no promotion put this there; remove it")


def _left_by_the_system(name: str) -> bool:
    """Files that file systems and file managers leave anywhere."""
    return Path(name).name in (".DS_Store", "Thumbs.db") or Path(name).name.startswith(".nfs")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Tampered(f"{path}: cannot be read as JSON: {error}") from error
    if not isinstance(data, dict):
        raise Tampered(f"{path}: a JSON object was expected")
    return data  # pyright: ignore[reportUnknownVariableType]
