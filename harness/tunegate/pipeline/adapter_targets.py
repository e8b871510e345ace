"""Checks that the layers and modules in `peft` exist in the base model; reads its files without weights or torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from tunegate.exceptions import ConfigError, nearest
from tunegate.models import gguf
from tunegate.models.loading import read_config
from tunegate.models.model_facts import tensors_of
from tunegate.models.open_model import local_path
from tunegate.pipeline.pipeline import Pipeline

UNLISTED = ("lm_head",)
"""Weights that a file may omit, because they are shared with others (tied embeddings)."""


class BaseModel:
    """The base model of a pipeline, read from its files; nothing is known of a hub model, a server or an adapter."""

    def __init__(self, spec: str) -> None:
        self.spec = spec

    @cached_property
    def folder(self) -> Path | None:
        path = local_path(self.spec)
        if path is not None and path.is_file():
            path = gguf.converted(path)
        return path if path is not None and (path / "config.json").is_file() else None

    @cached_property
    def layers(self) -> int | None:
        number = read_config(self.folder / "config.json").get("num_hidden_layers") if self.folder else None
        return number if isinstance(number, int) else None

    @cached_property
    def modules(self) -> frozenset[str]:
        """The names of the modules that have weights, without their parent modules: `q_proj`."""
        files: Iterable[Path] = sorted(self.folder.glob("*.safetensors")) if self.folder else ()
        try:
            return frozenset(name.split(".")[-2] for file in files for name in tensors_of(file) if "." in name)
        except (OSError, ValueError, AttributeError):
            return frozenset()  # the training reports what is wrong with the file


def check_adapters(pipeline: Pipeline) -> list[str]:
    """Raise ConfigError for a layer that the model does not have. Returns the module names that match no weight: PEFT
    ignores them silently if another name in the list matches."""
    base = BaseModel(pipeline.model)
    notes: list[str] = []
    for stage in pipeline.stages:
        peft: Mapping[str, Any] = stage.spec.peft or {}
        where = f"stage {stage.name}: peft"
        _check_layers(peft.get("layers_to_transform"), base, f"{pipeline.path}: {where}.layers_to_transform")
        notes += [f"{where}.target_modules: {fault}" for fault in _unknown(peft.get("target_modules"), base)]
    return notes


def _check_layers(asked: object, base: BaseModel, where: str) -> None:
    given: list[object] = cast("list[object]", asked) if isinstance(asked, list) else [asked]
    wanted = [layer for layer in given if isinstance(layer, int)]
    if not wanted or base.layers is None:  # do not read files if no layers are given
        return
    beyond = [layer for layer in wanted if not 0 <= layer < base.layers]
    if beyond:
        raise ConfigError(
            f"{where}: expected layers from 0 to {base.layers - 1} (the model's), got {', '.join(map(str, beyond))}"
        )


def _unknown(asked: object, base: BaseModel) -> Iterator[str]:
    names: list[object] = cast("list[object]", asked) if isinstance(asked, list) else []
    if not names or not base.modules:
        return
    for name in names:
        last = str(name).rsplit(".", 1)[-1]
        if last not in base.modules and last not in UNLISTED:
            yield f"the model has no weight named {name!r}{nearest(last, base.modules)}"
