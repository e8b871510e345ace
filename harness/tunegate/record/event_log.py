"""The append-only log under a record: one JSON object a line in `events.jsonl`, on disk before work goes on.

Each line ends with the SHA-256 of the rest of the line, which includes the hash of the previous line: a line that was
changed or removed is detected, the last line included. An incomplete last line (kill -9) is cut at the next opening.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, Self

from tunegate.exceptions import CannotJudge, ConfigError, Tampered, TunegateError
from tunegate.file_lock import lock
from tunegate.key_variables import value_without_keys

EVENTS = "events.jsonl"
SYNC_EVERY_S = 0.2
ENVELOPE = ("event", "time", "previous_sha256", "line_sha256")
"""The keys that every line has besides those of its event."""
FIRST_BYTES = b'{"event": '
_OPEN = os.O_CREAT | os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)  # each system has one
RawEvent = Mapping[str, Any]
"""An event as a line holds it."""


@dataclass(frozen=True, slots=True)
class _Tail:
    """How far a record goes: its bytes, the hash at the end of its last line, and the hash of all bytes."""

    size: int
    last_sha256: str
    whole: Any

    def after(self, line: bytes, sha256: str) -> _Tail:
        whole = self.whole.copy()
        whole.update(line)
        return _Tail(self.size + len(line), sha256, whole)


class EventLog:
    """The open, locked event log of a run folder, with events as JSON. `run_log` interprets them."""

    def __init__(self, folder: Path, fd: int) -> None:
        self.folder = folder
        self._fd = fd
        self._tail = _Tail(0, "", hashlib.sha256())
        self._next: _Tail | None = None
        """With the line that is being written: Ctrl-C may come before or after it is on disk."""
        self._synced = time.monotonic()

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open or create the log; refuses a folder that another process is writing to (ConfigError).

        The record is its own lock: a separate lock file could be deleted, which would let a second process in.
        """
        path = folder / EVENTS
        try:
            folder.mkdir(parents=True, exist_ok=True)
            fd = os.open(path, _OPEN, 0o644)
        except OSError as error:
            raise CannotJudge(f"{folder}: cannot write to the run folder: {error.strerror}") from error
        try:
            lock(fd, wait=False)
            log = cls(folder, fd)
            number, size, last, whole = 0, 0, b"", hashlib.sha256()
            for last in _whole_lines(path):
                number, size = number + 1, size + len(last)
                whole.update(last)
            if number:
                log._tail = _Tail(size, event_of_line(last, f"{path}:{number}")["line_sha256"], whole)
            os.ftruncate(fd, size)
            log.check_in_place()
        except BlockingIOError as error:
            os.close(fd)
            raise ConfigError(
                f"{folder}: another tunegate process is writing to this run folder; wait for it or choose another"
            ) from error
        except OSError as error:
            os.close(fd)
            raise CannotJudge(f"{path}: cannot write to this file: {error.strerror}") from error
        except TunegateError:
            os.close(fd)
            raise
        return log

    def check_in_place(self) -> None:
        """Raise unless the open file is still the file at this path, with the length that was written."""
        path, ours = self.folder / EVENTS, os.fstat(self._fd)
        try:
            found = path.stat(follow_symlinks=False)
        except OSError as error:
            raise CannotJudge(
                f"{path}: the record is gone, and with it all evidence of this run (was the folder deleted or moved?); "
                "start the run again"
            ) from error
        if (found.st_dev, found.st_ino) != (ours.st_dev, ours.st_ino):
            raise Tampered(f"{path}: another file replaced the record while it was being written")
        self._check_end()

    def check_whole(self) -> None:
        """Read the whole file again; raises Tampered unless its bytes are those that were read and written."""
        self.check_in_place()
        path, found = self.folder / EVENTS, hashlib.sha256()
        for line in _whole_lines(path):
            found.update(line)
        if found.digest() != self._tail.whole.digest():
            digest_of(self.folder)  # names the line at fault, if the chain of hashes is broken
            raise Tampered(f"{path}: the record on disk differs from the record that was written")

    def _check_end(self) -> None:
        """Raise Tampered when the file has another length than what was written."""
        self._take_in()
        if os.fstat(self._fd).st_size != self._tail.size:
            raise Tampered(f"{self.folder / EVENTS}: something else wrote to the record or shortened it")

    def _take_in(self) -> None:
        """Count the line that was being written if it is on disk, and cut it off if it is there in part."""
        if self._next is None:
            return
        size = os.fstat(self._fd).st_size
        if size == self._next.size:
            self._tail = self._next
        elif self._tail.size < size < self._next.size:
            os.ftruncate(self._fd, self._tail.size)
        self._next = None

    def append(self, *events: RawEvent, durable: bool = True) -> list[dict[str, Any]]:
        """Write events; returns them as a reader of the file would see them.

        A `durable` event is on disk when this returns, others at most SYNC_EVERY_S later.

        Written events survive `kill -9` in either case; waiting for the disk protects against a power cut. A full disk
        raises CannotJudge; the incomplete line is dropped at the next opening.
        """
        written: list[dict[str, Any]] = []
        for event in events:
            self._check_end()
            body = {**value_without_keys(event), "time": now(), "previous_sha256": self.last_sha256}
            line, sha256 = sealed_line(body)
            self._write(line, sha256)
            written.append(json.loads(line))
        if durable or time.monotonic() - self._synced > SYNC_EVERY_S:
            self._sync()
        return written

    def _write(self, line: bytes, sha256: str) -> None:
        self._next = self._tail.after(line, sha256)
        try:
            write_line(self._fd, line)
        except OSError as error:
            raise CannotJudge(f"{self.folder / EVENTS}: writing the record failed: {error.strerror}") from error
        self._take_in()

    def _sync(self) -> None:
        self.check_in_place()
        try:
            os.fsync(self._fd)
        except OSError as error:
            raise CannotJudge(f"{self.folder / EVENTS}: writing the record failed: {error.strerror}") from error
        self._synced = time.monotonic()

    @property
    def last_sha256(self) -> str:
        """The hash at the end of the last line; empty before the first line."""
        return self._tail.last_sha256

    def close(self) -> None:
        os.close(self._fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def write_line(fd: int, line: bytes) -> None:
    """Append a line to an open file, or nothing of it: half a line would spoil what is appended after it.

    Raises OSError.
    """
    start, rest = os.lseek(fd, 0, os.SEEK_END), memoryview(line)
    try:
        while rest:
            rest = rest[os.write(fd, rest) :]
    except OSError:
        os.ftruncate(fd, start)
        raise


def now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


_SEAL = b', "line_sha256": "'


def sealed_line(event: RawEvent) -> tuple[bytes, str]:
    """The line of an event, and the hash at its end."""
    try:
        text = json.dumps(event, ensure_ascii=False, allow_nan=False, default=str)
    except ValueError:  # a loss of NaN: rare, and JSON has no NaN
        text = json.dumps(_finite(event), ensure_ascii=False, allow_nan=False, default=str)
    body = text.encode(errors="backslashreplace")[:-1]  # a lone surrogate becomes \udXXX, as JSON writes it
    sha256 = hashlib.sha256(body).hexdigest()
    return body + _SEAL + sha256.encode() + b'"}\n', sha256


def event_of_line(line: bytes, where: str) -> dict[str, Any]:
    """The event of a line; raises Tampered when the line was changed."""
    body, _, seal = line.rpartition(_SEAL)
    if seal != hashlib.sha256(body).hexdigest().encode() + b'"}\n':
        raise Tampered(f"{where}: this line does not match its own hash: the record was changed")
    try:
        event = json.loads(line, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Tampered(f"{where}: this line is not valid JSON: {error}") from error
    if not isinstance(event, dict) or not all(isinstance(event.get(name), str) for name in ENVELOPE):  # pyright: ignore[reportUnknownMemberType]
        raise Tampered(f"{where}: this line is not an event")
    return event  # pyright: ignore[reportUnknownVariableType]


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _finite(value: Any) -> Any:
    """The same value with NaN and infinities written as text, as in `outcome_to_json`."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
    return value


def _whole_lines(path: Path) -> Iterator[bytes]:
    """The complete lines of a record, one at a time: a record of many cases is larger than what else is in memory."""
    if path.exists() and not path.is_file():  # a pipe would be waited for without end
        raise Tampered(f"{path}: this is not a regular file")
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file):
                if line.endswith(b"\n"):
                    yield line
                elif number == 0 and not line.startswith(FIRST_BYTES[: len(line)]):
                    raise ConfigError(f"{path}: not a Tunegate record, so it is not overwritten; choose another folder")
    except FileNotFoundError:
        return
    except OSError as error:
        raise CannotJudge(f"{path}: cannot be read: {error.strerror}") from error


def read_events(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the events of a run folder; raises Tampered when the chain of hashes is broken."""
    path = folder / EVENTS
    if not folder.exists():
        raise ConfigError(f"{folder}: no such folder")
    if not path.exists():
        raise ConfigError(f"{folder}: not a run folder: it has no {EVENTS}")
    previous = ""
    for number, line in enumerate(_whole_lines(path), start=1):
        event = event_of_line(line, f"{path}:{number}")
        if event["previous_sha256"] != previous:
            raise Tampered(f"{path}:{number}: this line does not continue the line before it: the record was changed")
        previous = event["line_sha256"]
        yield event


def digest_of(folder: Path) -> str:
    """The hash at the end of a record's last line; raises Tampered when the chain of hashes is broken.

    Two records with one digest are identical, line for line, so what was folded from one is true of the other.
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
    """The last complete event of a folder, read without the others; None if there is none."""
    path = folder / EVENTS
    if not path.exists():
        return None
    with path.open("rb") as file:
        size, block = file.seek(0, os.SEEK_END), 2**16
        while True:
            file.seek(max(0, size - block))
            lines = file.read().rpartition(b"\n")[0].splitlines()
            if len(lines) > 1 or block >= size:
                return event_of_line(lines[-1] + b"\n", str(path)) if lines else None
            block *= 2
