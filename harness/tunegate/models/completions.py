"""Chat completions: from the body of a server's reply to its answer, or to the reason why there is none. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from tunegate.models.finish_reasons import finish_reason_of
from tunegate.models.model import FinishReason


@dataclass(frozen=True, slots=True)
class Completion:
    """The text of a reply; `fault` says why it is not an answer, even if it has a text."""

    text: str = ""
    finish_reason: FinishReason = "unknown"
    n_tokens: int | None = None
    fault: str | None = None
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    """How many tokens of the prompt the server did not compute, since it had them from an earlier request."""


def read_completion(body: str) -> Completion:
    """The first choice in the body of a reply; any other reply gives a fault, never an exception."""
    try:
        reply: Any = json.loads(body.removeprefix("\ufeff"), object_pairs_hook=_once_each)
    except (ValueError, RecursionError):
        return Completion(fault=f"is not a chat completion: {_short(body)}")
    choice, message = _first(reply)
    text = None if message is None else message.get("content")
    kept = text if isinstance(text, str) else ""
    if reason := _field(reply, "error") or choice.get("error"):  # the text so far may be next to it
        return Completion(kept, fault=f"is an error: {_short(reason)}")
    if message is None:
        return Completion(fault=f"is not a chat completion: {_short(body)}")
    finish_reason = finish_reason_of(choice.get("finish_reason"))
    for name, what in (("refusal", "a refusal"), ("tool_calls", "a tool call"), ("function_call", "a tool call")):
        if message.get(name):
            return Completion(kept, fault=f"is {what}: {_short(message[name])}")
    if finish_reason is None:
        return Completion(kept, fault=f"ended with finish_reason {_short(choice.get('finish_reason'))}")
    if not isinstance(text, str):
        return Completion(fault=f"has no text (finish_reason {_short(choice.get('finish_reason'))})")
    usage = _field(reply, "usage")
    return Completion(
        text,
        finish_reason,
        count_of(_field(usage, "completion_tokens")),
        prompt_tokens=count_of(_field(usage, "prompt_tokens")),
        cached_tokens=count_of(_field(_field(usage, "prompt_tokens_details"), "cached_tokens")),
    )


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; raises ValueError for a duplicated name, since it is unclear which of the two values counts."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("duplicated name")
    return found


def _first(reply: Any) -> tuple[Mapping[str, Any], Mapping[str, Any] | None]:
    """The first choice of a reply, and its message; the message is None if either is missing."""
    choices = _field(reply, "choices")
    choice = _object(cast(list[Any], choices)[0] if isinstance(choices, list) and choices else None)
    message = choice.get("message")
    return choice, _object(message) if isinstance(message, dict) else None


def _object(value: Any) -> Mapping[str, Any]:
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}


def _field(value: Any, name: str) -> Any:
    return _object(value).get(name)


def count_of(value: Any) -> int | None:
    """A number of tokens that a server tells; None for anything that cannot be one.

    >>> count_of(12), count_of(True), count_of(10**400)
    (12, None, None)
    """
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31 else None


def _short(value: Any) -> str:
    """One short line."""
    return repr(" ".join(value.split())[:200] if isinstance(value, str) else value)[:200]
