"""What `tunegate verify` checks: a local folder or alias, or a version in MLflow or on the Hub, which is fetched."""

from __future__ import annotations

import shutil
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tunegate.exceptions import ConfigError
from tunegate.promotion.evidence import Fingerprint
from tunegate.publishing import hub, mlflow_registry
from tunegate.publishing.entry import as_registry, is_entry
from tunegate.publishing.places import Place, source_of
from tunegate.whole_files import draft_of, place_folder

DEFAULT_REGISTRY = Path("registry")


@dataclass(frozen=True)
class Evidence:
    """A model and the registry that has it. `source` is set for a version from elsewhere: its name, and its number or
    commit; `alias` is the alias or the tag by which it was fetched. `kept` is the folder that has its bytes afterwards.
    `alone`: the entry is in no registry folder of the user.
    """

    model: str
    registry: Path
    alone: bool = False
    source: str | None = None
    kept: Path | None = None
    alias: str | None = None


@contextmanager
def evidence_of(model: str, named: Path | None, fingerprint: Fingerprint, out: Path | None) -> Generator[Evidence]:
    """The evidence to verify. If `out` is given, the fetched bytes are moved there at the end, if no error is raised.

    So the bytes in `out` are exactly the bytes that were verified: nothing is fetched again. An entry kept in this way
    has its own evidence, unless the user `named` a registry: then that registry must have its bytes.
    """
    registry = named or DEFAULT_REGISTRY
    place = source_of(model)
    if place is None:
        if out is not None:
            raise ConfigError(f"--out: {model} is not fetched; leave it out, or name a model in MLflow or on the Hub")
        loose = is_entry(Path(model)) and not Path(model).resolve().is_relative_to(registry.resolve())
        if loose and (named is None or not named.is_dir()):
            with as_registry(Path(model), fingerprint, model) as (folder, found):
                yield Evidence(folder, found, alone=True)
            return
        yield Evidence(str(Path(model) / "model") if loose else model, registry)
        return
    if out is not None and out.exists():
        raise ConfigError(f"--out {out}: already exists, and is not overwritten; choose another folder")
    with mlflow_registry.tempdir() as temporary:
        draft = temporary if out is None else draft_of(out.resolve())
        try:
            draft.mkdir(parents=True, exist_ok=True)
            entry, version = _fetch(place, draft)
            with as_registry(entry, fingerprint, model) as (folder, found):
                yield Evidence(folder, found, True, f"{model} ({version})", out, place.alias_of_source)
            if out is not None:
                place_folder(entry, out)
        finally:
            shutil.rmtree(draft, ignore_errors=True)


def _fetch(place: Place, folder: Path) -> tuple[Path, str]:
    """Download an entry; returns its folder, and its version in words."""
    if place.kind == "mlflow":
        entry, version = mlflow_registry.download(place.name, place.at, folder)
        return entry, f"version {version}"
    entry, commit = hub.download(place.name, place.at, folder)
    return entry, f"commit {commit}"
