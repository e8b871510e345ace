"""Human labels: rows in which people said of an answer whether it is good, or which of two is better."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator

from tunegate.case_rows import prompt_of
from tunegate.cases import Case
from tunegate.checks import Sample
from tunegate.exceptions import ConfigError, nearest
from tunegate.leaks.disguises import visible
from tunegate.models import Response
from tunegate.rows import Row, read_rows
from tunegate.templates import field_names, fill, fill_list, fill_passages, is_missing
from tunegate_suites.base import Options

NAMES = {
    "prompt": ("prompt", "question", "instruction", "input"),
    "answer": ("answer", "response", "output", "output_1"),
    "reference": ("references", "reference", "output_2"),
    "context": ("context",),
    "human": ("human", "human_correct", "human_label", "label", "verdict"),
}
"""What the fields of label files are called, tried in order where the judge file names none."""


def _template(text: str) -> str:
    try:
        field_names(text)
    except ConfigError as error:
        raise ValueError(str(error)) from None
    return text


Template = Annotated[str, AfterValidator(_template)]


class LabelsOptions(Options):
    """Where the parts of a labelled answer stand in a row; templates such as "{question}"."""

    id: Template = "{id}"
    """default: the field id, or else the line number"""
    prompt: Template | None = None
    """default: prompt, question, instruction or input"""
    answer: Template | None = None
    """the answer that was judged; default: answer, response, output or output_1"""
    reference: Template | None = None
    """default: references, reference or output_2; a pairwise judge compares the answer with it"""
    context: Template | None = None
    """default: context"""
    human: Template | None = None
    """what people said; default: human, human_correct, human_label, label or verdict"""
    passes: list[str] | None = None
    """values of it that pass; default: true, a verdict that the judge would pass, or 1 for a pairwise judge"""


@dataclass(frozen=True, slots=True)
class Labelled:
    """An answer and what people said of it: as it was written, and whether that is a pass."""

    sample: Sample
    human: str
    passed: bool


@dataclass(frozen=True, slots=True)
class Scheme:
    """How to read human labels for a judge: its menu, which verdicts of it pass, and whether it compares pairs."""

    menu: tuple[str, ...]
    passes: Callable[[str], bool]
    pairwise: bool


def read_labels(path: Path, options: LabelsOptions, scheme: Scheme) -> list[Labelled]:
    """Every row of a label file. Raises ConfigError, with the line, for what is no label."""
    labels: list[Labelled] = []
    seen: dict[str, int] = {}
    for number, row in read_rows(path):
        try:
            one = _labelled(row, number, options, scheme)
        except ConfigError as error:
            raise ConfigError(f"{path}:{number}: {error}") from error
        case_id = one.sample.case.id
        if case_id in seen:
            raise ConfigError(f"{path}:{number}: the id {case_id!r} stands twice, first on line {seen[case_id]}")
        seen[case_id] = number
        labels.append(one)
    return labels


def distinct(path: Path, labels: Sequence[Labelled], *, pairwise: bool) -> list[Labelled]:
    """The labels without copies: the same answer to the same question is one piece of evidence, under whatever ids.

    A pair turned round is a copy, its verdict turned round too. Raises ConfigError for copies that contradict each
    other: nobody knows then what the judge should have said, and leaving them out would flatter it.
    """
    kept: dict[tuple[str, ...], tuple[Labelled, bool]] = {}
    for one in labels:
        key, passed = _content(one, pairwise=pairwise)
        first, said = kept.setdefault(key, (one, passed))
        if said != passed:
            raise ConfigError(
                f"{path}: the same answer was passed and failed, in {first.sample.case.id!r} and "
                f"{one.sample.case.id!r}; decide which it is, or leave both out"
            )
    return [one for one, _ in kept.values()]


def _content(one: Labelled, *, pairwise: bool) -> tuple[tuple[str, ...], bool]:
    """What is judged, without what nobody sees, and whether people passed it."""
    case, texts = one.sample.case, [one.sample.response.text, *one.sample.case.references]
    answer, *references = [_plain(text) for text in texts]
    passed = one.passed
    if pairwise and references and references[0] < answer:
        answer, references, passed = references[0], [answer, *references[1:]], not passed
    return (_plain(case.prompt_text), answer, _plain(case.context or ""), *references), passed


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", visible(text)).split())


def _labelled(row: Row, number: int, options: LabelsOptions, scheme: Scheme) -> Labelled:
    reference = _found("reference", options.reference, row, required=False)
    context = _found("context", options.context, row, required=False)
    case = Case(
        id=str(number) if options.id == "{id}" and "id" not in row else fill(options.id, row),
        prompt=prompt_of(_found("prompt", options.prompt, row), None, row),
        references=fill_list(reference, row) if reference and _has_value(reference, row) else (),
        context=fill_passages(context, row) if context and _has_value(context, row) else None,
        fields=row,
    )
    answer = fill(_found("answer", options.answer, row), row)
    human = fill(_found("human", options.human, row), row).strip()
    return Labelled(Sample(case, Response(answer, "stop")), human, _passes(human, options.passes, scheme))


def _found(part: str, template: str | None, row: Mapping[str, Any], *, required: bool = True) -> str:
    if template is not None:
        return template
    name = next((name for name in NAMES[part] if name in row), None)
    if name is None and required:
        raise ConfigError(
            f"the row has no field for the {part} ({' or '.join(NAMES[part])}); say in the judge file where it is, "
            f"as labels: {{{part}: '{{{next(iter(row), 'field')}}}'}}"
        )
    return "" if name is None else f"{{{name}}}"


def _has_value(template: str, row: Mapping[str, Any]) -> bool:
    return all(not is_missing(row.get(name, "")) for name in field_names(template))


def _passes(human: str, passing: list[str] | None, scheme: Scheme) -> bool:
    if passing is not None:
        return human in passing
    if scheme.pairwise:
        return _one_of(human, {"1": True, "2": False})
    by_menu = {label: scheme.passes(label) for label in scheme.menu}
    return _one_of(human, {"true": True, "false": False, **by_menu})


def _one_of(human: str, known: Mapping[str, bool]) -> bool:
    if human not in known:
        raise ConfigError(
            f"the human label {human!r} is none of {', '.join(known)}{nearest(human, known)}; say in the judge file "
            f"which pass, as labels: {{passes: [{human}]}}"
        )
    return known[human]
