"""SHA-256 of files, and the canonical JSON from which hashes are computed.

New hashes use `canonical_json`. The other formats stay unchanged, because hashes of records, cards, checks and
pipelines on disk were computed from them and must be reproducible.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, as `sha256sum` prints it. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_hex(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


_COMPACT: dict[str, Any] = {"sort_keys": True, "ensure_ascii": False, "separators": (",", ":")}
_CANONICAL = json.JSONEncoder(**_COMPACT, allow_nan=False)
_SUITE = json.JSONEncoder(**_COMPACT, default=str)
"""Made once: `json.dumps` would make one for each case of a bank."""


def canonical_json(value: Any) -> bytes:
    """The same bytes for equal values: sorted keys, no spaces, UTF-8; other types than those of JSON are an error.

    Lone surrogates become `\\udXXX`, as JSON writes them. Raises ValueError or TypeError.
    """
    return _CANONICAL.encode(value).encode(errors="backslashreplace")


def suite_json(value: Any) -> bytes:
    """Parts of a suite, one per line: other types than those of JSON are written as their `str`; NaN is allowed."""
    return _SUITE.encode(value).encode(errors="backslashreplace") + b"\n"


def judge_json(value: Any) -> bytes:
    """The identity of a judge: lone surrogates are kept, as bytes that no other text has."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "surrogatepass")


def spaced_json(value: Any) -> str:
    """The fingerprint of a check: canonical, but with a space behind each comma and colon."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def ascii_json(value: Any) -> bytes:
    """Pipelines, data cards and training jobs: with spaces, and with every non-ASCII character escaped."""
    return json.dumps(value, sort_keys=True, default=str).encode()
