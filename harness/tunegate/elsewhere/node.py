"""A value of another tool's JSON file, with its place, so that an error names file, line, key, and what to do."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from tunegate.cases.case import Prompt
from tunegate.exceptions import ConfigError
from tunegate.reading.chats import Message, chat_of, is_chat
from tunegate.reading.yaml_file import KeyPath, dotted

KINDS: dict[type, str] = {
    dict: "an object",
    list: "a list",
    str: "a text",
    bool: "true or false",
    int: "a number",
    float: "a number",
    type(None): "null",
}


@dataclass(frozen=True, slots=True)
class Node:
    """A JSON value, its place (`results.jsonl:3`), the tool that wrote the file, and the keys that lead to the value.

    Example:
        >>> row = Node({"doc": {"q": "2+2?"}}, "samples.jsonl:1", "lm-eval")
        >>> row["doc"]["q"].text
        '2+2?'
        >>> row["doc"]["a"].text
        Traceback (most recent call last):
        tunegate.exceptions.ConfigError: samples.jsonl:1: doc.a: the key is missing; is the file complete, ...
    """

    value: Any
    place: str
    tool: str
    keys: KeyPath = ()

    def error(self, fault: str) -> ConfigError:
        """The error that names the file, the line and the key."""
        keys = f"{dotted(self.keys)}: " if self.keys else ""
        return ConfigError(
            f"{self.place}: {keys}{fault}; is the file complete, and did {self.tool} write it? {_REMEDY}"
        )

    def __getitem__(self, key: str | int) -> Node:
        """The value under a key that must be there."""
        found = self._find(key)
        if found is None:
            raise Node(None, self.place, self.tool, (*self.keys, key)).error("the key is missing")
        return found

    def get(self, key: str | int) -> Node | None:
        """The value under a key; None if the key is missing or null."""
        found = self._find(key)
        return None if found is None or found.value is None else found

    def _find(self, key: str | int) -> Node | None:
        if isinstance(key, int):
            held = self._expect(list)
            return self._at(key, held[key]) if key < len(held) else None
        held = self._expect(dict)
        return self._at(key, held[key]) if key in held else None

    def _at(self, key: str | int, value: Any) -> Node:
        return Node(value, self.place, self.tool, (*self.keys, key))

    def _expect(self, kind: type) -> Any:
        if not isinstance(self.value, kind):
            raise self.error(f"{KINDS[kind]} was expected, got {kind_of(self.value)}")
        return self.value

    @property
    def items(self) -> list[Node]:
        """The items of a list."""
        return [self._at(place, one) for place, one in enumerate(cast("Sequence[Any]", self._expect(list)))]

    @property
    def pairs(self) -> dict[str, Node]:
        """The values of an object by key."""
        return {str(key): self._at(str(key), one) for key, one in cast("Mapping[Any, Any]", self._expect(dict)).items()}

    @property
    def text(self) -> str:
        """The value, which must be a text."""
        return self._expect(str)

    @property
    def written(self) -> str:
        """The value as text; it must be a text or a number."""
        if isinstance(self.value, bool) or not isinstance(self.value, int | float):
            return self.text
        return str(self.value)

    @property
    def number(self) -> float:
        """The value as a number; it may be a text that is a number, because some tools write numbers as text."""
        try:
            if isinstance(self.value, str | int | float) and not isinstance(self.value, bool):
                return float(self.value)
        except (ValueError, OverflowError):
            pass
        raise self.error(f"a number was expected, got {_shown(self.value)}")

    @property
    def texts(self) -> tuple[str, ...]:
        """The value as texts: one text or number, or a list of them."""
        if isinstance(self.value, list):
            return tuple(one.written for one in self.items)
        return (self.written,)

    @property
    def chat(self) -> tuple[Message, ...]:
        """The value as the messages of a chat."""
        try:
            return chat_of(self.value, dotted(self.keys))
        except ConfigError as error:
            raise ConfigError(f"{self.place}: {error}") from error

    @property
    def prompt(self) -> Prompt:
        """The value as a prompt: a text, or a chat; a chat may also be a JSON text, as some tools log chat requests."""
        if self.is_list:
            only = self.items[0] if len(self.items) == 1 else None
            return only.prompt if only is not None and only.is_text else self.chat
        if not _JSON_CHAT.match(self.text):
            return self.text
        try:
            value: Any = json.loads(self.text)
        except (ValueError, RecursionError):
            return self.text
        return Node(value, self.place, self.tool, self.keys).chat if is_chat(value) else self.text

    @property
    def is_list(self) -> bool:
        return isinstance(self.value, list)

    @property
    def is_text(self) -> bool:
        return isinstance(self.value, str)


_JSON_CHAT = re.compile(r"\s*\[\s*\{")
_REMEDY = 'Write it again, or give rows {"id", "response"} of your own'


def kind_of(value: object) -> str:
    """What a JSON value is, in words."""
    return KINDS.get(type(value), "something else")


def score_of(value: object) -> float | None:
    """A score as a number: true is 1, false is 0; None for anything that is not a finite number."""
    if not isinstance(value, bool | int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def leaves(node: Node, prefix: str = "") -> Iterator[tuple[str, object]]:
    """The values in nested objects, by dotted name."""
    for key, one in node.pairs.items():
        if isinstance(one.value, dict):
            yield from leaves(one, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", one.value


def _shown(value: object) -> str:
    return f"{value!r:.40}" if isinstance(value, str) else kind_of(value)
