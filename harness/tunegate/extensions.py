"""What other packages add through entry points: checks (`tunegate.checks`), models (`tunegate.models`), methods.

Nothing is imported before a file or a command names it, so a broken package that nobody uses does no harm.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal

from tunegate.exceptions import ConfigError, message_of

Group = Literal["tunegate.checks", "tunegate.models", "tunegate.methods"]


@dataclass(frozen=True, slots=True)
class Extension:
    """A check or a model backend that an installed package adds."""

    group: Group
    name: str
    package: str
    version: str
    place: EntryPoint

    @property
    def origin(self) -> dict[str, str]:
        return {"name": self.package, "version": self.version}

    @property
    def in_words(self) -> str:
        """For people: `tunegate-words 1.2`."""
        return f"{self.package} {self.version}"

    def load(self) -> Any:
        """The object that the entry point names; raises ConfigError if its package is broken."""
        try:
            return self.place.load()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # importing a module may do anything, even sys.exit(0)
            told = " ".join(message_of(error).split())[:200]
            raise ConfigError(
                f"{self.name!r} of the package {self.in_words} (entry point {self.group}, {self.place.value}) cannot "
                f"be imported: {type(error).__name__}: {told}"
            ) from error


def extension(group: Group, name: str, built_in: bool = False) -> Extension | None:
    """The extension of this name; raises ConfigError if two packages, or Tunegate itself, define it."""
    found = [one for one in _installed(group, tuple(sys.path)) if one.name == name]
    claims = [f"the package {one.in_words}" for one in found] + (["Tunegate itself"] if built_in else [])
    if found and len(claims) > 1:
        raise ConfigError(
            f"{name!r}: defined by {' and by '.join(sorted(claims))} (entry point {group}); uninstall one of the "
            "packages, or rename its entry point"
        )
    return found[0] if found else None


def names(group: Group) -> list[str]:
    """The names of all extensions that are installed."""
    return sorted({one.name for one in _installed(group, tuple(sys.path))})


@cache
def _installed(group: Group, path: Sequence[str]) -> tuple[Extension, ...]:
    """Cached for each value of Python's path; a package that is on the path twice counts once."""
    found: dict[tuple[str, str, str], Extension] = {}
    for place in entry_points(group=group):
        package = place.dist.name if place.dist else "?"
        version = place.dist.version if place.dist else "?"
        found.setdefault((package, place.name, place.value), Extension(group, place.name, package, version, place))
    return tuple(found.values())
