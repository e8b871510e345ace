"""What a judge says of an answer, whatever kind of judge it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from tunegate.checks.check import Sample
from tunegate.reading.chats import Message


@dataclass(frozen=True, slots=True)
class Opinion:
    """What a judge said: a label of the menu, or why there is none.

    `raw` is kept for auditors; `object` is the JSON object alone that a server's verdict was read from.
    `place` is the place, `first` or `second`, that the judge preferred whichever answer was there.
    """

    label: str | None
    reason: str
    raw: str | None = None
    object: str = ""
    place: str | None = None


class Asker(Protocol):
    """An LLM that answers questions with labels of a menu; one opinion per question, in order."""

    def ask(self, questions: Sequence[tuple[Message, ...]]) -> list[Opinion]: ...


class Backend(Protocol):
    """Whatever forms opinions on samples; one per sample, in order."""

    def opinions(self, samples: Sequence[Sample]) -> list[Opinion]: ...
