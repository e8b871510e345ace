"""Rows to cases: which rows of a file are cases, and the prompt, references, choices and id of each."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from tunegate.cases.case import Case, Prompt, content
from tunegate.cases.cases_spec import CasesSpec
from tunegate.cases.choices import by_label, choices_of, separated
from tunegate.exceptions import LISTED, ConfigError
from tunegate.reading.cells import Cell, same, unfolded
from tunegate.reading.chats import chat_of, is_chat, without_answer
from tunegate.reading.files import resolve
from tunegate.reading.rows import Row, read_rows
from tunegate.reading.templates import (
    MissingField,
    as_texts,
    check_literal,
    fill,
    fill_list,
    fill_passages,
    is_missing,
    lone_field,
    look_up,
)

CHAT_FIELDS = ("messages", "conversations")
"""The fields that hold a chat if a file names no field and has no `prompt`."""
ID_DIGITS = 12
"""Hexadecimal digits of SHA-256 in the generated id of a case."""


def load_cases(spec: CasesSpec, base_dir: Path) -> tuple[Case, ...]:
    """Read the rows of a file and turn them into cases with `cases_of`."""
    path = resolve(spec.path, base_dir)
    return cases_of(spec, path, read_rows(path, spec.split, spec.delimiter))


def cases_of(spec: CasesSpec, path: Path, rows: Iterable[tuple[int, Row]]) -> tuple[Case, ...]:
    """Turn numbered rows (at least one) into cases; ids must be unique. `path` names the file in errors.

    If the file names no id and the rows have none, `content_id` makes it from the case; rows that give the same case
    get a number after the id, and count as one test like any test with several ids.
    """
    numbered = list(select(rows, spec.where, path))
    _check_literals(spec, numbered[0][1])
    _check_ids(spec, path, numbered)
    cases = [_located(spec, path, number, row) for number, row in numbered]
    _check_separator(spec, path, numbered, cases)
    if spec.id is None and "id" not in numbered[0][1]:
        return tuple(with_numbers(cases))
    lines: dict[str, int] = {}
    for (number, _), case in zip(numbered, cases, strict=True):
        if case.id in lines:
            raise ConfigError(
                f"{path}:{number}: the id {case.id!r} is duplicated, first on line {lines[case.id]}; ids must be unique"
            )
        lines[case.id] = number
    return tuple(cases)


def _check_literals(spec: CasesSpec, row: Row) -> None:
    """Raise ConfigError for templates that are field names without braces."""
    for key in ("id", "prompt", "reference", "context", "choices", "group"):
        said: str | list[str] | None = getattr(spec, key)
        for template in [said] if isinstance(said, str) else said or ():
            check_literal(f"cases.{key}", template, row)


def _check_ids(spec: CasesSpec, path: Path, numbered: Sequence[tuple[int, Row]]) -> None:
    """Raise ConfigError if some rows have an id and others do not: this is never intended."""
    without = [number for number, row in numbered if "id" not in row]
    if spec.id is None and 0 < len(without) < len(numbered):
        raise MissingField(
            f"{path}:{without[0]}: the row has no field 'id', but {len(numbered) - len(without)} other rows have one; "
            "add it, or name another field, for example `id: '{row_id}'`"
        )


def _check_separator(spec: CasesSpec, path: Path, numbered: Sequence[tuple[int, Row]], cases: Sequence[Case]) -> None:
    """Raise ConfigError for a separator that is in no row."""
    if spec.separator is None:
        return
    whole = spec.model_copy(update={"separator": None})
    uncut = (case_of(whole, row) for _, row in numbered)
    if all(
        one.references == cut.references and one.choices == cut.choices for one, cut in zip(uncut, cases, strict=True)
    ):
        raise ConfigError(f"{path}: separator: {spec.separator!r} is in no reference and no choice; leave it out")


def _located(spec: CasesSpec, path: Path, number: int, row: Row) -> Case:
    try:
        return case_of(spec, row)
    except MissingField as error:
        raise MissingField(f"{path}:{number}: {error}") from error
    except ConfigError as error:
        raise ConfigError(f"{path}:{number}: {error}") from error


def with_numbers(cases: Iterable[Case]) -> Iterator[Case]:
    """The cases; a case with the id of an earlier case gets a number after it."""
    seen: Counter[str] = Counter()
    for case in cases:
        seen[case.id] += 1
        yield case if seen[case.id] == 1 else replace(case, id=f"{case.id}-{seen[case.id]}")


def select(rows: Iterable[tuple[int, Row]], where: Mapping[str, Any], path: Path) -> Iterator[tuple[int, Row]]:
    """Keep the rows whose fields have the wanted values; at least one row must be left.

    A CSV cell has a value if its text is the written form of the value. Raises ConfigError for a field that a row does
    not have.
    """
    found: dict[str, dict[str, None]] = {name: {} for name in where}
    kept = 0
    for number, row in rows:
        values = {name: _wanted(name, row, f"{path}:{number}") for name in where}
        if all(same(values[name], wanted) for name, wanted in where.items()):
            kept += 1
            yield number, row
        for name, value in values.items():
            if len(found[name]) <= LISTED:
                found[name][repr(value)[:40]] = None
    if where and not kept:
        held = "; ".join(f"{name} holds {', '.join(list(values)[:LISTED])}" for name, values in found.items())
        raise ConfigError(f"{path}: no row is left after `where: {dict(where)}`; {held}")


def _wanted(name: str, row: Row, where: str) -> Any:
    try:
        return look_up(name, row)
    except MissingField as error:
        raise ConfigError(
            f"{where}: `where` names the field {name!r}, but this row does not have it: {error}"
        ) from error


def matches(where: Mapping[str, Any], row: Row) -> bool:
    """Whether a row has the wanted values; a row without such a field does not."""
    try:
        return all(same(look_up(name, row), wanted) for name, wanted in where.items())
    except MissingField:
        return False


def case_of(spec: CasesSpec, row: Row) -> Case:
    """The case of a row; raises ConfigError for a field that is missing or cannot be used.

    If a chat ends with an assistant message, that message is the answer: it is removed from the prompt, as in training
    data, and is the reference if the row names none.
    """
    prompt, answer = _question(spec, row)
    choices, labels = choices_of(spec, row)
    references = tuple(by_label(_references(spec, row), choices, labels))
    if not references and answer is not None and answer.strip():
        references = (answer,)
    case = Case(
        id=_given_id(spec.id, row),
        prompt=prompt,
        references=references,
        context=_optional(spec.context, "context", row, fill_passages),
        choices=choices,
        tags=tags_of(spec.tags, row),
        group=_optional(spec.group, "group", row, fill),
        fields=row,
    )
    return case if case.id else replace(case, id=content_id(case))


def _given_id(template: str | None, row: Row) -> str:
    """The id that the row names; empty if it names none."""
    if template is None and "id" not in row:
        return ""
    try:
        case_id = fill(template or "{id}", row)
    except MissingField as error:
        raise MissingField(
            f"{error}; every case needs an id: name its field, for example `id: '{{row_id}}'`"
        ) from error
    if not case_id.strip():
        raise ConfigError("the id is empty; give the row an id, or remove the row")
    return case_id


def content_id(case: Case) -> str:
    """An id from the question and the expected answer: the same in every file, whatever the order of its rows."""
    text = json.dumps(content(case), ensure_ascii=False)
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:ID_DIGITS]


# --- prompt --------------------------------------------------------------------------------------------------------


def prompt_of(template: str | None, messages: str | None, row: Row) -> Prompt:
    """The prompt of a row: from a template, from a field of chat messages, or by the default field names.

    A template that is one field may also give a chat. A list of passages becomes one text, joined by blank lines.
    """
    field = messages or _default_chat(template, row)
    if field is not None:
        return chat_of(look_up(field, row), field)
    name = lone_field("{prompt}" if template is None else template)
    if name is not None and is_chat(value := look_up(name, row)):
        return chat_of(value, name)
    return fill_passages("{prompt}" if template is None else template, row)


def _default_chat(template: str | None, row: Row) -> str | None:
    if template is not None:
        return None
    if "messages" in row and not is_missing(row["messages"]):
        return "messages"
    return next((name for name in CHAT_FIELDS if name in row and "prompt" not in row), None)


def _question(spec: CasesSpec, row: Row) -> tuple[Prompt, str | None]:
    prompt = prompt_of(spec.prompt, spec.messages, row)
    return (prompt, None) if isinstance(prompt, str) else without_answer(prompt)


# --- references, tags ----------------------------------------------------------------------------------------------


def _references(spec: CasesSpec, row: Row) -> Iterator[str]:
    templates = spec.reference
    if templates is None:
        templates = ["{references}"] if "references" in row else ["{reference}"] if "reference" in row else []
    for template in templates:
        name = lone_field(template)
        value = None if name is None else look_up(name, row)
        listed = _listed_in_cell(value, name)
        if name is not None and listed is not None:
            yield from as_texts(listed, name)
        elif isinstance(value, list | tuple):
            yield from fill_list(template, row)
        else:
            yield from separated(spec, fill_list(template, row))


def _listed_in_cell(value: Any, name: str | None) -> list[Any] | None:
    """The references in a CSV cell that contains a list: of texts, or also of numbers in a column `references`."""
    found: Any = unfolded(value) if isinstance(value, Cell) else None
    kinds = (str, int, float) if name == "references" else (str,)
    if not isinstance(found, list):
        return None
    items = cast("list[Any]", found)
    return items if all(isinstance(item, kinds) for item in items) else None


def tags_of(fields: list[str] | None, row: Row) -> tuple[str, ...]:
    """The tags of a row: `field=value` of the named fields or paths, or its own `tags`."""
    if fields is not None:
        return tuple(f"{field}={value}" for field in fields for value in _tags(look_up(field, row), field))
    return () if is_missing(row.get("tags")) else _tags(row["tags"], "tags")


def _tags(value: Any, field: str) -> tuple[str, ...]:
    """The texts of a value, or of the list in a CSV cell; a blank text is not a tag."""
    listed = unfolded(value) if isinstance(value, Cell) else None
    return tuple(text for text in as_texts(listed if isinstance(listed, list) else value, field) if text.strip())


def _optional(template: str | None, default_field: str, row: Row, filled: Callable[[str, Row], str]) -> str | None:
    """The template filled from the row, or without a template the field of this name; None if there is no text."""
    if template is not None:
        return filled(template, row) if template else None
    if is_missing(row.get(default_field)):
        return None
    try:
        return filled(f"{{{default_field}}}", row)
    except ConfigError as error:
        raise ConfigError(f'{error}; if the field is not meant, write `{default_field}: ""`') from error
