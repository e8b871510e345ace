"""Human labels: rows in which people judged whether an answer is good, or which of two answers is better."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from tunegate.cases.case import Case
from tunegate.cases.from_rows import prompt_of
from tunegate.checks.check import Sample
from tunegate.exceptions import ConfigError, nearest
from tunegate.models.model import Response
from tunegate.reading.rows import Row, read_rows
from tunegate.reading.templates import field_names, fill, fill_list, fill_passages, is_missing, look_up
from tunegate.text.normal_form import visible
from tunegate_suites.base import Options
from tunegate_suites.judges.sides import BLANK, Scheme, sides_of, spelled

NAMES = {
    "prompt": ("prompt", "question", "instruction", "input"),
    "answer": ("answer", "response", "output", "output_1"),
    "reference": ("references", "reference", "output_2"),
    "context": ("context",),
    "group": ("group",),
    "human": ("human", "human_correct", "human_label", "label", "verdict"),
}
"""Common field names of label files, tried in order if the judge file names none."""


def _template(text: str) -> str:
    try:
        field_names(text)
    except ConfigError as error:
        raise ValueError(str(error)) from None
    return text


Template = Annotated[str, AfterValidator(_template)]


def _of_a_field(template: str) -> str:
    if not field_names(template):
        raise ValueError(f"expected a field of the row, such as {{human}}, got {template!r}")
    return template


def _labels(values: Any) -> Any:
    """Labels as YAML reads them, including 1, true and 4.0, as texts."""
    return [spelled(value) for value in values] if isinstance(values, list) else values  # pyright: ignore[reportUnknownVariableType]


Values = Annotated[list[str], BeforeValidator(_labels)]


class LabelsOptions(Options):
    """The fields with the parts of a labelled answer; templates such as "{question}"."""

    id: Template = "{id}"
    """default: the field id, or the line number if there is none"""
    prompt: Template | None = None
    """default: prompt, question, instruction or input"""
    answer: Template | None = None
    """the answer that was judged; default: answer, response, output or output_1"""
    reference: Template | None = None
    """default: references, reference or output_2; a pairwise judge compares the answer with it"""
    context: Template | None = None
    """default: context"""
    group: Template | None = None
    """related answers, such as those to one question, so that they do not count as independent; default: group"""
    human: Annotated[Template, AfterValidator(_of_a_field)] | None = None
    """people's verdict; default: human, human_correct, human_label, label or verdict"""
    passes: Annotated[Values, Field(min_length=1)] | None = None
    """values of `human` that pass; used with `fails`. Default for both: a verdict of the judge's rubric, true and
    false, 1 and 0, yes and no, pass and fail, correct and incorrect, or right and wrong (can't tell is left out);
    1 and 2 for a pairwise judge"""
    fails: Annotated[Values, Field(min_length=1)] | None = None
    """values of `human` that fail. A value in neither list is refused"""
    skip: Values = Field(default_factory=list[str])
    """values whose rows are left out and counted, for example unsure; "" for rows without a label"""

    @model_validator(mode="after")
    def _each_value_has_one_meaning(self) -> Self:
        for option in ("passes", "fails"):
            if BLANK in (getattr(self, option) or ()):
                raise ValueError(f'{option}: a blank is not a label; leave out rows without a label with skip: [""]')
        counts = Counter(value for values in (self.passes, self.fails, self.skip) for value in set(values or ()))
        if twice := [value for value, count in counts.items() if count > 1]:
            raise ValueError(f"{twice[0]!r} is in more than one of passes, fails and skip; list it once")
        return self


@dataclass(frozen=True, slots=True)
class Labelled:
    """An answer and its human label: as written, and whether it is a pass."""

    sample: Sample
    human: str
    passed: bool


@dataclass(frozen=True, slots=True)
class Labels:
    """The contents of a label file: the labelled answers, and the number of rows with each label."""

    kept: list[Labelled]
    passes: Mapping[str, int]
    fails: Mapping[str, int]
    skipped: Mapping[str, int]
    """rows that were left out because of their label or a missing label"""


def read_labels(path: Path, options: LabelsOptions, scheme: Scheme) -> Labels:
    """All labelled rows of a file. Raises ConfigError, with the line, for a value that is not a label."""
    rows = list(read_rows(path))
    with _at(str(path)):
        column = _column(rows, options.human or _human_field(rows))
        sides = sides_of([(number, value) for (number, _), value in zip(rows, column, strict=True)], options, scheme)
    kept: dict[str, tuple[int, Labelled]] = {}
    for (number, row), human in zip(rows, column, strict=True):
        passed = sides[human]
        if passed is None:
            continue
        with _at(f"{path}:{number}"):
            sample = _sample(row, number, options)
            first, _ = kept.setdefault(sample.case.id, (number, Labelled(sample, human, passed)))
            if first != number:
                raise ConfigError(f"the id {sample.case.id!r} is duplicated, first on line {first}")
    if not kept:
        raise ConfigError(f"{path}: no row is left: labels.skip leaves out all {len(rows)}")
    passes, fails, skipped = (_counts(column, sides, side) for side in (True, False, None))
    return Labels([one for _, one in kept.values()], passes, fails, skipped)


