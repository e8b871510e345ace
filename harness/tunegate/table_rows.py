"""Rows of Arrow tables, as Parquet files and `datasets` folders hold them, with values as other files write them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from tunegate.exceptions import ConfigError, nearest
from tunegate.files import one_line
from tunegate.optional import optional_import

Features = Mapping[str, Any]
"""What `datasets` says of columns: name to `{"_type": "ClassLabel", "names": [...]}` and the like."""


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
    """Yield (number, row) of a folder that `save_to_disk` of `datasets` wrote, or of one of its splits."""
    datasets = optional_import("datasets", "data", f"{path}: reading a data set folder")
    try:
        data = datasets.load_from_disk(str(path))
    except Exception as error:
        raise ConfigError(f"{path}: not a data set folder (save_to_disk of `datasets`): {one_line(error)}") from error
    if isinstance(data, datasets.DatasetDict):
        if split not in data:
            raise ConfigError(f"{path}: name one of its splits with `split:`{nearest(split or '', data)}")
        data = data[split]
    elif split is not None:
        raise ConfigError(f"{path}: split: {split!r} is not there, the folder holds one data set without splits")
    features = data.features.to_dict()
    yield from _numbered(path, data.with_format("arrow").iter(batch_size=1000), features)


def _numbered(path: Path, tables: Iterator[Any], features: Features) -> Iterator[tuple[int, dict[str, Any]]]:
    number = 0
    for table in tables:
        _check_names(path, table.schema.names)
        for row in _as_written(table).to_pylist():
            number += 1
            yield number, {name: _plain(value, features.get(name)) for name, value in row.items()}


def _check_names(path: Path, names: Sequence[str]) -> None:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"{path}: the column {twice!r} is duplicated; rename or delete one of the two")


def _as_written(table: Any) -> Any:
    """The table with 32-bit numbers as their digits: 0.1, not 0.10000000149011612."""
    arrow = optional_import("pyarrow", "data", "reading Arrow tables")
    for index, column in enumerate(table.schema):
        if column.type in (arrow.float32(), arrow.float16()):
            digits = table.column(index).cast(arrow.float32()).cast(arrow.string()).cast(arrow.float64())
            table = table.set_column(index, column.name, digits)
    return table


def _features(metadata: Mapping[bytes, bytes]) -> Features:
    """What `datasets` wrote into a Parquet file of its own."""
    try:
        return json.loads(metadata[b"huggingface"])["info"]["features"]
    except (KeyError, ValueError, TypeError):
        return {}


def _plain(value: Any, feature: Any) -> Any:
    """The name of a class, the text that bytes are; in lists and objects too."""
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
    """The name of a class; -1 is what `datasets` puts where a row has none."""
    names = feature.get("names") or ()
    return None if value == -1 else names[value] if 0 <= value < len(names) else value


def _text_of(value: bytes) -> str | bytes:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value
