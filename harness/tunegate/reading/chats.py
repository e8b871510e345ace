"""Reads chats into messages: OpenAI's and TRL's `{role, content}`, ShareGPT's `{from, value}`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict, cast

from tunegate.exceptions import ConfigError, nearest
from tunegate.reading.cells import Cell, unfolded
from tunegate.reading.templates import as_text

Role = Literal["system", "user", "assistant"]


class Message(TypedDict):
    """One turn of a chat."""

    role: Role
    content: str


ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "model": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "ai": "assistant",
    "prompter": "user",
}
"""The names that files use for the speaker's role."""
TOOLS = ("tool", "function", "tool_calls", "function_call", "observation")
"""Roles and keys of turns that use tools."""
TEXT_PARTS = ("text", "input_text", "output_text")
"""The kinds of content part that are text."""


def is_chat(value: object) -> bool:
    """Whether a value is a list of turns; for a CSV cell, whether its text contains such a list."""
    items = [] if isinstance(value, str) and not isinstance(value, Cell) else _turns(value)
    return bool(items) and all(isinstance(turn, Mapping) and {"role", "from"} & turn.keys() for turn in items)


def chat_of(value: object, field: str) -> tuple[Message, ...]:
    """The messages of a chat. Content parts are joined by line breaks, and `developer` means `system`.

    A text may contain the list as JSON. Raises ConfigError for a value that is not a chat, for content parts that are
    not text, and for turns that use tools, since models cannot be given those yet.
    """
    turns = _turns(value)
    if not turns:
        got = "nothing" if value is None else "none" if isinstance(value, list | tuple) else f"a {type(value).__name__}"
        raise ConfigError(f"{field}: a list of chat messages was expected, got {got}")
    return tuple(_message(turn, field) for turn in turns)


def without_answer(messages: tuple[Message, ...], field: str = "messages") -> tuple[tuple[Message, ...], str | None]:
    """The question of a chat, and the answer at its end; None if the last turn is not the assistant's."""
    if messages[-1]["role"] != "assistant":
        return messages, None
    if len(messages) == 1:
        raise ConfigError(f"{field}: the chat has only an answer; add the question before it")
    if messages[-2]["role"] == "assistant":
        raise ConfigError(f"{field}: the chat ends with two assistant turns; join them or remove one")
    return messages[:-1], messages[-1]["content"]


def _turns(value: object) -> list[Any]:
    if isinstance(value, str):
        value = unfolded(value)
    return list(cast("Sequence[Any]", value)) if isinstance(value, list | tuple) else []


def _message(turn: Any, field: str) -> Message:
    if not isinstance(turn, Mapping):
        raise _no_message(turn, field)
    filled = {key: value for key, value in cast("Mapping[str, Any]", turn).items() if value not in (None, [], {})}
    name = filled.get("role", filled.get("from"))
    used = next((word for word in TOOLS if word == name or word in filled), None)
    if used is not None:
        raise ConfigError(
            f"{field}: a turn uses tools ({used}), but models cannot be given tools yet; leave out such rows, for "
            "example "
            "with `where:`, or write the turn as text"
        )
    role = ROLES.get(name.strip().casefold()) if isinstance(name, str) else None
    content = next((filled[key] for key in ("content", "value", "text") if key in filled), None)
    if role is None or content is None:
        raise _no_message(turn, field)
    return Message(role=role, content=_content(content, field))


def _no_message(turn: Any, field: str) -> ConfigError:
    role: object = turn.get("role") if isinstance(turn, Mapping) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    hint = nearest(role, ROLES) if isinstance(role, str) and role not in ROLES else ""
    return ConfigError(
        f"{field}: a message {{role: system|user|assistant, content: text}} was expected, got {_shown(turn)}{hint}"
    )


def _shown(turn: Any) -> str:
    return str(turn)[:80]


def _content(content: Any, field: str) -> str:
    if not isinstance(content, list | tuple):
        return as_text(content, f"{field}.content")
    return "\n".join(_part(part, field) for part in cast("Sequence[Any]", content))


def _part(part: Any, field: str) -> str:
    if not isinstance(part, Mapping):
        return as_text(part, f"{field}.content")
    fields = cast("Mapping[str, Any]", part)
    if fields.get("type", "text") not in TEXT_PARTS:
        raise ConfigError(
            f"{field}: a message has a part of type {fields.get('type')!r}, but models are only given text; leave "
            "out such "
            "rows"
        )
    return as_text(fields.get("text"), f"{field}.content.text")
