"""Helpers for options: files that are read once, and errors that say what to write instead."""

from __future__ import annotations

import hashlib
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, cast

from pydantic import BaseModel, BeforeValidator, InstanceOf, PlainSerializer, ValidationError, ValidationInfo
from pydantic import WithJsonSchema as JsonSchema

from tunegate.exceptions import CannotJudge, ConfigError, nearest
from tunegate.models.model import Model
from tunegate.reading.files import read_text, resolve
from tunegate.trust.allowed import Trust, user_trust
from tunegate.trust.wants import Wants


def open_local(spec: str) -> Model:
    """Open a transformers model."""
    from tunegate.models.open_model import open_model  # imported late: it imports torch

    return open_model(spec)


def local_sha256(spec: str) -> str | None:
    """The fingerprint of a model's files; raises ConfigError if there are none."""
    from tunegate.models.open_model import model_sha256

    return model_sha256(spec)


def sha256_offline(spec: str) -> str | None:
    """The same without any contact and without converting a GGUF file; None for a model of the hub that is not here."""
    from tunegate.models.loading import hub_offline
    from tunegate.models.open_model import is_on_hub, unconverted_sha256

    if not is_on_hub(spec):
        return unconverted_sha256(spec)
    try:
        with hub_offline():
            return local_sha256(spec)
    except CannotJudge:
        return None


def wants_of_model(spec: str, at: str) -> Wants:
    """What opening a model does: the option `at` names it."""
    from tunegate.models.open_model import wants_of

    return wants_of(spec, at)


@dataclass(frozen=True)
class LocalModels:
    """The functions that open and identify a local judge; tests replace them."""

    open: Callable[[str], Model] = open_local
    sha256: Callable[[str], str | None] = local_sha256


@dataclass(frozen=True)
class BuildContext:
    """The context of a check besides its options: its name, and the folder where relative paths start.

    `file` is the file of the options; None if the user's own Python code wrote them. With `look`, the check is only
    looked at: nothing of the file runs, and no server is contacted.
    """

    name: str
    base_dir: Path
    models: LocalModels = LocalModels()
    file: Path | None = None
    look: bool = False
    given: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The options as they are written."""

    @cached_property
    def trust(self) -> Trust:
        """What the user allows."""
        return user_trust()


MAX_FILE_BYTES = 64 * 2**20

# --- files ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TextFile:
    """A file that an option names, read once when the check is built, so that the hashed text is the used text."""

    path: Path
    text: str
    sha256: str


def read_file(value: object, info: ValidationInfo) -> TextFile:
    """Read the file that an option names; errors are ValueErrors, as pydantic requires."""
    if isinstance(value, TextFile):
        return value
    if not isinstance(value, str | Path):
        raise ValueError(f"expected the path of a file, got {value!r}")
    try:
        path = resolve(str(value), base_dir(info))
        text = read_text(path, MAX_FILE_BYTES)
    except ConfigError as error:
        raise ValueError(str(error)) from None
    return TextFile(path, text, hashlib.sha256(text.encode()).hexdigest())


def base_dir(info: ValidationInfo) -> Path:
    """The folder where relative paths in options start."""
    return info.context.base_dir if isinstance(info.context, BuildContext) else Path()


def files_in(value: object) -> Iterator[TextFile]:
    """The files that the options name, at any depth."""
    if isinstance(value, TextFile):
        yield value
    elif isinstance(value, BaseModel):
        for _, inner in value:
            yield from files_in(inner)
    elif isinstance(value, list | tuple):
        for inner in cast("Sequence[object]", value):
            yield from files_in(inner)


InputFile = Annotated[
    InstanceOf[TextFile],
    BeforeValidator(read_file),
    # The fingerprint must not depend on the suite's folder, so it holds only the name and the hash.
    PlainSerializer(lambda file: {"file": file.path.name, "sha256": file.sha256}, return_type=dict[str, str]),
    JsonSchema({"type": "string", "description": "path of a file, relative to the suite file"}),
]


# --- errors --------------------------------------------------------------------------------------------------------


def explain(error: ValidationError, model: type[BaseModel], options: Mapping[str, Any], prefix: str) -> str:
    """One line for a pydantic error: key path, expected value, actual value, nearest valid name."""
    expected: dict[str, list[str]] = {}
    got: dict[str, str] = {}
    for fault in error.errors(include_url=False):
        where, message, value = _fault(fault, model, options)
        key = ".".join([prefix, *where])
        expected.setdefault(key, [])
        if message not in expected[key]:
            expected[key].append(message)
        got[key] = value
    return "; ".join(
        f"{key}: {' or '.join(messages).replace(' or expected', ' or')}{got[key]}" for key, messages in expected.items()
    )


def _fault(fault: Any, model: type[BaseModel], options: Mapping[str, Any]) -> tuple[list[str], str, str]:
    location: Sequence[int | str] = fault["loc"]
    if fault["type"] == "extra_forbidden":
        *parents, key = location
        owner = _model_at(model, parents)
        return [str(part) for part in location], f"unknown option{nearest(str(key), _keys(owner))}", ""
    if fault["type"] == "missing":
        return [str(part) for part in location[:-1]], f"the option {location[-1]!r} is missing", ""
    where = _written(location, options)
    if fault["type"] == "value_error":
        return where, str(fault["ctx"]["error"]), ""
    if location and location[-1] == "[key]":
        allowed = fault.get("ctx", {}).get("expected", "")
        return where, f"unknown name{nearest(str(fault['input']), allowed.replace(chr(39), '').split(' or '))}", ""
    message = fault["msg"].replace("Input should be ", "expected ")
    return where, message[:1].lower() + message[1:], f", got {fault['input']!r}"


def _written(location: Sequence[int | str], options: Mapping[str, Any]) -> list[str]:
    """The part of a pydantic location that the user wrote: without the tags of unions and validators."""
    here: Any = options
    where: list[str] = []
    for part in location:
        if isinstance(here, Mapping) and part in here:
            here = cast("Mapping[str, Any]", here)[cast(str, part)]
        elif isinstance(here, list) and isinstance(part, int) and part < len(cast("list[Any]", here)):
            here = cast("list[Any]", here)[part]
        else:
            continue
        where.append(str(part))
    return where


def _keys(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _model_at(model: type[BaseModel], location: Sequence[int | str]) -> type[BaseModel]:
    """The options model at a location inside `model`."""
    for part in location:
        field = next((f for name, f in model.model_fields.items() if part in (name, f.alias)), None)
        inner = _models_in(field.annotation) if field else []
        model = inner[0] if inner else model
    return model


def _models_in(annotation: object) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return [annotation] if issubclass(annotation, BaseModel) else []
    return [found for part in typing.get_args(annotation) for found in _models_in(part)]
