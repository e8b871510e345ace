"""The file of a ledger: append-only, chained by hashes, safe for several writers; and its folder.

Each line ends with its own hash and names the hash of an earlier line. Two branches of a repository that both added
lines can be merged by keeping the lines of both: each line still follows an earlier one.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tunegate.exceptions import CannotJudge, Tampered
from tunegate.file_lock import lock
from tunegate.ledger.entries import Decided, Drawn, Entry, History
from tunegate.record.event_log import event_of_line, now, sealed_line, write_line
from tunegate.record.typed_json import Misfit, read_as

FOLDER = "tunegate-ledger"
FILE = "ledger.jsonl"
ROOTS = ("tunegate.yaml", "pyproject.toml", ".git")
"""What marks the folder of a project."""


def ledger_folder(near: Path) -> Path:
    """The ledger for a pipeline or suite in the folder `near`: the nearest `tunegate-ledger` at or above it.

    If there is none yet, its place is the nearest folder with a `tunegate.yaml`, a `pyproject.toml` or a `.git`, or
    `near` itself.
    """
    places = [near.resolve(), *near.resolve().parents]
    found = [place for place in places if (place / FOLDER).is_dir()]
    roots = [place for place in places if any((place / name).exists() for name in ROOTS)]
    return (found or roots or places)[0] / FOLDER


@dataclass(slots=True)
class Session:
    """A ledger that this process has locked; `history` is what it held then, and nobody else adds to it."""

    path: Path
    history: History
    _fd: int
    _last: str

    def add(self, entry: Drawn | Decided) -> str:
        """Write an entry, durably; returns its hash. Raises CannotJudge when the disk refuses."""
        kind = "drawn" if isinstance(entry, Drawn) else "decided"
        body = {"event": kind, **asdict(entry), "time": now(), "previous_sha256": self._last}
        line, self._last = sealed_line(body)
        try:
            write_line(self._fd, line)
            os.fsync(self._fd)
        except OSError as error:
            raise CannotJudge(f"{self.path}: writing the ledger failed: {error.strerror}") from error
        return self._last


@dataclass(frozen=True)
class Ledger:
    """The ledger in a folder."""

    folder: Path

    @property
    def path(self) -> Path:
        """Its file."""
        return self.folder / FILE

    def read(self) -> History:
        """The present entries; none if there is no file. Raises Tampered for a line that was changed or removed."""
        try:
            return _history(self.path, _lines(self.path.read_bytes()))[0]
        except FileNotFoundError:
            return History()
        except OSError as error:
            raise CannotJudge(f"{self.path}: cannot be read: {error.strerror}") from error

    @contextmanager
    def session(self) -> Generator[Session]:
        """Lock the ledger, creating it if there is none, and wait for other writers. Raises CannotJudge, Tampered."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            fd = os.open(self.path, os.O_CREAT | os.O_RDWR | getattr(os, "O_BINARY", 0), 0o644)
        except OSError as error:
            raise CannotJudge(f"{self.folder}: the ledger cannot be written: {error.strerror}") from error
        try:
            lock(fd, wait=True)
            lines = _lines(self.path.read_bytes())
            if lines and not lines[-1].endswith(b"\n"):  # the writer was killed within a line
                lines = lines[:-1]
                os.ftruncate(fd, sum(map(len, lines)))
            history, last = _history(self.path, lines)
            yield Session(self.path, history, fd, last)
        finally:
            os.close(fd)

    @property
    def ends_within_a_line(self) -> bool:
        """Whether the last line is incomplete, and nobody is writing it."""
        try:
            with self.path.open("rb") as file:
                if _ends_within_a_line(file.read()):
                    lock(file.fileno(), wait=True)
                    file.seek(0)
                    return _ends_within_a_line(file.read())
        except OSError:
            pass  # whoever reads it says so
        return False

    @property
    def can_be_written(self) -> bool:
        """Whether entries can be added, as far as permissions tell."""
        place = next(one for one in (self.path, self.folder, *self.folder.parents) if one.exists())
        return os.access(place, os.W_OK)


def _ends_within_a_line(content: bytes) -> bool:
    return content != b"" and not content.endswith(b"\n")


def _lines(content: bytes) -> list[bytes]:
    """The lines, each with its line feed; the last is without one if its writer was killed."""
    return [part + b"\n" for part in content.split(b"\n")[:-1]] + ([last] if (last := content.split(b"\n")[-1]) else [])


WHAT_TO_DO = (
    "restore the file (it may be in version control), or move it aside: a new one is begun, which forgets what was "
    "asked"
)


def _history(path: Path, lines: list[bytes]) -> tuple[History, str]:
    """The entries of these lines, and the hash of the last line. Raises Tampered, with what to do."""
    try:
        return _chained(path, lines)
    except Tampered as error:
        raise Tampered(f"{error}; {WHAT_TO_DO}") from error


def _chained(path: Path, lines: list[bytes]) -> tuple[History, str]:
    known, last = {""}, ""
    entries: dict[str, Entry] = {}
    follows: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        where = f"{path}:{number}"
        if not line.endswith(b"\n"):
            break
        event = event_of_line(line, where)
        sha256 = event["line_sha256"]
        if sha256 in known:  # both sides of a merge had it
            continue
        if event["previous_sha256"] not in known:
            raise Tampered(f"{where}: the line that this line follows is missing: the ledger was changed")
        known.add(sha256)
        follows[sha256] = event["previous_sha256"]
        last = sha256
        _take(entries, sha256, event, where)
    return History(tuple(entries.values()), follows), last


def _take(entries: dict[str, Entry], sha256: str, event: Mapping[str, Any], where: str) -> None:
    """Add what a line says; kinds of a later version are ignored."""
    try:
        match event["event"]:
            case "drawn":
                entries[sha256] = Entry(sha256, read_as(Drawn, event))
            case "decided":
                decided = read_as(Decided, event)
                if decided.of not in entries:
                    raise Tampered(f"{where}: the draw that this line decides is missing: the ledger was changed")
                entries[decided.of] = replace(entries[decided.of], decided=decided)
            case _:
                pass
    except Misfit as misfit:
        raise Tampered(f"{where}: this line is not valid: {misfit}") from misfit
