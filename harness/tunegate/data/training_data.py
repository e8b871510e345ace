"""Training data: rows rendered to examples by the stage's templates, hashed, and written for the trainer."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tunegate.cases.bank import draw_order
from tunegate.cases.case import Prompt
from tunegate.cases.from_rows import select, tags_of
from tunegate.data.conversations import question_and_answers
from tunegate.data.faults import DataFaults
from tunegate.data.methods import METHODS, not_read
from tunegate.data.spec import DataSpec
from tunegate.exceptions import ConfigError
from tunegate.models.model import chat
from tunegate.reading.cells import truth
from tunegate.reading.files import resolve
from tunegate.reading.rows import Row, read_rows
from tunegate.reading.templates import check_literal, check_unfilled, field_names, fill, look_up


@dataclass(frozen=True, slots=True)
class Example:
    """One training example: the number of its row, its prompt (None for plain text), and its answers by name.

    `label` says whether the answer is good, if the method needs it; `tags` are those of the row. `group` is the result
    of `prepare.split.by` for the row, `difficulty` that of `curriculum.by`. `general`: a row of `replay_data`, not of
    the stage's own data.
    """

    number: int
    prompt: Prompt | None
    answers: dict[str, str]
    label: bool | None = None
    tags: tuple[str, ...] = ()
    group: str | None = None
    difficulty: float | None = None
    general: bool = False

    @property
    def wanted(self) -> str | None:
        """The answer that the model should learn; None without an answer, or for a bad answer."""
        return None if self.label is False else next(iter(self.answers.values()), None)

    def to_json(self) -> str:
        """The row that the trainer reads."""
        prompt = {} if self.prompt is None else {"prompt": self.prompt}
        label = {} if self.label is None else {"label": self.label}
        return json.dumps({**prompt, **self.answers, **label}, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Rows that are not trained on. `like` gives, for each repeating row, the row that it repeats."""

    why: str
    rows: tuple[int, ...]
    like: tuple[int, ...] = ()


@dataclass(frozen=True)
class TrainingData:
    """All examples of a stage. `sha256` covers their rendered text and order.

    Each row that `where` selects is either among the examples or, once, in `left_out`. `held_out` are the examples of
    the other parts; `masked` counts, by kind, the personal data that were removed from the rows.
    """

    path: Path
    examples: tuple[Example, ...]
    sha256: str
    left_out: tuple[LeftOut, ...] = ()
    held_out: Mapping[str, tuple[Example, ...]] = field(default_factory=dict[str, tuple[Example, ...]])
    masked: Mapping[str, int] = field(default_factory=dict[str, int])

    def take(self, n: int | None, seed: int) -> list[Example]:
        """The first `n` examples of a seeded order; a larger `n` takes the same examples and more."""
        by_number = {str(example.number): example for example in self.examples}
        order = draw_order(by_number, seed)
        return [by_number[number] for number in order[: n or len(order)]]

    @property
    def rows_in(self) -> int:
        """The rows that `where` selected: those trained on, and those left out."""
        return len(self.examples) + sum(len(left.rows) for left in self.left_out)


PARTS = ("prompt", "messages", "system", "completion", "chosen", "rejected", "text", "explanation", "label")
"""The settings of `data` for the parts of a row; each method uses some of them."""


Faults = dict[str, list[int]]
"""What is wrong with rows that do not fit their method, and the numbers of these rows."""


@dataclass(frozen=True)
class TrainingFile:
    """The rows of a stage's data, read again each time they are iterated, and never held in memory.

    `most_by_line` is the maximum size of a file with one object per line; default: the limit for callers that hold all
    rows.
    """

    spec: DataSpec
    method: str
    base_dir: Path
    most_by_line: int | None = None

    @property
    def path(self) -> Path:
        return resolve(self.spec.path, self.base_dir)

    def __iter__(self) -> Iterator[tuple[int, Row]]:
        """Each row that `where` selects, with its number; raises ConfigError."""
        spec, path = self.spec, self.path
        _check_templates(spec, self.method)
        rows = read_rows(path, spec.split, spec.delimiter, most_by_line=self.most_by_line)
        for number, row in select(rows, spec.where, path):
            check_literal("data.prompt", spec.prompt, row)
            check_unfilled("data.system", spec.system, row)
            yield number, row

    def rendered(self, rows: Iterable[tuple[int, Row]]) -> tuple[list[Example], Faults]:
        """The examples of the rows that fit the method, and the faults of the others."""
        examples: list[Example] = []
        faults: Faults = {}
        for number, row in rows:
            try:
                examples.append(_example(self.spec, self.method, number, row))
            except ConfigError as error:
                faults.setdefault(str(error), []).append(number)
        return examples, faults


