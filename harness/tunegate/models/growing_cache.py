"""A key-value cache that grows in place: transformers' own copies all keys and values for every new token."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from functools import cache
from typing import Any

ROOM = 64
"""Tokens for which a layer has room before it is copied again."""


def growing_cache(config: Any) -> Any:
    """An empty cache for a model with full attention in every layer."""
    from transformers.cache_utils import DynamicCache

    kept = DynamicCache(config=config)
    kept.layers = [_layer_class()() for _ in kept.layers]
    return kept


def branched(kept: Any, places: Any) -> Any:
    """A new cache with the sequences at `places` of one that stays as it is."""
    new = copy(kept)
    new.layers = [copy(layer) for layer in kept.layers]
    new.reorder_cache(places)
    return new


def joined(config: Any, parts: Sequence[Any], rows: Sequence[Sequence[int]]) -> Any:
    """One cache for the sequences of all `parts`, padded on the left; those of a part become the given `rows`.

    Empties the parts, layer by layer, so that hardly more memory is needed than for one of the two.
    """
    whole = growing_cache(config)
    count, columns = sum(map(len, rows)), max(part.get_seq_length() for part in parts)
    for layer, *old in zip(whole.layers, *(part.layers for part in parts), strict=True):
        layer.lazy_initialization(old[0].keys, old[0].values)
        layer.rooms = tuple(_with_room(states, columns + ROOM, count) for states in (old[0].keys, old[0].values))
        layer.keys, layer.values = (room[..., :columns, :] for room in layer.rooms)
        for part, at in zip(old, rows, strict=True):
            padding = columns - part.get_seq_length()
            for states, used in ((layer.keys, part.keys), (layer.values, part.values)):
                states[list(at), :, :padding] = 0  # masked, but what memory held before may be no number
                states[list(at), :, padding:] = used
            part.reset()
    return whole


@cache
def _layer_class() -> type[Any]:
    from transformers.cache_utils import DynamicLayer

    class GrowingLayer(DynamicLayer):
        """`keys` and `values` are the used parts of `rooms`: tensors of shape (rows, heads, tokens, width)."""

        rooms: tuple[Any, Any] | None = None

        def update(self, key_states: Any, value_states: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
            if not self.is_initialized:
                self.lazy_initialization(key_states, value_states)
            start = self.get_seq_length()
            end = start + key_states.shape[-2]
            if self.rooms is None or end > self.rooms[0].shape[-2]:
                old = (self.keys, self.values)
                self.rooms = _with_room(key_states, end + ROOM), _with_room(value_states, end + ROOM)
                if start:
                    for room, used in zip(self.rooms, old, strict=True):
                        room[..., :start, :] = used
            for room, new in zip(self.rooms, (key_states, value_states), strict=True):
                room[..., start:end, :] = new
            self.keys, self.values = (room[..., :end, :] for room in self.rooms)
            return self.keys, self.values

        def reorder_cache(self, beam_idx: Any) -> None:
            super().reorder_cache(beam_idx)
            self.rooms = None

        def reset(self) -> None:
            super().reset()
            self.rooms = None

    return GrowingLayer


def _with_room(states: Any, tokens: int, rows: int | None = None) -> Any:
    before, heads, _, width = states.shape
    return states.new_empty(rows or before, heads, tokens, width)
