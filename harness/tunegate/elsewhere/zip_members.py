"""Reads the members of a zip archive, also with zstd compression, which Python itself supports only from 3.14 on."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tunegate.exceptions import ConfigError
from tunegate.optional import optional_import
from tunegate.reading.files import one_line

ZSTD = 93
"""The number of the compression method in a zip archive (PKWARE APPNOTE 6.3.8, 4.4.5)."""
LOCAL_HEADER = struct.Struct("<4s5H3I2H")
"""The header before each member: signature, version, flags, method, time, date, CRC, two sizes, two lengths."""
MAX_MEMBER_BYTES = 256 * 2**20


def members(path: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, str]]:
    """The names and texts of the wanted members. Raises ConfigError for a damaged archive, MissingExtra for zstd."""
    try:
        with zipfile.ZipFile(path) as archive, path.open("rb") as raw:
            for info in archive.infolist():
                if wanted(info.filename) and not info.is_dir():
                    yield info.filename, _text(archive, info, raw, f"{path}:{info.filename}")
    except (
        zipfile.BadZipFile,
        struct.error,
        EOFError,
        OSError,
        NotImplementedError,
        ValueError,
        RuntimeError,
    ) as error:
        raise ConfigError(f"{path}: the archive is damaged or cut off: {one_line(error)}") from error


def _text(archive: zipfile.ZipFile, info: zipfile.ZipInfo, raw: Any, place: str) -> str:
    if info.file_size > MAX_MEMBER_BYTES:
        limit = f"{MAX_MEMBER_BYTES / 2**20:.0f} MiB"
        raise ConfigError(f"{place}: {info.file_size / 2**20:,.0f} MiB; at most {limit} are read: leave it out")
    data = _unzstd(info, raw, place) if info.compress_type == ZSTD else archive.read(info)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{place}: not UTF-8; was the archive written by Inspect?") from error


def _unzstd(info: zipfile.ZipInfo, raw: Any, place: str) -> bytes:
    zstandard = optional_import("zstandard", "inspect", f"{place}: a member compressed by zstd")
    raw.seek(info.header_offset)
    header = LOCAL_HEADER.unpack(raw.read(LOCAL_HEADER.size))
    if header[0] != b"PK\x03\x04":
        raise zipfile.BadZipFile(f"{info.filename} has no header")
    raw.seek(header[-2] + header[-1], 1)
    try:
        with zstandard.ZstdDecompressor().stream_reader(raw.read(info.compress_size)) as reader:
            data: bytes = reader.read(MAX_MEMBER_BYTES)
    except zstandard.ZstdError as error:
        raise ConfigError(f"{place}: the member is damaged: {one_line(error)}") from error
    if len(data) != info.file_size:
        raise ConfigError(f"{place}: the member is damaged: {len(data)} bytes instead of {info.file_size}")
    return data