@contextmanager
def _at(place: str) -> Generator[None]:
    """Add the place to errors that are raised while it is read."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{place}: {error}") from error


def _counts(column: Sequence[str], sides: Mapping[str, bool | None], side: bool | None) -> dict[str, int]:
    return dict(sorted(Counter(value for value in column if sides[value] is side).items()))


def distinct(path: Path, labels: Sequence[Labelled], *, pairwise: bool) -> list[Labelled]:
    """The labels without copies: the same answer to the same question counts once, whatever its ids.

    A swapped pair with the swapped verdict is a copy. Raises ConfigError for copies that contradict each other: then
    the right verdict is unknown, and leaving them out would make the judge look better.
    """
    kept: dict[tuple[str, ...], tuple[Labelled, bool]] = {}
    for one in labels:
        key, passed = _content(one, pairwise=pairwise)
        first, earlier = kept.setdefault(key, (one, passed))
        if earlier != passed:
            raise ConfigError(
                f"{path}: the same answer has the labels pass and fail, in {first.sample.case.id!r} and "
                f"{one.sample.case.id!r}; correct one of them, or remove both"
            )
    return [one for one, _ in kept.values()]


def _content(one: Labelled, *, pairwise: bool) -> tuple[tuple[str, ...], bool]:
    """The judged texts, without invisible characters, and whether people passed them."""
    case, texts = one.sample.case, [one.sample.response.text, *one.sample.case.references]
    answer, *references = [_plain(text) for text in texts]
    passed = one.passed
    if pairwise and references and references[0] < answer:
        answer, references, passed = references[0], [answer, *references[1:]], not passed
    return (_plain(case.prompt_text), answer, _plain(case.context or ""), *references), passed


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", visible(text)).split())


def _human_field(rows: Sequence[tuple[int, Row]]) -> str:
    """The field with the labels of all rows, as a template; a row without this field has no label."""
    fields = dict.fromkeys(name for _, row in rows for name in row)
    return _found("human", None, fields)


def _column(rows: Sequence[tuple[int, Row]], template: str) -> list[str]:
    names = field_names(template)
    for name in names:
        if all(_value(name, row) is _ABSENT for _, row in rows):
            raise ConfigError(f"labels.human: no row has the field {name!r}{nearest(name, rows[0][1])}")
    return [_label_text(template, names, number, row) for number, row in rows]


def _label_text(template: str, names: Sequence[str], number: int, row: Row) -> str:
    try:
        texts = {name: BLANK if (value := _value(name, row)) is _ABSENT else spelled(value) for name in names}
    except ValueError as error:
        raise ConfigError(f"row {number}: the human label: {error}") from None
    return spelled(fill(template, texts)) if all(texts.values()) else BLANK


_ABSENT = object()


def _value(name: str, row: Row) -> Any:
    """The value of a field or path of a row; None if the field is missing or null is on the path."""
    try:
        return look_up(name, row)
    except ConfigError:
        return _ABSENT


def _sample(row: Row, number: int, options: LabelsOptions) -> Sample:
    reference = _found("reference", options.reference, row, required=False)
    context = _found("context", options.context, row, required=False)
    group = _found("group", options.group, row, required=False)
    case = Case(
        id=str(number) if options.id == "{id}" and "id" not in row else fill(options.id, row),
        prompt=prompt_of(_found("prompt", options.prompt, row), None, row),
        references=fill_list(reference, row) if reference and _has_value(reference, row) else (),
        context=fill_passages(context, row) if context and _has_value(context, row) else None,
        group=fill(group, row) if group and _has_value(group, row) else None,
        fields=row,
    )
    return Sample(case, Response(fill(_found("answer", options.answer, row), row), "stop"))


def _found(part: str, template: str | None, row: Mapping[str, Any], *, required: bool = True) -> str:
    if template is not None:
        return template
    name = next((name for name in NAMES[part] if name in row), None)
    if name is None and required:
        like = next((field for field in row if field.casefold() in NAMES[part]), "field")  # `Human`
        raise ConfigError(
            f"the row has no field for the {part} ({' or '.join(NAMES[part])}); name the field in the judge file, "
            f"for example labels: {{{part}: '{{{like}}}'}}"
        )
    return "" if name is None else f"{{{name}}}"


def _has_value(template: str, row: Mapping[str, Any]) -> bool:
    return all(not is_missing(row.get(name, "")) for name in field_names(template))
