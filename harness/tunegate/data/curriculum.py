"""The order of training rows by difficulty, if a field gives the difficulty.

The trainer makes the order by the model's own loss, because it has the model.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tunegate.cases.from_rows import select
from tunegate.data.spec import CurriculumSpec, DataSpec
from tunegate.data.training_data import Example, TrainingData
from tunegate.exceptions import ConfigError
from tunegate.reading.files import resolve
from tunegate.reading.rows import read_rows
from tunegate.reading.templates import fill


def with_difficulty(data: TrainingData, spec: DataSpec, by: str, base_dir: Path) -> TrainingData:
    """The data with each row's difficulty, the number that the template `by` yields.

    Raises ConfigError with the number of a row without one. The hash also covers the difficulties.
    """
    path = resolve(spec.path, base_dir)
    wanted = {example.number for example in data.examples}
    numbers: dict[int, float] = {}
    for number, row in select(read_rows(path, spec.split, spec.delimiter), spec.where, path):
        if number in wanted:
            try:
                numbers[number] = _number(fill(by, row))
            except ConfigError as error:
                raise ConfigError(f"{path}:{number}: curriculum.by: {error}") from error
    examples = tuple(replace(example, difficulty=numbers[example.number]) for example in data.examples)
    order = [example.difficulty for example in examples]
    sha256 = hashlib.sha256(f"{data.sha256}\n{order}".encode()).hexdigest()
    return replace(data, examples=examples, sha256=sha256)


def in_order(examples: Sequence[Example], curriculum: CurriculumSpec | None) -> list[Example]:
    """The examples, with those of known difficulty in their order.

    The others, replayed against forgetting, stay at the positions that the draw gave them.
    """
    if curriculum is None or curriculum.by == "loss":
        return list(examples)
    sign = 1 if curriculum.order == "rising" else -1
    ranked = iter(sorted((e for e in examples if e.difficulty is not None), key=lambda e: sign * (e.difficulty or 0.0)))
    return [example if example.difficulty is None else next(ranked) for example in examples]


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise ConfigError(f"expected a number, got {text!r}") from None
    if not math.isfinite(number):
        raise ConfigError(f"expected a finite number, got {text!r}")
    return number