def load_training_data(spec: DataSpec, method: str, base_dir: Path) -> TrainingData:
    """Read and render a stage's rows without changing them (`data/prepare.py` does that).

    Raises DataFaults with every row that does not fit the method, or ConfigError for a file that cannot be read.
    """
    file = TrainingFile(spec, method, base_dir)
    examples, faults = file.rendered(file)
    if faults:
        raise DataFaults(file.path, faults, len(examples))
    check_labels(file.path, Counter(example.label for example in examples))
    return TrainingData(file.path, tuple(examples), digest(examples))


def check_rows(data: TrainingData, check: Callable[[Mapping[str, Any]], None]) -> None:
    """Check every row, as the trainer reads it; raises DataFaults with all rows that `check` refuses."""
    faults: dict[str, list[int]] = {}
    for example in data.examples:
        try:
            check(json.loads(example.to_json()))
        except ConfigError as error:
            faults.setdefault(str(error), []).append(example.number)
    if faults:
        raise DataFaults(data.path, faults, len(data.examples) - sum(map(len, faults.values())))


def digest(examples: Iterable[Example]) -> str:
    """SHA-256 of rendered examples, in order."""
    sha256 = hashlib.sha256()
    for example in examples:
        sha256.update(hashed(example))
    return sha256.hexdigest()


def hashed(example: Example) -> bytes:
    """What the hash of training data covers of an example."""
    return json.dumps([example.to_json(), example.tags]).encode(errors="replace") + b"\n"


def check_labels(path: Path, labels: Mapping[bool | None, int]) -> None:
    """Raise ConfigError if all rows have the same label: the model could not learn a difference."""
    if len(labels) == 1 and None not in labels:
        ((label, rows),) = labels.items()
        say = ("true", "bad", "false") if label else ("false", "good", "true")
        remedy = "; or use method sft" if label else ""
        raise ConfigError(
            f"{path}: the label is {say[0]} in all {rows} rows, but the method needs good and bad answers: "
            f"add {say[1]} completions (label {say[2]}){remedy}"
        )


def _example(spec: DataSpec, method: str, number: int, row: Row) -> Example:
    kind = METHODS[method]
    prompt, answers = question_and_answers(spec, method, row)
    prompt = None if prompt is None else chat(prompt, spec.system)
    for name, text in answers.items():
        if not text.strip():
            raise ConfigError(f"the {name} is empty; a model cannot learn from it")
    if "rejected" in answers and answers["chosen"] == answers["rejected"]:
        raise ConfigError("chosen and rejected are the same text; they must differ")
    label = _label(spec.label or "label", row) if kind.labelled else None
    return Example(number, prompt, answers, label, tags_of(spec.tags, row), _group(spec, row))


def _check_templates(spec: DataSpec, method: str) -> None:
    """Refuse a template that the method ignores, or that drops the answer: every row would teach the same text."""
    unread = not_read(method, spec)
    if unread is not None:
        raise ConfigError(f"data.{unread}; leave it out")
    learned = METHODS[method].answers[0]
    template: str | None = getattr(spec, learned)
    if template is not None and not field_names(template):
        raise ConfigError(
            f"data.{learned}: the template {template!r} drops the answer: it names no field: all rows would have the "
            f'same answer; write `{learned}: "{{field}}"`'
        )


def _label(field: str, row: Row) -> bool:
    value = look_up(field, row)
    label = truth(value)
    if label is None:
        raise ConfigError(f"{field}: expected true for a good completion or false for a bad one, got {value!r}")
    return label


def _group(spec: DataSpec, row: Row) -> str | None:
    by = spec.prepare and spec.prepare.split and spec.prepare.split.by
    return fill(by, row) if by else None


def write_examples(path: Path, examples: Sequence[Example]) -> None:
    """Write examples as JSONL for the trainer."""
    path.write_bytes(_jsonl(examples))


def written_sha256(examples: Sequence[Example]) -> str:
    """SHA-256 of the file that `write_examples` writes."""
    return hashlib.sha256(_jsonl(examples)).hexdigest()


def _jsonl(examples: Sequence[Example]) -> bytes:
    return "".join(example.to_json() + "\n" for example in examples).encode(errors="replace")
