"""The aliases of a registry: names such as `production` that point to a model or an export, and their history.

    aliases/production.json   {"alias", "sha256", "attestation_sha256"}, replaced in one step; for an export, the hash
                              is that of its `export.json`
    aliases/events.jsonl      who moved which alias when, from where, where to, and why; chained by hashes

A pointer contains its own name and the hash of the attestation it was set on, so a pointer that is copied to another
name, or an attestation that is replaced, is detected. A pointer that differs from the last move in the history is
detected too. The history is also the lock: if two promotions run at the same time, one succeeds, and the other ends
with an error.
"""

from __future__ import annotations

import getpass
import os
import re
import socket
from collections.abc import Container, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from tunegate.exceptions import CannotJudge, ConfigError, Tampered
from tunegate.hashes import sha256_of
from tunegate.promotion.entry import ATTESTATION, as_json, read_json
from tunegate.record.event_log import EVENTS, EventLog, read_events
from tunegate.whole_files import replace_file

ALIAS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
SHA256 = re.compile(r"[0-9a-f]{64}")
BEGUN, DONE = "alias_moving", "alias_moved"
EXPORTS, EXPORT = "exports", "export.json"
"""The folder of a registry with the exports (`exports.py`), and the record of each."""


@dataclass(frozen=True, slots=True)
class Move:
    """A move of an alias. `before` is the model that it pointed to, None for a new alias; `run` is the promoted run."""

    alias: str
    sha256: str
    before: str | None
    attestation_sha256: str
    who: str
    why: str
    run: str
    time: str


def alias_in(name: str) -> str:
    """The name of an alias; raises ConfigError for anything else."""
    if not ALIAS.fullmatch(name):
        raise ConfigError(
            f"alias {name!r}: expected letters, digits, '.', '_' and '-', beginning with a letter or a digit"
        )
    return name


# --- moving --------------------------------------------------------------------------------------------------------


@contextmanager
def moving(registry: Path) -> Generator[EventLog]:
    """The locked history of a registry. Raises CannotJudge if another process is moving aliases, OSError."""
    (registry / "aliases").mkdir(parents=True, exist_ok=True)
    try:
        log = EventLog.open(registry / "aliases")
    except ConfigError as error:
        raise CannotJudge(
            f"{registry}: another promotion is under way, and this one changed nothing; run the command again later"
        ) from error
    with log:
        yield log


def move(log: EventLog, registry: Path, alias: str, sha256: str, *, why: str, run: str) -> bool:
    """Point an alias to a model of the registry, and record who did it and why; returns whether it moved.

    The intention is recorded first: if the process is killed, the old alias remains valid.
    """
    path = pointer_file(alias, registry)
    pointer = {"alias": alias, "sha256": sha256, "attestation_sha256": sha256_of(evidence_file(registry, sha256))}
    if path.is_file() and path.read_bytes() == as_json(pointer):
        return False
    facts = {**pointer, "before": _target_before(path), "who": who(), "why": why, "run": run}
    log.append({"event": BEGUN, **facts})
    replace_file(path, as_json(pointer))
    log.append({"event": DONE, **facts})
    return True


def _target_before(path: Path) -> str | None:
    try:
        return _read_pointer(path)["sha256"] if path.is_file() else None
    except Tampered:  # this promotion sets it again
        return None


def who() -> str:
    """Who runs this command: the actor of a GitHub or GitLab job, otherwise user and machine, such as `ada@build-7`."""
    actor = os.environ.get("GITHUB_ACTOR") or os.environ.get("GITLAB_USER_LOGIN")
    if actor:
        return actor
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):
        user = str(os.getuid()) if hasattr(os, "getuid") else "unknown"
    return f"{user}@{socket.gethostname()}"


# --- reading -------------------------------------------------------------------------------------------------------


def history(registry: Path, alias: str | None = None) -> list[Move]:
    """The moves of one alias or of all, the oldest first; empty for a registry that an older Tunegate wrote.

    Raises Tampered if the chain of hashes is broken.
    """
    return [_move(event) for event in _events(registry) if event["event"] == DONE and alias in (None, event["alias"])]


def _events(registry: Path) -> list[dict[str, Any]]:
    folder = registry / "aliases"
    return list(read_events(folder)) if (folder / EVENTS).exists() else []


def _move(event: dict[str, Any]) -> Move:
    try:
        return Move(**{name: event[name] for name in Move.__dataclass_fields__})
    except KeyError as error:
        raise Tampered(f"a move of the alias {event.get('alias')!r} has no {error.args[0]!r} on record") from error


