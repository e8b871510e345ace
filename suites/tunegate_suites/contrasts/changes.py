"""The changes of rules: from a row to a changed row, or None if a change does not apply. Pure.

Random choices depend only on the seed, the rule and the case, so that a case is changed in the same way in any bank.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from tunegate.reading.rows import Row
from tunegate.reading.templates import as_text, fill, look_up
from tunegate.text.words import words as words_of
from tunegate_suites.contrasts.rules import (
    CasingSpec,
    ChangeSpec,
    InsertSpec,
    KeepSpec,
    ReorderSpec,
    ReplaceSpec,
    SwapSpec,
    TyposSpec,
)

Hook = Callable[[Row, random.Random], Row | None]
"""A user's function: from a copy of the row and a random generator to the changed row, or None if it does not apply."""


@dataclass(frozen=True, slots=True)
class Setting:
    """The inputs of a change besides the row: a random generator, the other rows of its rule, the user's functions."""

    chance: random.Random
    others: Sequence[Row] = ()
    hooks: Mapping[str, Hook] = field(default_factory=dict[str, Hook])


def change(row: Row, changes: Sequence[ChangeSpec], setting: Setting) -> Row | None:
    """The row after all changes; None if one of them does not apply. Raises MissingField for a missing field."""
    changed: Row | None = dict(row)
    for spec in changes:
        if changed is None:
            return None
        changed = _one(changed, spec, setting)
    return changed


def _one(row: Row, spec: ChangeSpec, setting: Setting) -> Row | None:
    match next(getattr(spec, name) for name in spec.model_fields_set):
        case dict() as texts:
            return {**row, **{name: fill(setting.chance.choice(several), row) for name, several in texts.items()}}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        case str() as hook:
            return setting.hooks[hook](deepcopy(row), setting.chance)  # other rules change the same row
        case SwapSpec() as swap:
            return _swapped(row, swap, setting)
        case ReplaceSpec() as replace:
            pattern = re.compile(replace.find)
            changed = _each(row, replace.fields, lambda text: pattern.sub(replace.by, text))
            return row if changed is None and replace.if_found else changed
        case KeepSpec() as keep:
            return _kept(row, keep, fill(keep.sentence_with, row))
        case InsertSpec() as insert:
            return _each(row, insert.fields, lambda text: _inserted(text, insert, setting.chance))
        case TyposSpec() as typos:
            spare = [fill(template, row) for template in typos.spare]
            return _each(row, typos.fields, lambda text: misspelled(text, typos.words, spare, setting.chance))
        case CasingSpec() as casing:
            return _each(row, casing.fields, str.lower if casing.to == "lower" else str.upper)
        case ReorderSpec() as reorder:
            return _each(row, reorder.fields, lambda text: " ".join(reordered(sentences(text), setting.chance)))
        case other:
            raise TypeError(f"{type(other).__name__} is not a change")


def _each(row: Row, names: Sequence[str], to: Callable[[str], str]) -> Row | None:
    """The row with a function applied to the texts and chats of these fields; None if that changes nothing."""
    values = {name: look_up(name, row) for name in names}
    changed = {name: _changed(name, value, to) for name, value in values.items()}
    return {**row, **changed} if changed != values else None


def _changed(name: str, value: Any, to: Callable[[str], str]) -> Any:
    """A changed text, or a chat with the user's messages changed."""
    if not isinstance(value, list):
        return to(as_text(value, name))
    turns: list[Any] = list(value)  # pyright: ignore[reportUnknownArgumentType]
    return [{**turn, "content": to(turn["content"])} if _is_users(turn) else turn for turn in turns]


def _is_users(turn: Any) -> bool:
    return isinstance(turn, dict) and turn.get("role") == "user" and isinstance(turn.get("content"), str)  # pyright: ignore[reportUnknownMemberType]


def _texts(name: str, value: Any) -> list[str]:
    """The texts that `_changed` changes."""
    found: list[str] = []
    _changed(name, value, lambda text: found.append(text) or text)
    return found


# --- swap ----------------------------------------------------------------------------------------------------------


def _swapped(row: Row, spec: SwapSpec, setting: Setting) -> Row | None:
    old = fill(spec.value, row)
    texts = [text for name in spec.fields for text in _texts(name, look_up(name, row))]
    pool = spec.by if spec.by is not None else [fill(spec.value, other) for other in setting.others]
    fresh = [value for value in dict.fromkeys(pool) if value.strip() and not _contains_word(value, texts)]
    if not old.strip() or not fresh:
        return None
    new = setting.chance.choice(fresh)
    return _each(row, spec.fields, lambda text: as_word(old).sub(lambda _: new, text))


def as_word(value: str) -> re.Pattern[str]:
    """A value as a word of its own: CAT is not found in CATSPER1, 1 in 1 not in 1 in 1,000."""
    return re.compile(rf"(?<!\w){re.escape(value)}(?!\w|[.,]\d)")


def _contains_word(value: str, texts: Sequence[str]) -> bool:
    """Whether a text already contains the value, in any case: then an inserted value could not be distinguished."""
    folded = value.casefold()
    return any(folded in text.casefold() for text in texts)


# --- sentences and words -------------------------------------------------------------------------------------------

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[\"'(“]?[A-Z0-9])")
_WORD = re.compile(r"(?<!\w)[a-z]{5,}(?!\w)")


def sentences(text: str) -> list[str]:
    """The sentences of a text, by punctuation followed by a capital or a digit."""
    return _SENTENCE_END.split(text.strip())


def reordered(parts: Sequence[str], chance: random.Random) -> list[str]:
    """The parts in another order; in the same order if there is no other."""
    if len(set(parts)) < 2:
        return list(parts)
    other = list(parts)
    while other == list(parts):
        chance.shuffle(other)
    return other


def _kept(row: Row, spec: KeepSpec, wanted: str) -> Row | None:
    kept: Row = dict(row)
    for name in spec.fields:
        holding = [one for one in sentences(as_text(look_up(name, row), name)) if wanted in one]
        if not holding:
            return None
        kept[name] = holding[0]
    return kept


def _inserted(text: str, spec: InsertSpec, chance: random.Random) -> str:
    sentence = chance.choice(spec.sentences)
    return f"{sentence} {text}" if spec.at == "start" else f"{text} {sentence}"


def misspelled(text: str, words: int, spare: Sequence[str], chance: random.Random) -> str:
    """The text with this number of lower-case words of five or more letters misspelled by swapping two inner letters.

    Words of the `spare` texts are not changed. A text with fewer such words stays as it is.
    """
    kept = {word for part in spare for word in words_of(part.casefold())}
    places = [
        (found.start() + at, found.start())
        for found in _WORD.finditer(text)
        if found[0] not in kept
        for at in range(1, len(found[0]) - 2)
        if found[0][at] != found[0][at + 1]
    ]
    starts = sorted({start for _, start in places})
    if len(starts) < words:
        return text
    letters = list(text)
    for start in chance.sample(starts, words):
        at = chance.choice([place for place, word in places if word == start])
        letters[at], letters[at + 1] = letters[at + 1], letters[at]
    return "".join(letters)
