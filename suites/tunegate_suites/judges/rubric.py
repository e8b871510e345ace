"""A rubric: the criterion and verdicts of an LLM judge. One YAML file.

criterion: Is the answer correct and free of invented facts?
scale: {min: 1, max: 5}            # or labels: [yes, no]
meaning: {1: wrong or invented, 5: correct and complete}
examples:
  - {prompt: Which gene causes Bloom syndrome?, references: [BLM], answer: The BLM gene., verdict: 5}
"""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    InstanceOf,
    PlainSerializer,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)

from tunegate.exceptions import ConfigError, nearest
from tunegate.reading.files import resolve
from tunegate.reading.spec import Spec, read_spec
from tunegate.reading.yaml_file import load_yaml
from tunegate_suites.options import base_dir

MAX_VERDICTS = 100
Label = str | int


class Scale(Spec):
    """Whole numbers from `min` to `max`, both included."""

    min: int
    max: int


class Example(Spec):
    """An answer judged as an example for the judge (few-shot)."""

    prompt: str
    """the question"""
    answer: str
    """an answer to it"""
    verdict: Label
    """the verdict that the judge should give"""
    references: list[str] = Field(default=[])
    """expected answers"""
    context: str | None = None
    """the text to which the answer must be faithful"""
    reason: str | None = None
    """the reason; shown to judges that give reasons"""


class Rubric(Spec):
    """See the module's docstring."""

    criterion: Annotated[str, Field(min_length=1)]
    """the criterion, in words"""
    scale: Scale | None = None
    """whole numbers, for example {min: 1, max: 5}"""
    labels: list[Label] | None = None
    """or words, for example [yes, no]"""
    meaning: dict[Label, str] = Field(default={})
    """the meaning of each verdict"""
    examples: list[Example] = Field(default=[])
    """judged answers as examples (few-shot)"""
    show: list[Literal["prompt", "context", "references"]] = Field(default=["prompt", "references"])
    """what the judge sees besides the answer: prompt, context, references"""

    @cached_property
    def menu(self) -> tuple[str, ...]:
        """The allowed verdicts, in order."""
        if self.scale is not None:
            return tuple(str(number) for number in range(self.scale.min, self.scale.max + 1))
        return tuple(str(label).strip() for label in self.labels or ())

    @model_validator(mode="after")
    def _verdicts_make_sense(self) -> Self:
        if (self.scale is None) == (self.labels is None):
            raise ValueError("give either 'scale', for example {min: 1, max: 5}, or 'labels', for example [yes, no]")
        if self.scale is not None and not 0 < self.scale.max - self.scale.min < MAX_VERDICTS:
            raise ValueError(f"scale: expected min below max, at most {MAX_VERDICTS} steps apart, got {self.scale}")
        menu = {label.casefold() for label in self.menu}
        if len(menu) < 2 or len(menu) < len(self.menu) or "" in menu:
            raise ValueError(f"labels: expected at least two different labels, none empty, got {list(self.menu)}")
        for verdict in [*self.meaning, *(example.verdict for example in self.examples)]:
            if str(verdict) not in self.menu:
                raise ValueError(f"{verdict!r} is not one of the verdicts{nearest(str(verdict), self.menu)}")
        return self


def _read(value: object, info: ValidationInfo) -> Rubric:
    if isinstance(value, Rubric):
        return value
    if not isinstance(value, str):
        raise ValueError(f"expected the path of a rubric file, got {value!r}")
    try:
        return read_spec(Rubric, load_yaml(resolve(value, base_dir(info))))
    except ConfigError as error:
        raise ValueError(str(error)) from None


def _dump(rubric: Rubric) -> dict[str, Any]:
    return rubric.model_dump(mode="json")


RubricFile = Annotated[
    InstanceOf[Rubric],
    BeforeValidator(_read),
    PlainSerializer(_dump, return_type=dict[str, Any]),
    WithJsonSchema({"type": "string", "description": "path of a rubric file, relative to the suite file"}),
]
