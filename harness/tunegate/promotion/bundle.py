"""A signed statement on its own, without a registry: its signatures, its subjects and what it says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from tunegate.exceptions import ConfigError, Tampered
from tunegate.hashes import canonical_json
from tunegate.promotion.dsse import verified
from tunegate.promotion.keys import PublicKey
from tunegate.promotion.signing import check_format, difference, digests_of_statement
from tunegate.promotion.statement import RESULTS, STATEMENT_TYPE, TEST_RESULT
from tunegate.promotion.subjects import subjects_of

SUFFIX = ".sigstore.json"
"""The end of the name of a bundle."""


@dataclass(frozen=True, slots=True)
class Attested:
    """What a good bundle says: PASSED, WARNED or FAILED, its tests and subjects; `keys` are its signers' hints."""

    result: str
    tests: tuple[str, ...]
    subjects: tuple[str, ...]
    keys: tuple[str, ...]


def check_bundle(bundle: Path, keys: Sequence[PublicKey], subject: Path | None) -> Attested:
    """Verify a bundle that `tunegate attest` wrote: every signature, the form of the statement, and the subject.

    `subject` is a model folder, which must have exactly the signed files, or one file, which must be among them; None
    compares no file. Raises ConfigError if a file cannot be read, Tampered for everything that is not as signed.
    """
    try:
        content = bundle.read_bytes()
    except OSError as error:
        raise ConfigError(f"{bundle}: cannot be read: {error.strerror}") from error
    found = verified(content, keys, bundle)
    attested = _attested(found.statement, found.hints, bundle)
    if subject is not None:
        _compare(found.statement, subject, bundle)
    return attested


def _attested(statement: Mapping[str, Any], hints: tuple[str, ...], bundle: Path) -> Attested:
    """Raises Tampered unless the statement is of test results, with subjects, and its result follows from its tests."""
    good = f"{bundle}: the signature is good, but"
    if (statement.get("_type"), statement.get("predicateType")) != (STATEMENT_TYPE, TEST_RESULT):
        raise Tampered(f"{good} the statement is not one of test results ({statement.get('predicateType')!r:.80})")
    check_format(statement, bundle)
    subjects = digests_of_statement(statement)
    predicate: Any = statement.get("predicate")
    fields: Mapping[str, Any] = cast("Mapping[str, Any]", predicate) if isinstance(predicate, Mapping) else {}
    tests = {result: fields.get(key) for result, key in RESULTS.items()}
    result = next((name for name in ("FAILED", "WARNED", "PASSED") if tests[name]), None)
    if not subjects or result is None or result != fields.get("result"):
        raise Tampered(f"{good} the statement has no subject, or its result does not follow from its tests")
    named = cast("Sequence[object]", tests[result])
    return Attested(result, tuple(map(str, named)), tuple(subjects), hints)


def _compare(statement: Mapping[str, Any], subject: Path, bundle: Path) -> None:
    if not subject.exists():
        raise ConfigError(f"--subject {subject}: no such file or folder; name what the statement is about")
    signed = digests_of_statement(statement)
    here = {one["name"]: one["digest"] for one in subjects_of(subject)}
    if subject.is_file():  # one file of several: only this file must be as signed
        signed = {name: digest for name, digest in signed.items() if name in here}
    if (fault := difference(signed, here)) or canonical_json(signed) != canonical_json(here):
        raise Tampered(f"{bundle}: {fault}: {subject}")
