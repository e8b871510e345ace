"""Versions of the software that produced a verdict."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

PACKAGES = (
    "tunegate",
    "torch",
    "transformers",
    "trl",
    "peft",
    "rouge-score",
    "sentence-transformers",
    "evaluate",
    "ragas",
    "openai",
)


def installed_versions() -> dict[str, str]:
    """Python's version, the platform, and the versions of the listed packages that are installed."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
