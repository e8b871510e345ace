"""What every event of a record is: a value that gives the line that the log writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

from tunegate.models.timing import Measured
from tunegate.record.draw_facts import LedgerPlace
from tunegate.stats.noise import Noise

Json = Mapping[str, Any]
Unread = Mapping[str, object]
"""An object whose values are read by whoever takes the event, with the types of what it describes."""

ONLY_IF_GIVEN = {"only if given": True}
"""Marks a field that is not written when it has its default value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An event of a run."""

    KIND: ClassVar[str] = ""

    def to_json(self) -> dict[str, Any]:
        """The event as a JSON object, its kind first."""
        values = {
            one.name: asdict(value) if isinstance(value, LedgerPlace | Noise | Measured) else value
            for one in fields(self)
            if (value := getattr(self, one.name)) != one.default or not one.metadata
        }
        return {"event": self.KIND, **values}


@dataclass(frozen=True, slots=True)
class Unknown(Event):
    """An event of a later version."""
