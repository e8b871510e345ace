"""Immutable JSON values: a record is evidence.

They are still dicts and lists, so that they compare, print and serialise as those do.
"""

from __future__ import annotations

from types import NoneType
from typing import Any, NoReturn, Self, TypeVar, cast

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")


def _refuse(*_: object, **__: object) -> NoReturn:
    raise TypeError("a record cannot be changed; make a copy with dict(...) or list(...)")


class FrozenDict(dict[K, V]):
    """An immutable dict."""

    __setitem__ = __delitem__ = __ior__ = _refuse  # pyright: ignore[reportAssignmentType]
    clear = pop = popitem = setdefault = update = _refuse  # pyright: ignore[reportAssignmentType]

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (dict(self),)


class FrozenList(list[T]):
    """An immutable list."""

    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse  # pyright: ignore[reportAssignmentType]
    append = clear = extend = insert = pop = remove = reverse = sort = _refuse  # pyright: ignore[reportAssignmentType]

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (list(self),)


_FROZEN = (str, int, float, NoneType, FrozenDict, FrozenList)


def frozen(value: Any) -> Any:
    """The same JSON value, immutable at every level.

    >>> frozen({"a": [1]}) == {"a": [1]}
    True
    """
    if isinstance(value, _FROZEN):
        return value  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, dict):
        items = cast("dict[Any, Any]", value)
        return FrozenDict({key: frozen(item) for key, item in items.items()})
    if isinstance(value, list | tuple):
        return FrozenList([frozen(item) for item in value])  # pyright: ignore[reportUnknownVariableType]
    return value
