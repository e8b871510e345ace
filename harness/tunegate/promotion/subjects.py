"""The subjects of a signed statement: the files of a model, each with its SHA-256, and the folder with its `dirHash`.

Shell tools can compute both, so nobody needs Tunegate to compare a model with its attestation. in-toto defines the
digest `dirHash`: https://github.com/in-toto/attestation/blob/main/spec/v1/digest_set.md (the function Hash1 of Go's
`golang.org/x/mod/sumdb/dirhash`, in hexadecimal). To compute it in the folder:

    find . -type f | cut -c3- | LC_ALL=C sort | xargs -r sha256sum | sha256sum | cut -f1 -d' '
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict

from tunegate.exceptions import ConfigError
from tunegate.models.fingerprint import file_sha256, files_of

FOLDER = "model/"
"""The name of the folder among the subjects; no file can have this name."""


class Subject(TypedDict):
    """A subject of an in-toto Statement: a file or the folder, and its digest by algorithm."""

    name: str
    digest: dict[str, str]


def subjects_of(model: Path) -> list[Subject]:
    """The subjects of a model: the folder, then its files, sorted by name; of a GGUF file, the file alone.

    Raises ConfigError for a file name that cannot be signed, CannotJudge for a file that cannot be read.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "config.json").write_text("{}")
        >>> [subject["name"] for subject in subjects_of(folder)]
        ['model/', 'config.json']
    """
    if model.is_file():
        return [{"name": model.name, "digest": {"sha256": file_sha256(model)}}]
    files = digests_of(model)
    folder: Subject = {"name": FOLDER, "digest": {"dirHash": dir_hash(files)}}
    return [folder, *({"name": name, "digest": {"sha256": sha256}} for name, sha256 in sorted(files.items()))]


def digests_of(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of a model folder, by its path in the folder.

    Leaves out what `promote` does not copy: by-products of a training, documents, files of the operating system. Raises
    ConfigError for a file name that cannot be signed, CannotJudge for a file that cannot be read.
    """
    names = files_of(folder)
    for name in names:
        _check_name(name, folder)
    return {name: file_sha256(folder / name) for name in names}


def _check_name(name: str, folder: Path) -> None:
    """`sha256sum` escapes line breaks and backslashes, Go's Hash1 does not; a statement is JSON, which is Unicode."""
    try:
        name.encode()
    except UnicodeEncodeError:
        unicode = False
    else:
        unicode = True
    if not unicode or any(letter in name for letter in "\n\r\\"):
        raise ConfigError(f"{folder}: a file with the name {name!a} cannot be signed; rename it")


def dir_hash(files: Mapping[str, str]) -> str:
    """The `dirHash` of files, given as path to SHA-256: SHA-256 of their lines as `sha256sum` writes them.

    The lines are sorted by the bytes of the path.

    Example:
        >>> dir_hash({"a": "0" * 64})[:8]
        '53d743f3'
    """
    lines = (f"{files[name]}  {name}\n" for name in sorted(files, key=os.fsencode))
    return hashlib.sha256("".join(lines).encode()).hexdigest()
