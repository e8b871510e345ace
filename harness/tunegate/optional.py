"""Packages that only some commands need."""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from typing import Any

from tunegate.exceptions import MissingExtra


def optional_import(module: str, extra: str, what: str) -> Any:
    """Import a module of an optional extra; raises MissingExtra, which says which extra to install, and for what."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtra(what, extra, error) from error


def require(what: str, extra: str, *modules: str) -> None:
    """Raise MissingExtra unless all modules are installed; imports none of them, so that checking stays fast."""
    for module in modules:
        try:
            found = find_spec(module) is not None
        except ImportError:
            found = False
        if not found:
            raise MissingExtra(what, extra, ModuleNotFoundError(f"No module named '{module}'"))
