"""Records edited by somebody who recomputes the chain of hashes: random edits, and those that were tried before."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tunegate.record.event_log import EventLog, read_events

Events = list[dict[str, Any]]
VALUES: list[Any] = [
    *(None, True, False, 0, -1, 1, 2**70, 10**400, -0.0, 0.5, 1e300, "", " ", "0", "1e999", "PASS", "FAIL", "INVALID"),
    *("nan", "confirm", "retention", "sft", "/etc/passwd", "~nobody/x", "http://127.0.0.1:1/v1#m", "2026-02-30"),
    *("\ud800", "facts", [], [[]], [None], ["exact"] * 3, {}, {"a": 1}, {"path": "cases.jsonl"}, [0.2], [0.1, "b"]),
]


def events_of(folder: Path) -> Events:
    """The events of a record, without what seals them."""
    return [{k: v for k, v in event.items() if k not in SEALS} for event in read_events(folder)]


SEALS = ("previous_sha256", "line_sha256", "time")


def write(folder: Path, events: Events) -> None:
    """A record of these events, under a chain of hashes that is whole."""
    with EventLog.open(folder) as log:
        for event in events:
            log.append(event, durable=False)


def set_at(events: Events, kind: str, path: str, value: Any) -> bool:
    """Put a value in the first event of a kind that has such a place; False where none has."""
    for event in events:
        if event["event"] == kind:
            *way, last = path.split(".")
            place: Any = event
            for step in way:
                place = place[int(step)] if isinstance(place, list) else place.get(step)
            if isinstance(place, list) and int(last) < len(place):
                place[int(last)] = value
                return True
            if isinstance(place, dict):
                place[last] = value
                return True
    return False


def edited(events: Events, rng: random.Random) -> Events:
    """The events after one to three random edits."""
    events = json.loads(json.dumps(events))
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        rng.choice(EDITS)(events, rng)
    return events


def _drop(events: Events, rng: random.Random) -> None:
    del events[rng.randrange(len(events))]


def _double(events: Events, rng: random.Random) -> None:
    events.insert(rng.randrange(len(events) + 1), dict(rng.choice(events)))


def _move(events: Events, rng: random.Random) -> None:
    events.insert(rng.randrange(len(events)), events.pop(rng.randrange(len(events))))


def _change(events: Events, rng: random.Random) -> None:
    place, key = _place(events, rng)
    place[key] = rng.choice(VALUES)


def _delete(events: Events, rng: random.Random) -> None:
    place, key = _place(events, rng)
    del place[key]


def _swap(events: Events, rng: random.Random) -> None:
    (one, a), (other, b) = _place(events, rng), _place(events, rng)
    one[a], other[b] = json.loads(json.dumps([other[b], one[a]]))


def _place(events: Events, rng: random.Random) -> tuple[Any, Any]:
    """A place in an event: of a kind drawn first, for most events are of two kinds."""
    kind = rng.choice(sorted({str(event.get("event")) for event in events}))
    event = rng.choice([event for event in events if str(event.get("event")) == kind])
    places = [(holder, key) for holder, key in _places(event) if not (holder is event and key == "event")]
    return rng.choice(places) if places else (event, "nothing")


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in list(items):
        yield value, key
        yield from _places(item)


EDITS: list[Callable[[Events, random.Random], None]] = [
    _drop,
    _double,
    _move,
    _change,
    _change,
    _change,
    _delete,
    _swap,
]