def pointer_file(alias: str, registry: Path) -> Path:
    """The file of an alias."""
    return registry / "aliases" / f"{alias}.json"


def pointers(registry: Path) -> list[Path]:
    """The files of all aliases."""
    return sorted((registry / "aliases").glob("*.json"))


def target_of(alias: str, registry: Path) -> str:
    """The model that an alias points to. Raises Tampered for a pointer that no promotion wrote."""
    path = pointer_file(alias, registry)
    pointer = _read_pointer(path)
    _check_pin(pointer, path, _events(registry))
    return pointer["sha256"]


def targets(registry: Path, of: Container[str] | None = None, *, strict: bool = True) -> dict[str, str]:
    """The models that the aliases point to, by alias; `of`: only the aliases of these models.

    The history, which grows with every move, is read once for all aliases. An invalid pointer raises Tampered if
    `strict`, otherwise it is left out.
    """
    events = cache(lambda: _events(registry))
    found: dict[str, str] = {}
    for path in pointers(registry):
        try:
            pointer = _read_pointer(path)
            if of is None or pointer["sha256"] in of:
                _check_pin(pointer, path, events())
                found[pointer["alias"]] = pointer["sha256"]
        except Tampered:
            if strict:
                raise
    return found


def aliases_of(sha256: str, registry: Path, *, strict: bool) -> tuple[str, ...]:
    """The aliases that point to a model; an invalid pointer raises Tampered if `strict`, otherwise it is ignored."""
    return tuple(targets(registry, (sha256,), strict=strict))


def state_of(alias: str, sha256: str, registry: Path) -> Literal["there", "gone", "replaced"]:
    """The state of the promotion of a model to an alias; does not check the bytes, as `verify` does.

    `gone`: the alias or the model is no longer in the registry. `replaced`: the alias points to another model.
    """
    path = pointer_file(alias, registry)
    if not path.is_file():
        return "gone"
    pointer = _read_pointer(path)
    if pointer["sha256"] != sha256:
        return "replaced"
    if not (registry / "models" / sha256).exists():
        return "gone"
    _check_pin(pointer, path, _events(registry))
    return "there"


def _read_pointer(path: Path) -> dict[str, str]:
    """The content of an alias file; raises Tampered unless it is a pointer that was written under this name."""
    pointer = read_json(path)
    if pointer.keys() != {"alias", "sha256", "attestation_sha256"} or not SHA256.fullmatch(str(pointer["sha256"])):
        raise Tampered(f"{path}: not a pointer that `tunegate promote` wrote; promote to this alias again")
    if pointer["alias"] != path.stem:
        raise Tampered(
            f"{path}: this is the pointer of the alias {pointer['alias']!r}, copied to another name; remove it, or "
            f"promote to {path.stem}"
        )
    return pointer


def _check_pin(pointer: dict[str, str], path: Path, events: Sequence[dict[str, Any]]) -> None:
    """Raise Tampered unless the alias's model is in the registry with the attestation that the alias was set on, and
    `events`, its history, has the move to it."""
    registry = path.parent.parent
    attestation = evidence_file(registry, pointer["sha256"])
    if not attestation.is_file():
        raise Tampered(
            f"{path}: points to {pointer['sha256']}, but the registry has no such model with an attestation; promote "
            "to this alias again"
        )
    if sha256_of(attestation) != pointer["attestation_sha256"]:
        raise Tampered(f"{path}: {attestation} changed after this alias was set; restore that file")
    moves = [event for event in events if event.get("alias") == pointer["alias"]]
    last = [event["sha256"] for event in moves if event["event"] == DONE][-1:]
    begun = [moves[-1]["sha256"]] if moves and moves[-1]["event"] == BEGUN else []
    if (last or begun) and pointer["sha256"] not in (*last, *begun):
        raise Tampered(
            f"{path}: points to {pointer['sha256'][:12]}…, but the history last moved it to "
            f"{(last or begun)[0][:12]}…; promote to this alias again"
        )


def is_export_entry(registry: Path, sha256: str) -> bool:
    """Whether a fingerprint is in a registry as an export alone; the same bytes as a model are the model."""
    return not (registry / "models" / sha256).exists() and (registry / EXPORTS / sha256 / EXPORT).is_file()


def evidence_file(registry: Path, sha256: str) -> Path:
    """The file that a pointer pins: the attestation of a model, or the record of an export."""
    if is_export_entry(registry, sha256):
        return registry / EXPORTS / sha256 / EXPORT
    return registry / "models" / sha256 / ATTESTATION
