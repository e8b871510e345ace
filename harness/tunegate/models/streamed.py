"""A chat completion that arrives token by token (server-sent events): when the first came, and the reply as a whole."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, cast

ON_CHUNK: ContextVar[Callable[[bytes], None] | None] = ContextVar("ON_CHUNK", default=None)
"""Hears each part of a reply's body when it arrives."""
STREAM = {"stream": True, "stream_options": {"include_usage": True}}
"""The fields of a request for a stream, and for the number of its tokens at its end."""


@dataclass
class FirstToken:
    """Notes when the first text of a stream arrives; `at` stays None if there is none."""

    clock: Callable[[], float]
    at: float | None = None
    _open: bytes = field(default=b"", repr=False)

    def hear(self, chunk: bytes) -> None:
        """Take a part of the body; an event that is split between parts counts when its last part arrives."""
        if self.at is not None:
            return
        now = self.clock()
        *lines, self._open = (self._open + chunk).split(b"\n")
        if any(_text_of(event) for event in _events(b"\n".join(lines))):
            self.at = now


def whole_reply(body: str) -> str:
    """The body of a stream as the body of a plain reply; any other body as it is.

    >>> whole_reply('data: {"choices": [{"delta": {"content": "Hi"}}]}')
    '{"choices": [{"message": {"content": "Hi"}, "finish_reason": null}], "usage": null}'
    """
    if not body.lstrip().startswith(("data:", "event:", ":")):
        return body
    events = list(_events(body.encode()))
    if error := next((event for event in events if event.get("error")), None):
        return json.dumps(error)
    ends = [choice["finish_reason"] for event in events for choice in _choices(event) if choice.get("finish_reason")]
    usage = next((event["usage"] for event in reversed(events) if event.get("usage")), None)
    message = {"content": "".join(_content(event) for event in events)}
    choice = {"message": message, "finish_reason": ends[-1] if ends else None}
    return json.dumps({"choices": [choice], "usage": usage})


def _events(body: bytes) -> Iterator[dict[str, Any]]:
    for line in body.splitlines():
        if line.startswith(b"data:"):
            try:
                event: Any = json.loads(line[5:])
            except (ValueError, RecursionError):  # `[DONE]`, or not an event
                continue
            if isinstance(event, dict):
                yield cast("dict[str, Any]", event)


def _choices(event: dict[str, Any]) -> list[dict[str, Any]]:
    choices = event.get("choices")
    rows = cast("list[Any]", choices)[:1] if isinstance(choices, list) else []
    return [cast("dict[str, Any]", one) for one in rows if isinstance(one, dict)]


def _content(event: dict[str, Any], *names: str) -> str:
    deltas = [choice.get("delta") for choice in _choices(event)]
    texts = [
        cast("dict[str, Any]", one).get(name)
        for one in deltas
        if isinstance(one, dict)
        for name in names or ("content",)
    ]
    return "".join(text for text in texts if isinstance(text, str))


def _text_of(event: dict[str, Any]) -> str:
    """The new text of an event, reasoning included: the user waits for either."""
    return _content(event, "content", "reasoning_content", "reasoning")
