"""The opinion of any kind of judge on an answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from tunegate.checks.check import Sample
from tunegate.models.model import OpenJudge
from tunegate.reading.chats import Message


@dataclass(frozen=True, slots=True)
class Opinion:
    """The result of a judge: a label of the menu, or the reason why there is none.

    `raw` is kept for auditors; `object` is the JSON object from which a server's verdict was read.
    `place` is the place, `first` or `second`, that the judge preferred in both orders.
    """

    label: str | None
    reason: str
    raw: str | None = None
    object: str = ""
    place: str | None = None


class Asker(Protocol):
    """An LLM that answers questions with labels of a menu; one opinion per question, in order. `open_judge` opens a
    local one outside this process."""

    def ask(
        self, questions: Sequence[tuple[Message, ...]], open_judge: OpenJudge | None = None, /
    ) -> list[Opinion]: ...


class Backend(Protocol):
    """Anything that gives opinions on samples; one per sample, in order."""

    def opinions(self, samples: Sequence[Sample]) -> list[Opinion]: ...
