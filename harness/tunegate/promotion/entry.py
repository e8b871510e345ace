"""One entry of a registry: the promoted bytes, the attestation and the record, and no other files.

Only the files that the fingerprint covers are copied, as plain files that nobody can run (mode 644). Any other file, or
a link, makes the entry TAMPERED: somebody could open or run it in the belief that it was promoted.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tunegate.exceptions import CannotJudge, ConfigError, Tampered
from tunegate.gates.ask_again import AskedAgain, asked_from_json, check_asked
from tunegate.models.adapter_base import FILE as BASE_FILE
from tunegate.models.adapter_base import place_of_base
from tunegate.models.fingerprint import files_of
from tunegate.promotion.evidence import FORMAT, Fingerprint, attest, check_gates
from tunegate.promotion.keys import PrivateKey
from tunegate.promotion.signing import ASKED, SIGNED_FILES, sign_entry
from tunegate.record.event_log import EVENTS, digest_of
from tunegate.record.read_run import read_run
from tunegate.record.record import RunRecord
from tunegate.whole_files import draft_of, place_folder

ATTESTATION = "attestation.json"
PARTS = ("model", EVENTS, ATTESTATION)
"""What every entry has; `SIGNED_FILES` are there if it was signed, ASKED if its weights were asked again."""


def publish(
    run: RunRecord,
    folder: Path,
    attestation: dict[str, Any],
    place: Path,
    fingerprint: Fingerprint,
    signer: PrivateKey | None,
    asked: AskedAgain | None = None,
) -> None:
    """Write an entry, all of it or nothing. Raises CannotJudge if the model changes meanwhile, OSError."""
    partial = draft_of(place)
    try:
        copy_model(folder, partial / "model")
        if fingerprint(partial / "model") != place.name:
            raise CannotJudge(
                f"{folder}: the copy differs from the original; wait until no process writes to it, and run the "
                "command again"
            )
        _copy(run.folder / EVENTS, partial / EVENTS)
        check_record(run, partial)
        (partial / ATTESTATION).write_bytes(as_json(attestation))
        if asked is not None:
            (partial / ASKED).write_bytes(as_json(asked.to_json()))
        if signer is not None:
            sign_entry(partial, attestation, signer)
        place_folder(partial, place)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def keep_base(run: RunRecord, adapter: Path, registry: Path, fingerprint: Fingerprint) -> None:
    """Copy the base of an adapter into the registry if the run made it, so that clearing the run folder loses nothing.

    The user's own base stays where it is: it may have gigabytes, and many adapters may use it.
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
        copy_model(base, partial)
        place_folder(partial, place)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def copy_model(model: Path, to: Path) -> None:
    """Copy the files that the fingerprint of a model covers: their content, not their modes or links."""
    for name in files_of(model):
        _copy(model / name, to / name)


def _copy(file: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, to)
    to.chmod(0o644)


def check_record(run: RunRecord, folder: Path) -> None:
    """Raise Tampered unless a folder contains the record that was judged."""
    try:
        digest = digest_of(folder)
    except Tampered as error:  # the fault is in the original of the copy
        raise Tampered(str(error).replace(str(folder), str(run.folder))) from error
    if digest != run.digest:
        raise Tampered(f"{run.folder / EVENTS}: the record changed after it was judged")


def check_entry(place: Path, fingerprint: Fingerprint) -> dict[str, Any]:
    """The attestation of an entry; its bytes, its record and its attestation must agree. Raises Tampered."""
    for name in PARTS:
        if not (place / name).exists():
            raise Tampered(f"{place}: {name} is missing from the registry; remove the rest and promote the run again")
    if (name := next(_unexpected(place), None)) is not None:
        raise Tampered(f"{place / name}: no promotion wrote this; remove it")
    if fingerprint(place / "model") != place.name:
        raise Tampered(f"{place / 'model'}: the bytes differ from those that were promoted")
    attestation = read_json(place / ATTESTATION)
    if attestation.get("format") != FORMAT:
        raise ConfigError(
            f"{place / ATTESTATION}: written by another version of Tunegate (format {attestation.get('format')!r}, "
            f"this version reads {FORMAT}); remove {place} and promote the run again"
        )
    run = read_run(place)
    if run.digest != attestation.get("record_sha256"):
        raise Tampered(f"{place / EVENTS}: the record differs from the hash in the attestation")
    attempt = check_gates(run)
    expected = attest(run, attempt)
    # Older attestations do not name the base; the hash of an adapter covers its base anyway.
    free = {"tunegate": None, **({} if "base_model_sha256" in attestation else {"base_model_sha256": None})}
    if {**attestation, **free} != {**expected, **free} or expected["model_sha256"] != place.name:
        raise Tampered(f"{place / ATTESTATION}: the attestation contradicts the record of the run")
    if (asked := stored_asked(place)) is not None:
        check_asked(asked, attempt, run.digest, place / ASKED)
    return attestation


def stored_asked(place: Path) -> AskedAgain | None:
    """What came of asking the weights again at the promotion of an entry; None if they were not asked."""
    if not (place / ASKED).exists():
        return None
    try:
        return asked_from_json(read_json(place / ASKED))
    except (TypeError, KeyError, ValueError) as error:
        raise Tampered(f"{place / ASKED}: no promotion wrote this: {error!r:.200}") from error


def _unexpected(place: Path) -> Iterator[str]:
    """What no promotion wrote into an entry: additional files and folders, and links instead of files."""
    files = {Path("model") / name for name in files_of(place / "model")}
    files |= {Path(name) for name in (EVENTS, ATTESTATION, ASKED, *SIGNED_FILES)}
    folders = {parent for file in files for parent in file.parents}
    for path in sorted(place.rglob("*"), key=lambda path: path.is_dir()):  # name a file rather than its folder
        relative = path.relative_to(place)
        known = relative in folders if path.is_dir() else relative in files and path.is_file()  # and no pipe
        expected = known and not path.is_symlink()
        if not expected and not _left_by_the_system(path.name):
            yield relative.as_posix()


def _left_by_the_system(name: str) -> bool:
    """Whether a file system or a file manager creates such files."""
    return name in (".DS_Store", "Thumbs.db") or name.startswith(".nfs")


def as_json(data: dict[str, Any]) -> bytes:
    """The bytes of a JSON file of the registry."""
    return json.dumps(data, indent=2).encode()


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file of the registry; raises Tampered for anything else."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Tampered(f"{path}: cannot be read as JSON: {error}") from error
    if not isinstance(data, dict):
        raise Tampered(f"{path}: expected a JSON object")
    return data  # pyright: ignore[reportUnknownVariableType]
