"""What all pages of Tunegate share: a style sheet, and a policy that blocks everything else."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files

ASSETS = files("tunegate_reports") / "assets"


def asset(name: str) -> str:
    """The text of a style sheet, script or template."""
    return (ASSETS / name).read_text(encoding="utf-8")


def source_hash(source: str) -> str:
    """The hash of a style sheet or script, as a Content-Security-Policy writes it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"
