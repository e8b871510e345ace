"""The append-only log under a record: one JSON object a line in `events.jsonl`, on disk before work goes on.

Each line ends with the SHA-256 of what stands before it in the line, the hash of the line before included: a line that
was changed or taken out shows, the last line too. A torn last line (kill -9) is cut off at the next opening.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn, Self

from tunegate.exceptions import CannotJudge, ConfigError, Tampered, TunegateError
from tunegate.file_lock import lock
from tunegate.key_variables import value_without_keys

EVENTS = "events.jsonl"
SYNC_EVERY_S = 0.2
ENVELOPE = ("event", "time", "previous_sha256", "line_sha256")
"""What every line holds beside what happened."""
FIRST_BYTES = b'{"event": '
_OPEN = os.O_CREAT | os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)  # each system has one
RawEvent = Mapping[str, Any]
"""An event as a line holds it."""


class EventLog:
    """The open, locked event log of a run folder, of events as JSON. What they mean is the matter of `run_log`."""

    def __init__(self, folder: Path, fd: int, last_sha256: str) -> None:
        self.folder = folder
        self._fd = fd
        self._last_sha256 = last_sha256
        self._synced = time.monotonic()

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open or create the log; refuses a folder that another process is writing to (ConfigError).

        The record is its own lock: a file beside it could be deleted, and a second process let in, unnoticed.
        """
        path = folder / EVENTS
        try:
            folder.mkdir(parents=True, exist_ok=True)
            fd = os.open(path, _OPEN, 0o644)
        except OSError as error:
            raise CannotJudge(f"{folder}: the run folder cannot be written: {error.strerror}") from error
        try:
            lock(fd, wait=False)
            lines = _whole_lines(path)
            last_sha256 = _unsealed(lines[-1], f"{path}:{len(lines)}")["line_sha256"] if lines else ""
            log = cls(folder, fd, last_sha256)
            os.ftruncate(fd, sum(len(line) for line in lines))
            os.lseek(fd, 0, os.SEEK_END)
            log.check_in_place()
        except BlockingIOError as error:
            os.close(fd)
            raise ConfigError(
                f"{folder}: another tunegate process is writing to this run folder; wait for it or choose another"
            ) from error
        except OSError as error:
            os.close(fd)
            raise CannotJudge(f"{path}: cannot be written: {error.strerror}") from error
        except TunegateError:
            os.close(fd)
            raise
        return log

    def check_in_place(self) -> None:
        """Raise unless the file that is written to is still the one that a reader of the folder finds, and as long."""
        path, ours = self.folder / EVENTS, os.fstat(self._fd)
        try:
            found = path.stat(follow_symlinks=False)
        except OSError as error:
            raise CannotJudge(
                f"{path}: the record is gone, and with it all evidence of this run (was the folder deleted or moved?); "
                "start it again"
            ) from error
        if (found.st_dev, found.st_ino) != (ours.st_dev, ours.st_ino):
            raise Tampered(f"{path}: another file took the place of the record while it was being written")
        self._check_end()

    def _check_end(self) -> int:
        """The end of the record, where the next line goes; raises Tampered when it is not where it was left."""
        end = os.lseek(self._fd, 0, os.SEEK_CUR)
        if os.fstat(self._fd).st_size != end:
            raise Tampered(f"{self.folder / EVENTS}: somebody else wrote to the record, or cut it")
        return end

    def append(self, *events: RawEvent, durable: bool = True) -> list[dict[str, Any]]:
        """Write events; returned is what a reader of the file finds.

        A `durable` one is on disk when this returns, others at most SYNC_EVERY_S later.

        What is written survives `kill -9` in either case; waiting for the disk guards against a power cut. A full disk
        raises CannotJudge; a line that was cut short by it is dropped at the next opening.
        """
        written: list[dict[str, Any]] = []
        for event in events:
            line, sha256 = _sealed({**value_without_keys(event), "time": _now(), "previous_sha256": self._last_sha256})
            self._write(line)
            self._last_sha256 = sha256
            written.append(json.loads(line))
        if durable or time.monotonic() - self._synced > SYNC_EVERY_S:
            self._sync()
        return written

    def _write(self, line: bytes) -> None:
        start, rest = self._check_end(), memoryview(line)
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError as error:
            os.ftruncate(self._fd, start)  # half a line would spoil what is appended after it
            os.lseek(self._fd, start, os.SEEK_SET)
            raise CannotJudge(f"{self.folder / EVENTS}: writing the record failed: {error.strerror}") from error

    def _sync(self) -> None:
        self.check_in_place()
        try:
            os.fsync(self._fd)
        except OSError as error:
            raise CannotJudge(f"{self.folder / EVENTS}: writing the record failed: {error.strerror}") from error
        self._synced = time.monotonic()

    @property
    def last_sha256(self) -> str:
        """The hash that the last line ends with; empty before the first."""
        return self._last_sha256

    def close(self) -> None:
        os.close(self._fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


_SEAL = b', "line_sha256": "'


def _sealed(event: RawEvent) -> tuple[bytes, str]:
    """The line of an event, and the hash that it ends with."""
    try:
        text = json.dumps(event, ensure_ascii=False, allow_nan=False, default=str)
    except ValueError:  # a loss that is not a number: rare, and JSON has no word for it
        text = json.dumps(_finite(event), ensure_ascii=False, allow_nan=False, default=str)
    body = text.encode(errors="backslashreplace")[:-1]  # a lone surrogate becomes \udXXX, as JSON writes it
    sha256 = hashlib.sha256(body).hexdigest()
    return body + _SEAL + sha256.encode() + b'"}\n', sha256


def _unsealed(line: bytes, where: str) -> dict[str, Any]:
    """The event of a line; raises Tampered when the line is not what was written."""
    body, _, seal = line.rpartition(_SEAL)
    if seal != hashlib.sha256(body).hexdigest().encode() + b'"}\n':
        raise Tampered(f"{where}: not the line that was written: the record was changed")
    try:
        event = json.loads(line, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Tampered(f"{where}: not JSON: {error}") from error
    if not isinstance(event, dict) or not all(isinstance(event.get(name), str) for name in ENVELOPE):  # pyright: ignore[reportUnknownMemberType]
        raise Tampered(f"{where}: not an event")
    return event  # pyright: ignore[reportUnknownVariableType]


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _finite(value: Any) -> Any:
    """The same value with NaN and infinities as text, as `outcome_to_json` writes them."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
    return value


def _whole_lines(path: Path) -> list[bytes]:
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise CannotJudge(f"{path}: cannot be read: {error.strerror}") from error
    if not lines or lines[-1].endswith(b"\n"):
        return lines
    if len(lines) == 1 and not lines[0].startswith(FIRST_BYTES[: len(lines[0])]):
        raise ConfigError(f"{path}: not a record of Tunegate, and nothing of it is overwritten; choose another folder")
    return lines[:-1]


def read_events(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the events of a run folder; raises Tampered when the chain of hashes is broken."""
    path = folder / EVENTS
    if not path.exists():
        raise ConfigError(f"{folder}: not a run folder: it has no {EVENTS}")
    previous = ""
    for number, line in enumerate(_whole_lines(path), start=1):
        event = _unsealed(line, f"{path}:{number}")
        if event["previous_sha256"] != previous:
            raise Tampered(f"{path}:{number}: does not follow from the line before it: the record was changed")
        previous = event["line_sha256"]
        yield event


def digest_of(folder: Path) -> str:
    """The hash that the last line of a record ends with; raises Tampered when the chain of hashes is broken.

    Two records of one digest are the same, line for line, so what was folded from one holds of the other.
    """
    digest = ""
    for event in read_events(folder):
        digest = event["line_sha256"]
    return digest


def is_being_written(folder: Path) -> bool:
    """Whether a process, this one included, has the record of a folder open to write to it."""
    try:
        with (folder / EVENTS).open("rb") as file:
            lock(file.fileno(), wait=False)
    except BlockingIOError:
        return True
    except (OSError, ConfigError):
        return False
    return False


def last_event(folder: Path) -> dict[str, Any] | None:
    """The last whole event of a folder, found without reading the others; None where there is none."""
    path = folder / EVENTS
    if not path.exists():
        return None
    with path.open("rb") as file:
        size, block = file.seek(0, os.SEEK_END), 2**16
        while True:
            file.seek(max(0, size - block))
            lines = file.read().rpartition(b"\n")[0].splitlines()
            if len(lines) > 1 or block >= size:
                return _unsealed(lines[-1] + b"\n", str(path)) if lines else None
            block *= 2
