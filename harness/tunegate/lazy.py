"""Optional packages, imported by the function that needs them and never before."""

from __future__ import annotations

import importlib
from typing import Any

from tunegate.exceptions import MissingExtra


def require(module: str, *, what: str, extra: str) -> Any:
    """Import `module`, or raise MissingExtra: "`what` needs the extra '`extra`': pip install …"."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtra(what, extra, error) from error
