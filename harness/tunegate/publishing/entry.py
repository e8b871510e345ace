"""A registry entry outside a registry: the model, its record and its attestation."""

from __future__ import annotations

import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from tunegate.exceptions import TunegateError
from tunegate.hashes import canonical_json, sha256_hex, sha256_of
from tunegate.promotion.entry import PARTS
from tunegate.promotion.evidence import Fingerprint

Found = tuple[str, Path]
"""The model and the registry, as `registry.verify` takes them."""


def evidence_sha256(entry: Path) -> str:
    """The hash of all evidence of an entry: its record, its attestation, its signatures, and what was asked again.

    A model that is signed later, or asked again, has other evidence for the same bytes.
    """
    return sha256_hex(canonical_json({path.name: sha256_of(path) for path in entry.iterdir() if path.is_file()}))


def is_entry(folder: Path) -> bool:
    """Whether a folder has all parts of an entry."""
    return all((folder / name).exists() for name in PARTS)


@contextmanager
def as_registry(entry: Path, fingerprint: Fingerprint, source: str) -> Generator[Found]:
    """A temporary registry with only this entry, under the hash of its bytes. Errors name `source`."""
    with tempfile.TemporaryDirectory(prefix="tunegate-entry-") as folder:
        registry = Path(folder).resolve() / "registry"
        place = registry / "models" / fingerprint(entry / "model")
        place.parent.mkdir(parents=True)
        place.symlink_to(entry.resolve(), target_is_directory=True)
        try:
            yield str(place / "model"), registry
        except TunegateError as error:
            message = str(error).replace(str(place), source).replace(str(entry), source)
            error.args = (message.replace(str(registry), source), *error.args[1:])
            raise
