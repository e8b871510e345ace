"""A prompt file: a system message, a template around the question, and worked examples, in YAML.

No part of it may reveal a case of the suite: then the model would not have to know the answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from tunegate.cases.case import asked
from tunegate.data.spec import DataSpec
from tunegate.data.training_data import load_training_data
from tunegate.exceptions import ConfigError
from tunegate.leaks.leakage import Leak, compare
from tunegate.leaks.texts import TrainRow
from tunegate.models.fewshot import Shot
from tunegate.models.with_prompt import FIELD, OwnPrompt
from tunegate.reading.spec import Name, Spec, Template, Text, read_spec
from tunegate.reading.templates import field_names
from tunegate.reading.yaml_file import YamlFile, load_yaml
from tunegate.suites.suite import Suite
from tunegate.suites.told_answers import GUARD, given_away_words, told_by


class ExampleSpec(Spec):
    """A question, and the answer that the model should have given."""

    prompt: Text
    """The question, as a case asks it: the template is put around it, too."""
    completion: Text
    """Its answer."""


def _differ(numbers: list[int]) -> list[int]:
    for place, number in enumerate(numbers):
        if number in numbers[:place]:
            raise ValueError(f"numbers that differ were expected, but {number} is there twice")
    return numbers


Count = Annotated[int, Field(ge=1)]


class ExamplesSpec(Spec):
    """Examples from a file of rows."""

    path: str
    """A .jsonl, .json, .csv or .parquet file, relative to the prompt file."""
    n: (
        Annotated[
            Annotated[list[Count], Field(min_length=1), AfterValidator(_differ), Tag("n[list]")]
            | Annotated[Count, Tag("n[one]")],
            Discriminator(lambda value: "n[list]" if isinstance(value, list) else "n[one]"),
        ]
        | None
    ) = None
    """Show only this number of examples, those most similar to the question in words; a list is a prompt for each
    number, to compare them. Default: all, in order."""
    prompt: Template | None = None
    """A template for the question, for example `"{question}"`. Default: the field `prompt`."""
    completion: Template | None = None
    """A template for the answer. Default: the field `completion`."""


def _asks(template: str) -> str:
    if set(field_names(template)) != {FIELD}:
        raise ValueError(
            f"a template that contains {{{FIELD}}}, and no other field, was expected, got {template!r}; "
            f"{{{FIELD}}} is where the question goes"
        )
    return template


def _kind(value: Any) -> str:
    return "examples[list]" if isinstance(value, list) else "examples[file]"


class PromptSpec(Spec):
    """A prompt that is tried on a model. It needs a `system`, a `template` or `examples`."""

    name: Name | None = None
    """Default: the name of the file."""
    system: Annotated[Text, Field(min_length=1)] | None = None
    """The system message. It replaces those of the suite and of the cases."""
    template: Annotated[Template, AfterValidator(_asks)] | None = None
    """The text around each question; `{prompt}` is the question."""
    examples: (
        Annotated[
            Annotated[list[ExampleSpec], Tag("examples[list]")] | Annotated[ExamplesSpec, Tag("examples[file]")],
            Discriminator(_kind),
        ]
        | None
    ) = None
    """Worked examples before each question: a list, or a file of rows."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.system is None and self.template is None and not self.examples:
            raise ValueError("a prompt needs `system`, `template` or `examples`; the empty prompt is the baseline")
        return self


def read_prompts(path: Path) -> tuple[OwnPrompt, ...]:
    """Read a prompt file: one prompt, or with `n: [1, 3]` one for each number of examples, `NAME-1` and `NAME-3`.

    Raises ConfigError with the file and the key path.
    """
    file = load_yaml(path)
    spec = read_spec(PromptSpec, file)
    prompt = OwnPrompt(spec.name or path.stem, spec.system, spec.template)
    if not isinstance(spec.examples, ExamplesSpec):
        return (replace(prompt, shots=tuple(Shot(one.prompt, one.completion) for one in spec.examples or ())),)
    shots, wanted = _rows(file, spec.examples, path.parent), spec.examples.n
    several = isinstance(wanted, list)
    numbers = wanted if isinstance(wanted, list) else [wanted]
    for place, number in enumerate(numbers):
        if number is not None and number > len(shots):
            keys = (*N, place) if several else N
            raise file.error(keys, f"at most {len(shots)}, the rows of the file, was expected, got {number}")
    names = [f"{prompt.name}-{number}" if several else prompt.name for number in numbers]
    return tuple(
        replace(prompt, name=name, shots=shots, nearest=number) for name, number in zip(names, numbers, strict=True)
    )


def read_prompt(path: Path) -> OwnPrompt:
    """The prompt of a file that has one; raises ConfigError as `read_prompts` does, and for a file with several."""
    prompts = read_prompts(path)
    first, *others = prompts
    if others:
        numbers = ", ".join(str(prompt.nearest) for prompt in prompts)
        raise load_yaml(path).error(N, f"one number was expected here, got {numbers}; write the one to use")
    return first


N = ("examples", "n")


def _rows(file: YamlFile, spec: ExamplesSpec, folder: Path) -> tuple[Shot, ...]:
    data = DataSpec(path=spec.path, prompt=spec.prompt, completion=spec.completion)
    try:
        rows = load_training_data(data, "fewshot", folder).examples
    except ConfigError as error:
        raise file.error(("examples",), str(error)) from error
    return tuple(Shot(row.prompt or "", row.wanted or "") for row in rows)


def prompts_for(path: Path, suite: Suite) -> tuple[OwnPrompt, ...]:
    """Read a prompt file, which must not reveal a case of the suite; raises ConfigError."""
    prompts = read_prompts(path)
    check_tells_nothing(prompts[0], path, suite)  # the others have the same texts
    return prompts


def prompt_for(path: Path, suite: Suite) -> OwnPrompt:
    """The same for a file with one prompt."""
    prompt = read_prompt(path)
    check_tells_nothing(prompt, path, suite)
    return prompt


def check_tells_nothing(prompt: OwnPrompt, path: Path, suite: Suite) -> None:
    """Raise ConfigError if an example is a case of the suite, or if a text of the prompt reveals answers."""
    leaks = compare(_texts(prompt, path), [suite])
    if leaks:
        raise ConfigError(f"{path}: {_which(leaks)}; remove it, or any model would know the answer")
    for key, text in (("system", prompt.system), ("template", prompt.template)):
        if text and GUARD not in suite.allowed and (given := told_by(text, suite.cases)):
            raise ConfigError(f"{path}: {key}: it {given_away_words(given, suite.cases)}; remove them")


def _texts(prompt: OwnPrompt, path: Path) -> Iterator[TrainRow]:
    for number, shot in enumerate(prompt.shots, 1):
        yield TrainRow(f"{path}: example", number, (asked(shot.prompt),), (shot.answer,))
    for key, text in (("system", prompt.system), ("template", prompt.template)):
        if text:
            yield TrainRow(f"{path}: {key}", 1, (), (text,))


def _which(leaks: list[Leak]) -> str:
    first = leaks[0]
    where = first.train_file.rpartition(": ")[2]
    number = f" {first.train_row}" if where == "example" else ""
    rows = len({(leak.train_file, leak.train_row) for leak in leaks})
    more = f" (and {rows - 1} more such places)" if rows > 1 else ""
    return f"{where}{number} contains the case {first.case_id} of suite {first.suite!r}{more}"
