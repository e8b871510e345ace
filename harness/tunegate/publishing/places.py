"""Where `promote --to` publishes, and where `verify` fetches from: parsing of the names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from tunegate.exceptions import ConfigError

Kind = Literal["folder", "mlflow", "hf", "git"]
_NAME = r"[A-Za-z0-9][\w.-]*"
_FORMS: dict[str, tuple[Kind, str]] = {
    "mlflow:NAME@ALIAS": ("mlflow", rf"mlflow:(?P<name>{_NAME})@(?P<at>{_NAME})"),
    "hf:OWNER/NAME or hf:OWNER/NAME@TAG": ("hf", rf"hf:(?P<name>{_NAME}/{_NAME})(?:@(?P<at>{_NAME}))?"),
    "git:NAME@STAGE": ("git", rf"git:(?P<name>{_NAME})@(?P<at>{_NAME})"),
}
_SOURCES: dict[str, tuple[Kind, str]] = {
    "models:/NAME@ALIAS or models:/NAME/VERSION": ("mlflow", rf"models:/(?P<name>{_NAME})(?P<at>@{_NAME}|/\d+)"),
    "hf:OWNER/NAME@REVISION": ("hf", rf"hf:(?P<name>{_NAME}/{_NAME})@(?P<at>[\w./-]+)"),
}
DEFAULT_ALIAS = "production"


@dataclass(frozen=True)
class Place:
    """A place outside the registry folder. `at` is an alias, a tag, a stage or a revision.

    `alias` is the alias in the registry folder, which `promote` moves first.
    """

    kind: Kind
    name: str
    at: str

    @property
    def alias(self) -> str:
        return self.at or DEFAULT_ALIAS

    @property
    def alias_of_source(self) -> str | None:
        """The alias or tag by which a source names a version; None for the number of a version."""
        return None if self.at.startswith("/") else self.at.removeprefix("@")


def target_of(text: str) -> Place:
    """The place that `--to` names; without a prefix it is an alias in the registry folder.

    >>> target_of("mlflow:genes@production")
    Place(kind='mlflow', name='genes', at='production')
    """
    return _parse(text, _FORMS, "--to ") or Place("folder", "", text)


def source_of(text: str) -> Place | None:
    """The place that `verify` fetches from; None for a folder or an alias."""
    return _parse(text, _SOURCES, "")


def _parse(text: str, forms: dict[str, tuple[Kind, str]], what: str) -> Place | None:
    for form, (kind, pattern) in forms.items():
        if found := re.fullmatch(pattern, text):
            return Place(kind, found["name"], found["at"] or "")
        if text.startswith(form.partition(":")[0] + ":"):
            raise ConfigError(f"{what}{text}: expected {form}")
    return None
