"""The signed statements of a registry entry: writing them when a model is promoted, and verifying them.

    models/<sha256>/attestation.sigstore.json   what the gates found (test-result), signed
    models/<sha256>/svr.sigstore.json           that the promotion was supported (SVR), signed

A signature must be for exactly these files: the subjects are computed again from the bytes, and the statement from the
record and the attestation.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tunegate.exceptions import ConfigError, Tampered
from tunegate.hashes import canonical_json, sha256_of
from tunegate.promotion.dsse import bundle_of, verified
from tunegate.promotion.keys import PrivateKey, PublicKey
from tunegate.promotion.statement import EXTENSION, FORMAT, result_statement, svr_statement
from tunegate.promotion.subjects import subjects_of
from tunegate.record.event_log import EVENTS, now
from tunegate.record.read_run import read_run
from tunegate.record.recheck import NotPromotable
from tunegate.whole_files import replace_file

TEST_RESULT_FILE = "attestation.sigstore.json"
SVR_FILE = "svr.sigstore.json"
SIGNED_FILES = (TEST_RESULT_FILE, SVR_FILE)
ASKED = "asked.json"
"""What came of asking the weights again (`gates/ask_again.py`): beside the record, and signed with it."""
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def is_signed(entry: Path) -> bool:
    """Whether a registry entry has a signed statement; does not check the signature."""
    return any((entry / name).exists() for name in SIGNED_FILES)


def sign_entry(entry: Path, attestation: Mapping[str, Any], key: PrivateKey) -> bool:
    """Write the signed statements of a registry entry; returns whether one was written.

    Statements that this key signed remain as they are. Raises ConfigError if another key signed them, Tampered if they
    say something else, OSError if they cannot be written.
    """
    return sign_files(entry, _statements(entry, attestation, entry / "model"), key)


def sign_files(entry: Path, expected: Mapping[str, dict[str, Any]], key: PrivateKey) -> bool:
    """Sign statements of an entry, by file name; see `sign_entry`."""
    missing = {name: statement for name, statement in expected.items() if not (entry / name).exists()}
    for name, statement in expected.items():
        if name not in missing:
            _check_signed_before(entry / name, key, statement)
    for name, statement in missing.items():
        replace_file(entry / name, bundle_of(statement, key))
    return bool(missing)


def unsign_entry(entry: Path) -> None:
    """Remove the signed statements of an entry whose evidence changes; it is signed again afterwards."""
    for name in SIGNED_FILES:
        (entry / name).unlink(missing_ok=True)


def _check_signed_before(path: Path, key: PrivateKey, expected: dict[str, Any]) -> None:
    try:
        found = verified(_read(path), [key.public], path)
    except Tampered as error:
        raise ConfigError(
            f"{path}: already signed, but not by this key; to sign with this key, remove this file first"
        ) from error
    _compare(found.statement, expected, path)


def check_signatures(
    entry: Path, attestation: Mapping[str, Any], model: Path, keys: Sequence[PublicKey]
) -> tuple[str, ...]:
    """Verify the signed statements of a registry entry for the model at hand; returns the hints of the signing keys.

    Raises NotPromotable if the entry is not signed, Tampered if a signature is bad, or is for other content.
    """
    return check_files(entry, _statements(entry, attestation, model) if is_signed(entry) else {}, keys)


def check_files(entry: Path, statements: Mapping[str, dict[str, Any]], keys: Sequence[PublicKey]) -> tuple[str, ...]:
    """Verify signed statements of an entry, by file name; see `check_signatures`."""
    if not is_signed(entry):
        raise NotPromotable(f"{entry}: this promotion is not signed; to sign it: tunegate promote RUN --sign KEY")
    hints: list[str] = []
    for name, expected in statements.items():
        path = entry / name
        if not path.exists():
            raise Tampered(f"{entry}: {name} is missing; to sign again: tunegate promote RUN --sign KEY")
        found = verified(_read(path), keys, path)
        _compare(found.statement, expected, path)
        hints += found.hints
    return tuple(dict.fromkeys(hints))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Tampered(f"{path}: cannot be read: {error.strerror}") from error


def _statements(entry: Path, attestation: Mapping[str, Any], model: Path) -> dict[str, dict[str, Any]]:
    """The statements of an entry about the bytes of `model`, by file name; the time in the SVR is now."""
    run, subjects = read_run(entry), subjects_of(model)
    assert run.goal is not None  # `check_gates` accepted this record
    asked = {ASKED: sha256_of(entry / ASKED)} if (entry / ASKED).exists() else {}
    return {
        TEST_RESULT_FILE: result_statement(run, run.goal, attestation, subjects, sha256_of(entry / EVENTS), asked),
        SVR_FILE: svr_statement(run, attestation, subjects, now()),
    }


def _compare(signed: dict[str, Any], expected: dict[str, Any], path: Path) -> None:
    """Raise Tampered unless a signed statement says what it should; its time of verification may differ."""
    expected = json.loads(canonical_json(expected))
    different = difference(digests_of_statement(signed), digests_of_statement(expected))
    if different:
        raise Tampered(f"{path}: {different}")
    check_format(signed, path)
    if _without_time(signed) != _without_time(expected):
        raise Tampered(f"{path}: the signed statement contradicts the record of the run")


def check_format(signed: Mapping[str, Any], path: Path) -> None:
    """Raise ConfigError for a statement that another version of Tunegate wrote."""
    written = _format(signed)
    if written not in (None, FORMAT):
        raise ConfigError(
            f"{path}: signed by another version of Tunegate (format {written!r}, this version reads {FORMAT}); "
            "remove it and sign again"
        )


def digests_of_statement(statement: Mapping[str, Any]) -> dict[str, Any]:
    """The digests of a statement's subjects by name; subjects that are not valid are left out."""
    subjects: Any = statement.get("subject")
    if not isinstance(subjects, list):
        return {}
    named: list[Any] = [one for one in subjects if isinstance(one, dict)]  # pyright: ignore[reportUnknownVariableType]
    return {str(one.get("name")): one.get("digest") for one in named}


def difference(signed: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    """The first subject in which they differ, files before the folder; empty if there is none."""
    names = sorted({*signed, *found}, key=lambda name: (name.endswith("/"), name))
    for name in names:
        if name not in signed:
            return f"{name} is not among the signed files"
        if name not in found:
            return f"the signed file {name} is missing here"
        if signed[name] != found[name]:
            return f"{name} has other content here than when it was signed"
    return ""


def _format(statement: Mapping[str, Any]) -> object:
    predicate: Any = statement.get("predicate")
    figures: Any = predicate.get(EXTENSION) if isinstance(predicate, dict) else None  # pyright: ignore[reportUnknownVariableType,reportUnknownMemberType]
    return figures.get("format") if isinstance(figures, dict) else None  # pyright: ignore[reportUnknownVariableType,reportUnknownMemberType]


def _without_time(statement: Mapping[str, Any]) -> dict[str, Any]:
    predicate: Any = statement.get("predicate")
    time: Any = predicate.get("timeCreated") if isinstance(predicate, dict) else None  # pyright: ignore[reportUnknownVariableType,reportUnknownMemberType]
    if not isinstance(time, str) or not _TIME.fullmatch(time):
        return dict(statement)
    return {**statement, "predicate": {**predicate, "timeCreated": None}}
