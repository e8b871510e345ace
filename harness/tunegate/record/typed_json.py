"""Reads JSON values into dataclasses, driven by the annotations of their fields: one reader for all kinds of event.

A value of the wrong type is a `Misfit`, with the path to it. Keys that the dataclass does not know are ignored: a
later version may write them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache
from sys import intern
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints, is_typeddict

from tunegate.record.frozen import FrozenDict, frozen

T = TypeVar("T")
Read = Callable[[Any], Any]


class Misfit(ValueError):
    """A value of the wrong type."""

    def __init__(self, path: str, expected: str, value: object) -> None:
        super().__init__(path, expected, value)
        self.path, self.expected, self.value = path, expected, value

    def __str__(self) -> str:
        got = "but the key is missing" if self.value is MISSING else f"got {self.value!r:.80}"
        return f"{self.path or 'value'}: expected {self.expected}, {got}"

    def within(self, step: object) -> Misfit:
        """The same error, with `step` put before its path."""
        return Misfit(f"{step}.{self.path}" if self.path else str(step), self.expected, self.value)


def read_as(kind: type[T], data: object) -> T:
    """The dataclass instance that a JSON object describes; raises Misfit.

    >>> from tunegate.checks.outcome import ErrorSpan
    >>> read_as(ErrorSpan, {"category": "empty"}).start
    0
    >>> read_as(ErrorSpan, {"category": "empty", "start": "0"})
    Traceback (most recent call last):
    tunegate.record.typed_json.Misfit: start: expected int, got '0'
    """
    return _reader(kind)(data)


@cache
def _reader(hint: Any) -> Read:
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return frozen
    if origin in (Union, UnionType):
        return _union(arguments)
    if origin is Literal:
        return _checked(lambda value: isinstance(value, str) and value in arguments, f"one of {', '.join(arguments)}")
    if origin is tuple:
        return _row(arguments[0]) if arguments[1:] == (...,) else _fixed(arguments)
    if origin is Sequence:
        return _row(arguments[0])
    if origin is not None and issubclass(origin, Mapping):
        return _mapping(arguments[1])
    if is_typeddict(hint):
        return _object(FrozenDict, {name: (_reader(one), True) for name, one in get_type_hints(hint).items()})
    if is_dataclass(hint):
        hints = get_type_hints(hint)
        needed = {one.name: one.default is MISSING and one.default_factory is MISSING for one in fields(hint)}
        return _object(_by_name(hint), {name: (_reader(hints[name]), must) for name, must in needed.items()})
    if issubclass(hint, Enum):
        return _member(hint)
    return _PLAIN[hint]


def _checked(fits: Callable[[Any], bool], expected: str) -> Read:
    def read(value: Any) -> Any:
        if not fits(value):
            raise Misfit("", expected, value)
        return value

    return read


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < math.inf


def _text(value: Any) -> Any:
    """The text. Short ones, such as names of checks, recur in each outcome: as one object, not as thousands."""
    if not isinstance(value, str):
        raise Misfit("", "text", value)
    return intern(value) if len(value) <= SHORT and type(value) is str else value


SHORT = 40


_PLAIN: Mapping[type, Read] = {
    str: _text,
    bool: _checked(lambda value: isinstance(value, bool), "true or false"),
    int: _checked(lambda value: isinstance(value, int) and not isinstance(value, bool), "a whole number"),
    float: _checked(_is_number, "a number"),
    NoneType: _checked(lambda value: value is None, "null"),
    object: lambda value: value,
}
"""`object` is left to whoever takes the value, and is not frozen."""


def _member(kind: type[Enum]) -> Read:
    members = {member.value: member for member in kind}

    def read(value: Any) -> Any:
        if not isinstance(value, str) or value not in members:
            raise Misfit("", f"one of {', '.join(map(str, members))}", value)
        return members[value]

    return read


def _union(kinds: tuple[Any, ...]) -> Read:
    readers = [_reader(kind) for kind in kinds]
    as_they_are = {kind for kind in kinds if kind in (str, bool, int, NoneType)}

    def read(value: Any) -> Any:
        if type(value) in as_they_are:
            return value
        misfits: list[Misfit] = []
        for one in readers:
            try:
                return one(value)
            except Misfit as misfit:
                misfits.append(misfit)
        deep = [misfit for misfit in misfits if misfit.path]
        raise deep[0] if deep else Misfit("", " or ".join(misfit.expected for misfit in misfits), value)

    return read


def _row(kind: Any) -> Read:
    item = _reader(kind)

    def read(value: Any) -> Any:
        _expect(value, list, "a list")
        items: list[Any] = []
        try:
            for one in value:
                items.append(item(one))
        except Misfit as misfit:
            raise misfit.within(len(items)) from None
        return tuple(items)

    return read


def _fixed(kinds: tuple[Any, ...]) -> Read:
    parts = _object(
        lambda found: tuple(found.values()), {str(n): (_reader(kind), True) for n, kind in enumerate(kinds)}
    )

    def read(value: Any) -> Any:
        _expect(value, list, f"a list of {len(kinds)}")
        if len(value) != len(kinds):
            raise Misfit("", f"a list of {len(kinds)}", value)
        return parts({str(number): item for number, item in enumerate(value)})

    return read


def _mapping(kind: Any) -> Read:
    item = _reader(kind)

    def read(value: Any) -> Any:
        _expect(value, dict, "an object")
        if kind is object:
            return FrozenDict(value)
        key = ""
        items: dict[str, Any] = {}
        try:
            for key, one in value.items():
                items[key] = item(one)
        except Misfit as misfit:
            raise misfit.within(key) from None
        return FrozenDict(items)

    return read


def _object(make: Callable[[dict[str, Any]], Any], parts: Mapping[str, tuple[Read, bool]]) -> Read:
    steps = [(name, part, must) for name, (part, must) in parts.items()]

    def read(value: Any) -> Any:
        _expect(value, dict, "an object")
        name = ""
        found: dict[str, Any] = {}
        try:
            for name, part, must in steps:
                if (given := value.get(name, MISSING)) is not MISSING:
                    found[name] = part(given)
                elif must:
                    raise Misfit("", "a value", MISSING)
        except Misfit as misfit:
            raise misfit.within(name) from None
        return make(found)

    return read


def _by_name(kind: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda found: kind(**found)


def _expect(value: Any, kind: type, expected: str) -> None:
    if not isinstance(value, kind):
        raise Misfit("", expected, value)


def as_recorded(value: object) -> Any:
    """A value as in a record: JSON has no tuples, and a number that is not finite is a text.

    >>> as_recorded((1, 2)), as_recorded(float("nan"))
    ([1, 2], 'nan')
    """
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return json.loads(json.dumps(value))
