"""The Hugging Face Hub: a promoted model with its evidence as a pull request or a tagged commit."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tunegate.exceptions import CannotJudge, Tampered
from tunegate.optional import optional_import
from tunegate.promotion.entry import ATTESTATION, PARTS
from tunegate.publishing.model_card import with_gates
from tunegate.record.recheck import NotPromotable
from tunegate.record.tested import AreasTested

FOLDER = "tunegate"
"""The folder of the evidence in the repository; the model's own files are at its root."""
OF_THE_HUB = (".gitattributes", ".cache", "README.md")
"""What the Hub and its library add to a model."""


def publish(
    entry: Path,
    attestation: Mapping[str, Any],
    name: str,
    tag: str,
    found: AreasTested,
    check: Callable[[Path], object],
) -> str:
    """Upload an entry: with a tag, as a tagged commit on the main branch; without, as a pull request.

    The model card says what was `found`.

    Returns where it is, in words. The tag is set only after `check` accepted what was downloaded again.
    """
    library, api = _api()
    files = {str(path.relative_to(entry / "model")): path for path in sorted((entry / "model").rglob("*"))}
    files |= {f"{FOLDER}/{path.name}": path for path in sorted(entry.iterdir()) if path.name != "model"}
    card = files.pop("README.md", None)
    with _faults(name):
        text = _card(api, name) or (card.read_text(encoding="utf-8") if card else "")
        readme = with_gates(text, attestation, name, found).encode()
        operations = [
            library.CommitOperationAdd(path_in_repo=place, path_or_fileobj=str(path))
            for place, path in files.items()
            if path.is_file()
        ]
        operations.append(library.CommitOperationAdd(path_in_repo="README.md", path_or_fileobj=readme))
        made = api.create_commit(
            name,
            operations,
            commit_message=f"Tunegate: promote {attestation['model_sha256'][:12]}",
            create_pr=not tag,
        )
        if not tag:
            return f"pull request {made.pr_url}"
        with _temporary() as folder:
            check(download(name, made.oid, Path(folder))[0])
        api.create_tag(name, tag=tag, revision=made.oid)
    return f"commit {made.oid}, tag {tag}"


def download(name: str, revision: str, folder: Path) -> tuple[Path, str]:
    """Download a revision as a registry entry; returns its folder and its commit."""
    _, api = _api()
    with _faults(f"{name}@{revision}"):
        commit = str(api.model_info(name, revision=revision).sha)
        place = folder / "entry" / "model"
        api.snapshot_download(name, revision=commit, local_dir=str(place), cache_dir=str(folder / "cache"))
    for left in OF_THE_HUB:
        path = place / left
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    evidence = place / FOLDER
    if not (evidence / ATTESTATION).is_file():
        raise NotPromotable(
            f"hf:{name}@{revision}: this revision has no evidence of a promotion; name one that `tunegate promote` "
            "published"
        )
    for path in evidence.iterdir():
        if path.name == PARTS[0]:
            raise Tampered(f"hf:{name}@{revision}: {FOLDER}/{path.name}: no promotion wrote this")
        path.rename(place.parent / path.name)
    evidence.rmdir()
    return place.parent, commit


def check_installed() -> None:
    """Raise MissingExtra if the extra is missing."""
    _api()


def _card(api: Any, name: str) -> str:
    """The model card that the repository has; empty if it has none."""
    if not api.file_exists(name, "README.md"):
        return ""
    with _temporary() as folder:
        return Path(api.hf_hub_download(name, "README.md", local_dir=folder)).read_text(encoding="utf-8")


def _api() -> tuple[Any, Any]:
    """The library, and its client for the server that HF_ENDPOINT names (default: the Hub)."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    library = optional_import("huggingface_hub", "hub", "the Hugging Face Hub")
    return library, library.HfApi(endpoint=os.environ.get("HF_ENDPOINT"), library_name="tunegate")


@contextmanager
def _faults(what: str) -> Generator[None]:
    """Raise an error of the Hub or of the network as CannotJudge."""
    errors = optional_import("huggingface_hub.errors", "hub", "the Hugging Face Hub")
    try:
        yield
    except (errors.HfHubHTTPError, errors.LocalEntryNotFoundError, errors.HFValidationError, OSError) as error:
        raise CannotJudge(f"Hugging Face Hub, {what}: {' '.join(str(error).split())[:300]}") from error


@contextmanager
def _temporary() -> Generator[str]:
    import tempfile

    with tempfile.TemporaryDirectory(prefix="tunegate-") as folder:
        yield folder
