"""What the pages of Tunegate have in common: their style sheet, and a policy that lets nothing else run."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files

ASSETS = files("tunegate_reports") / "assets"


def asset(name: str) -> str:
    """The text of a style sheet, script or template."""
    return (ASSETS / name).read_text(encoding="utf-8")


def source_hash(source: str) -> str:
    """A style sheet or script by its hash, as a Content-Security-Policy names it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"
