"""The explanations of an attempt's missed cases, as a file in the run folder whose hash is on record."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from tunegate.attribution.explanation import Explanation, explanation_from_json
from tunegate.exceptions import Tampered
from tunegate.hashes import sha256_hex
from tunegate.record.draw_facts import ExplainedCases
from tunegate.whole_files import replace_file


def write_explained(explanations: Sequence[Explanation], path: Path) -> str:
    """Write the file; returns its SHA-256. Raises OSError."""
    rows = [one.to_json() for one in explanations]
    content = json.dumps(rows, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8", "replace")
    replace_file(path, content)
    return sha256_hex(content)


def read_explained(folder: Path, recorded: ExplainedCases) -> list[Explanation]:
    """The explanations that a record names; raises Tampered for a file that is missing or was changed."""
    path = folder / recorded.file
    try:
        content = path.read_bytes()
    except OSError as error:
        raise Tampered(f"{path}: cannot be read: {error.strerror}") from error
    if sha256_hex(content) != recorded.sha256:
        raise Tampered(f"{path}: its hash is not the one on record")
    try:
        return [explanation_from_json(one) for one in json.loads(content)]
    except (ValueError, TypeError) as error:
        raise Tampered(f"{path}: not a file of explanations: {error}") from error
