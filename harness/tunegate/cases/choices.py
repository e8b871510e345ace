"""The choices of a row in any of their forms, and references that name a choice by its label."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

from tunegate.cases.cases_spec import CasesSpec
from tunegate.exceptions import ConfigError
from tunegate.reading.cells import unfolded
from tunegate.reading.rows import Row
from tunegate.reading.templates import as_text, as_texts, fill_list, is_missing, lone_field, look_up


def choices_of(spec: CasesSpec, row: Row) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The texts of the choices, and their labels if the row has labels."""
    templates = spec.choices if spec.choices is not None else ["{choices}"] if "choices" in row else []
    texts: list[str] = []
    labels: list[str] = []
    for template in templates:
        name = lone_field(template)
        value = None if name is None else look_up(name, row)
        read = _listed(value) if isinstance(value, str) else value
        if name is not None and len(templates) > 1 and _is_blank(value):
            texts.append("")
        elif name is not None and (labelled := _labelled(read, name)) is not None:
            texts += labelled[0]
            labels += labelled[1]
        elif name is not None and isinstance(read, list):
            texts += as_texts(read, name)
        else:
            texts += separated(spec, fill_list(template, row))
    return _without_blanks_at_end(texts) if len(templates) > 1 else tuple(texts), tuple(labels)


def _is_blank(value: object) -> bool:
    return is_missing(value) or (isinstance(value, str) and not value.strip())


def _without_blanks_at_end(texts: Sequence[str]) -> tuple[str, ...]:
    """The choices of several columns; a question with fewer choices leaves the last columns blank."""
    filled = [place for place, text in enumerate(texts) if text.strip()]
    last = filled[-1] + 1 if filled else 0
    if len(filled) < last:
        blank = next(place for place, text in enumerate(texts) if not text.strip())
        raise ConfigError(
            f"choices: choice {blank + 1} is blank but a later choice is not, so letters and numbers could name the "
            "wrong "
            "choice; fill it in, or remove the row"
        )
    return tuple(texts[:last])


def _listed(text: str) -> Any:
    """The choices in a text that contains a list or texts with labels; any other text as it is."""
    read: Any = unfolded(text)
    if isinstance(read, dict):
        found = cast("Row", read)
        return found if "text" in found or _are_labels(found) else text
    items = cast("Sequence[Any]", read or ())
    return list(items) if len(items) > 1 and not any(isinstance(one, list) for one in items) else text


def separated(spec: CasesSpec, texts: tuple[str, ...]) -> tuple[str, ...]:
    """The texts; a single text is split at the separator."""
    if spec.separator is None or len(texts) != 1:
        return texts
    return tuple(part.strip() for part in texts[0].split(spec.separator) if part.strip())


def _are_labels(keys: Mapping[str, Any]) -> bool:
    """Whether keys are the letters or numbers of choices: `{A: ..., B: ...}`, as in MedQA."""
    first = min(keys, default="")
    return (
        len(keys) > 1
        and first in ("A", "a", "0", "1")
        and sorted(keys) == [chr(ord(first) + place) for place in range(len(keys))]
    )


def _labelled(value: Any, field: str) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """Texts and labels of choices: `{text: [...], label: [...]}`, `[{text, label}, ...]` or `{A: ..., B: ...}`."""
    if isinstance(value, list) and value and all(isinstance(one, Mapping) and "text" in one for one in value):  # pyright: ignore[reportUnknownVariableType]
        rows = cast("Sequence[Mapping[str, Any]]", value)
        labels = [one["label"] for one in rows if "label" in one]
        value = {"text": [one["text"] for one in rows], "label": labels}
    if isinstance(value, Mapping) and _are_labels(cast("Mapping[str, Any]", value)):
        return _by_key(cast("Mapping[str, Any]", value), field)
    if not isinstance(value, Mapping) or "text" not in value:
        return None
    found = cast("Mapping[str, Any]", value)
    texts, labels = as_texts(found["text"], f"{field}.text"), as_texts(found.get("label", ()), f"{field}.label")
    if labels and len(labels) != len(texts):
        raise ConfigError(
            f"{field}: a label for each text was expected, got {len(texts)} texts and {len(labels)} labels"
        )
    return texts, labels


def _by_key(value: Mapping[str, Any], field: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Texts and labels of `{A: ..., B: ...}`."""
    keys = sorted(value)
    texts = _without_blanks_at_end(
        ["" if _is_blank(value[key]) else as_text(value[key], f"{field}.{key}") for key in keys]
    )
    return texts, tuple(keys[: len(texts)])


def by_label(references: Iterable[str], choices: Sequence[str], labels: Sequence[str]) -> Iterator[str]:
    """The references; before a reference that is a choice's label comes the text of that choice.

    A label that is also the text of another choice is removed: an answer with this text would mean that other choice.
    """
    for reference in references:
        if reference in labels:
            yield choices[labels.index(reference)]
        if reference not in labels or reference not in choices:
            yield reference
