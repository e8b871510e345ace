"""Facts about a model before it answers: its size on disk, its parameters, its licence. Without torch."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml

from tunegate.exceptions import TunegateError
from tunegate.models.loading import hf_import
from tunegate.models.open_model import LocalModel, find_model, is_server
from tunegate.reading.files import resolve

UNKNOWN = "unknown"
MAX_HEADER_BYTES = 100 * 2**20
"""The largest header of a safetensors file, by its specification."""


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """None and `unknown` mean that the files do not say; `licence` is the files' claim and was not verified."""

    sha256: str | None = None
    size_bytes: int | None = None
    parameters: int | None = None
    licence: str = UNKNOWN


def model_facts(spec: str) -> ModelFacts:
    """The facts of the model that `spec` names; all unknown for a server. Raises the errors of `find_model`."""
    if is_server(spec):
        return ModelFacts()
    found = find_model(spec)
    file = _gguf_file(spec)
    return ModelFacts(
        found.sha256, file.stat().st_size if file else found.size_bytes, _parameters(found), _licence(found, file)
    )


def _gguf_file(spec: str) -> Path | None:
    """The user's GGUF file; the folder that it is converted to is several times larger."""
    try:
        path = resolve(spec, Path())
    except TunegateError:
        return None
    return path if path.is_file() else None


def _parameters(found: LocalModel) -> int | None:
    counts = [_parameters_of(path) for path in found.weights]
    known = [count for count in counts if count is not None]
    return sum(known) if known and len(known) == len(counts) else None


def _parameters_of(path: Path) -> int | None:
    try:
        return sum(math.prod(tensor["shape"]) for tensor in tensors_of(path).values())
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def tensors_of(path: Path) -> dict[str, Any]:
    """The tensors in a safetensors file: 8 bytes give the length of the header, which is JSON with all shapes.

    Raises OSError, ValueError or AttributeError for another file.
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header: dict[str, Any] = json.loads(file.read(min(length, MAX_HEADER_BYTES)))
    return {name: tensor for name, tensor in header.items() if name != "__metadata__"}


# --- licence -------------------------------------------------------------------------------------------------------


def _licence(found: LocalModel, file: Path | None) -> str:
    """The licence of an adapter comes before that of its base."""
    found_licences = [_licence_of_gguf(file)] + [
        _licence_of_folder(folder) for folder in (*reversed(found.adapters), found.folder)
    ]
    return next((licence for licence in found_licences if licence), UNKNOWN)


def _licence_of_gguf(file: Path | None) -> str:
    """`general.license` of a GGUF file."""
    if file is None:
        return ""
    try:
        entry = hf_import("gguf").GGUFReader(file).get_field("general.license")
        return "" if entry is None else str(entry.contents())
    except (ValueError, OSError, IndexError):  # a file that transformers can read but this reader cannot
        return ""


def _licence_of_folder(folder: Path) -> str:
    """The licence in a model card's first lines, between `---` and `---`, or in the model's configuration."""
    card = _front_matter(folder / "README.md")
    named = card.get("license_name") if card.get("license") == "other" else card.get("license")
    return _text(named) or _text(_json(folder / "config.json").get("license"))


def _front_matter(path: Path) -> dict[str, Any]:
    try:
        begin, _, rest = path.read_text(encoding="utf-8").partition("---\n")
        data: Any = yaml.safe_load(rest.partition("\n---")[0]) if not begin.strip() else None
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return dict[str, Any](data) if isinstance(data, dict) else {}  # pyright: ignore[reportUnknownArgumentType]


def _json(path: Path) -> dict[str, Any]:
    try:
        data: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return dict[str, Any](data) if isinstance(data, dict) else {}  # pyright: ignore[reportUnknownArgumentType]


def _text(value: Any) -> str:
    """One licence, or a list of them."""
    if isinstance(value, list):
        return ", ".join(str(item) for item in cast(list[object], value))
    return value.strip() if isinstance(value, str) else ""
