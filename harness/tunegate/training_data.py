"""Training data: rows rendered to examples by the stage's templates, hashed, and written for the trainer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tunegate.banks import draw_order
from tunegate.cases import Prompt
from tunegate.exceptions import ConfigError
from tunegate.files import resolve
from tunegate.models import chat
from tunegate.rows import Row, read_rows
from tunegate.schema import DataSpec
from tunegate.suites import prompt_of, select
from tunegate.templates import fill

ANSWERS = {"sft": ("completion",), "dpo": ("chosen", "rejected")}
"""The answers that an example of each method has; the first is the one to imitate."""


@dataclass(frozen=True, slots=True)
class Example:
    """One training example: the number of its row, its prompt, and its answers by name."""

    number: int
    prompt: Prompt
    answers: dict[str, str]

    @property
    def wanted(self) -> str:
        """The answer that the model is to learn."""
        return next(iter(self.answers.values()))

    def to_json(self) -> str:
        return json.dumps({"prompt": self.prompt, **self.answers}, ensure_ascii=False)


@dataclass(frozen=True)
class TrainingData:
    """All examples of a stage. `sha256` covers their rendered text and order."""

    path: Path
    examples: tuple[Example, ...]
    sha256: str

    def take(self, n: int | None, seed: int) -> list[Example]:
        """The first `n` examples of a seeded order; a larger `n` takes the same ones and more."""
        by_number = {str(example.number): example for example in self.examples}
        order = draw_order(by_number, seed)
        return [by_number[number] for number in order[: n or len(order)]]


def load_training_data(spec: DataSpec, method: str, base_dir: Path) -> TrainingData:
    """Read and render a stage's data; raises ConfigError with file and line for a row that does not fit."""
    path = resolve(spec.path, base_dir)
    examples: list[Example] = []
    for number, row in select(read_rows(path, spec.split), spec.where, path):
        try:
            examples.append(_example(spec, method, number, row))
        except ConfigError as error:
            raise ConfigError(f"{path}:{number}: {error}") from error
    if not examples:
        raise ConfigError(f"{path}: no row is left after `where: {spec.where}`")
    digest = hashlib.sha256()
    for example in examples:
        digest.update(example.to_json().encode(errors="replace") + b"\n")
    return TrainingData(path, tuple(examples), digest.hexdigest())


def _example(spec: DataSpec, method: str, number: int, row: Row) -> Example:
    prompt = chat(prompt_of(spec.prompt, spec.messages, row), spec.system)
    templates = {"completion": spec.completion, "chosen": spec.chosen, "rejected": spec.rejected}
    wanted = {name: templates[name] for name in ANSWERS[method]}
    answers = {name: fill(f"{{{name}}}" if text is None else text, row) for name, text in wanted.items()}
    for name, text in answers.items():
        if not text.strip():
            raise ConfigError(f"the {name} is empty; a model can't learn from it")
    if len(answers) != len(set(answers.values())):
        raise ConfigError("chosen and rejected are the same text; there is no preference to learn")
    return Example(number, prompt, answers)


def write_examples(path: Path, examples: Sequence[Example]) -> None:
    """Write examples as JSONL for the trainer."""
    with path.open("w", encoding="utf-8", errors="replace") as file:
        file.writelines(example.to_json() + "\n" for example in examples)
