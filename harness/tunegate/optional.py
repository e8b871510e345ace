"""Imports of packages that only some commands need."""

from __future__ import annotations

import importlib
from typing import Any

from tunegate.exceptions import MissingExtra


def optional_import(module: str, extra: str, what: str) -> Any:
    """Import a module of an optional extra; raises MissingExtra that says which extra to install, and for what."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtra(what, extra, error) from error
