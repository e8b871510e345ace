"""What the commands take from the packages of checks and trainers, which they import only when they need them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tunegate.commands.looked_at import check_allowed
from tunegate.suites.places import suite_place
from tunegate.suites.suite import Suite
from tunegate.suites.suite_file import load_suite


def named_suite(name: str) -> Suite:
    """The suite that a user names; raises ConfigError for a file that may not do what it wants."""
    path = suite_place(name, Path())
    check_file_allowed(path)
    return load_suite(path, check_builder())


def check_file_allowed(path: Path) -> None:
    """Raise ConfigError for a file that may not do what it wants."""
    from tunegate_suites import wants_of_check

    check_allowed(path, wants_of_check)


def check_builder() -> Any:
    """Builds checks from what a suite file says."""
    from tunegate_suites import build_check

    return build_check


def stage_validator() -> Any:
    """Validates a stage before it is trained."""
    from tunegate_trainers import validate

    return validate
