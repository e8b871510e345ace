"""What reviewers are asked: a criterion in words, what the verdicts mean, and items that are judged one by one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from tunegate.exceptions import ConfigError
from tunegate.hashes import canonical_json, sha256_hex
from tunegate.reading.spec import Spec, read_spec
from tunegate.reading.yaml_file import load_yaml

OF_A_JUDGE = ("labels", "scale", "examples")
"""Keys of an LLM judge's rubric that people do not need: their verdicts are right, wrong and can't tell."""


class ReviewRubric(Spec):
    """The file of `tunegate review --rubric`; the rubric of an LLM judge serves as well.

    criterion: Is the answer correct and free of invented facts?
    items: {facts: Every fact is correct., tone: It is polite.}      # optional: judged one by one
    meaning: {right: correct and complete, wrong: a fact is invented}
    """

    criterion: Annotated[str, Field(min_length=1)]
    """the question that reviewers answer about each answer, in words"""
    items: dict[str, str] = Field(default={})
    """parts that are judged one by one: an answer is right if all are, and wrong if one is"""
    meaning: dict[str | int, str] = Field(default={})
    """the meaning of verdicts, shown below the criterion"""
    show: list[Literal["prompt", "references"]] = Field(default=["prompt", "references"])
    """what reviewers see besides the answer: prompt, references"""

    @property
    def sha256(self) -> str:
        """Of everything that reviewers are asked; spaces and comments in the file do not change it."""
        return sha256_hex(canonical_json(self.model_dump(mode="json")))


PLAIN = ReviewRubric(criterion="Is the answer right?")
"""What reviewers are asked without a rubric."""
PLAIN_PAIRS = ReviewRubric(criterion="Which answer is better?")


def read_review_rubric(path: Path) -> ReviewRubric:
    """The rubric in a YAML file; raises ConfigError with the key at fault."""
    file = load_yaml(path)
    data: Any = file.data
    if isinstance(data, dict) and any(key in data for key in OF_A_JUDGE):
        kept: dict[Any, Any] = {key: value for key, value in data.items() if key not in OF_A_JUDGE}  # pyright: ignore[reportUnknownVariableType]
        file = replace(file, data=kept)
    rubric = read_spec(ReviewRubric, file)
    if any(not name.strip() or not text.strip() for name, text in rubric.items.items()):
        raise ConfigError(f"{path}: items: expected a name and a text for each item, got {rubric.items!r:.80}")
    return rubric
