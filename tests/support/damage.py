"""Damage to JSON values: another value at any place, or a key that is gone."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.just("attachment://x"),
    st.lists(st.one_of(st.none(), st.integers(), st.text(max_size=3)), max_size=3),
    st.dictionaries(st.text(max_size=5), st.one_of(st.none(), st.text(max_size=3)), max_size=2),
)


def places(value: Any, keys: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to all values in a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [keys, *(place for key, one in inner for place in places(one, (*keys, key)))]


def with_value(value: Any, keys: tuple[Any, ...], new: Any, *, drop: bool) -> Any:
    if not keys:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    if drop and len(keys) == 1:
        del copy[keys[0]]
    else:
        copy[keys[0]] = with_value(value[keys[0]], keys[1:], new, drop=drop)
    return copy
