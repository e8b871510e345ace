"""Rows of Arrow tables from Parquet files and `datasets` folders, with values as other files write them."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from tunegate.exceptions import ConfigError, nearest
from tunegate.optional import optional_import
from tunegate.reading.files import one_line

Features = Mapping[str, Any]
"""The features of `datasets`: column name to, for example, `{"_type": "ClassLabel", "names": [...]}`."""


def parquet_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (number, row) of a Parquet file."""
    arrow = optional_import("pyarrow", "data", f"{path}: reading Parquet")
    parquet = optional_import("pyarrow.parquet", "data", f"{path}: reading Parquet")
    try:
        file = parquet.ParquetFile(path)
        yield from _numbered(path, file.iter_batches(), _features(file.schema_arrow.metadata or {}))
    except (arrow.ArrowException, OSError) as error:
        raise ConfigError(f"{path}: not valid Parquet: {one_line(error)}") from error


def dataset_rows(path: Path, split: str | None) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (number, row) of a folder that `save_to_disk` of `datasets` wrote, or of one split of it."""
    datasets = optional_import("datasets", "data", f"{path}: reading a data set folder")
    try:
        data = datasets.load_from_disk(str(path))
    except Exception as error:
        raise ConfigError(f"{path}: not a data set folder (save_to_disk of `datasets`): {one_line(error)}") from error
    if isinstance(data, datasets.DatasetDict):
        if split not in data:
            raise ConfigError(
                f"{path}: the folder has splits; name one of its splits with `split:`{nearest(split or '', data)}"
            )
        data = data[split]
    elif split is not None:
        raise ConfigError(
            f"{path}: split: there is no split {split!r}: the folder holds one data set without splits; leave it out"
        )
    yield from rows_of_dataset(data, path)


def rows_of_dataset(data: Any, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (number, row) of a `datasets.Dataset`; `path` names it in errors."""
    yield from _numbered(path, data.with_format("arrow").iter(batch_size=1000), data.features.to_dict())


def _numbered(path: Path, tables: Iterator[Any], features: Features) -> Iterator[tuple[int, dict[str, Any]]]:
    number = 0
    for table in tables:
        _check_names(path, table.schema.names)
        types = {field.name: field.type for field in table.schema if "float" in str(field.type)}
        for row in _objects(path, table):
            number += 1
            digits = {name: _digits(row[name], kind) for name, kind in types.items()}
            yield number, {name: _plain(value, features.get(name)) for name, value in (row | digits).items()}


def _objects(path: Path, table: Any) -> list[dict[str, Any]]:
    """The rows of a table; maps become objects."""
    try:
        return table.to_pylist(maps_as_pydicts="strict")
    except KeyError as error:
        raise ConfigError(f"{path}: a map has a duplicated key: {one_line(error)}; write it as a list") from error


def _check_names(path: Path, names: Sequence[str]) -> None:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"{path}: the column {twice!r} is duplicated; rename or delete one of the two")


def _digits(value: Any, kind: Any) -> Any:
    """A value of an Arrow type, with 16- and 32-bit numbers in their shortest form: 0.1, not 0.10000000149011612."""
    match value:
        case float() if str(kind) in _SHORT:
            return _shortest(value, *_SHORT[str(kind)])
        case list():
            return [_digits(item, kind.value_type) for item in cast("Sequence[Any]", value)]
        case dict():
            of = kind.item_type if hasattr(kind, "item_type") else None
            items = cast("Mapping[str, Any]", value).items()
            return {key: _digits(item, of or kind.field(key).type) for key, item in items}
        case _:
            return value


_SHORT = {"float": ("f", 6), "halffloat": ("e", 3)}
"""The 16- and 32-bit number types: how the module struct packs them, and how many digits they hold exactly."""


def _shortest(value: float, packed: str, digits: int) -> float:
    """The shortest decimal number that is this value in its own width."""
    if not math.isfinite(value):
        return value
    written = (float(f"{value:.{n}g}") for n in range(digits, 17))
    return next((short for short in written if _narrow(short, packed) == value), value)


def _narrow(value: float, packed: str) -> float | None:
    try:
        (narrow,) = struct.unpack(packed, struct.pack(packed, value))
    except OverflowError:
        return None
    return narrow


def _features(metadata: Mapping[bytes, bytes]) -> Features:
    """The features that `datasets` wrote into the metadata of a Parquet file."""
    try:
        return json.loads(metadata[b"huggingface"])["info"]["features"]
    except (KeyError, ValueError, TypeError):
        return {}


def _plain(value: Any, feature: Any) -> Any:
    """A value with class numbers replaced by names and bytes by text, in lists and objects too."""
    said: Features = cast("Features", feature) if isinstance(feature, Mapping) else dict[str, Any]()
    inside: Any = said.get("feature", said)
    match value:
        case bytes():
            return _text_of(value)
        case dict():
            known: Features = cast("Features", inside) if isinstance(inside, Mapping) else dict[str, Any]()
            return {key: _plain(item, known.get(key)) for key, item in cast("Mapping[str, Any]", value).items()}
        case list():
            one = feature[0] if isinstance(feature, list) and feature else inside  # pyright: ignore[reportUnknownVariableType]
            return [_plain(item, one) for item in cast("Sequence[Any]", value)]
        case int() if said.get("_type") == "ClassLabel":
            return _class_name(value, said)
        case _:
            return value


def _class_name(value: int, feature: Features) -> Any:
    """The name of a class; `datasets` writes -1 for a row without a class."""
    names = feature.get("names") or ()
    return None if value == -1 else names[value] if 0 <= value < len(names) else value


def _text_of(value: bytes) -> str | bytes:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value
