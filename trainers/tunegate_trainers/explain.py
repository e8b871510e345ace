"""Explanation tuning: supervised fine-tuning that explains, for each row, why its answer is right.

`form: system` puts the row's explanation into a system message of that row. `form: completion` trains the model to give
the answer, then the explanation (Ludan et al. 2023, "Explanation-based Finetuning Makes Models More Robust to Spurious
Cues"). The answer then ends at the separator: a suite whose `generate.stop` is the separator judges the answer alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from tunegate.exceptions import ConfigError
from tunegate.models.model import as_messages
from tunegate.reading.rows import Row
from tunegate_trainers import common, sft, training_rows
from tunegate_trainers.task import Task

ROW = ("prompt", "completion", "explanation")


class Options(sft.Options):
    """Where the explanation goes."""

    form: Literal["system", "completion"]
    """system: into a system message of the row. completion: after the answer."""
    separator: Annotated[str, Field(min_length=1)] = "\n"
    """Form completion: the separator between answer and explanation; no answer may contain it."""
    shown: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Form system: the share of rows that show their explanation. The others have none, like the prompts of a gate."""

    @model_validator(mode="after")
    def _of_the_form(self) -> Self:
        passed_over, form = ("separator", "completion") if self.form == "system" else ("shown", "system")
        if passed_over in self.model_fields_set:
            raise ValueError(f"`{passed_over}` is for `form: {form}`; leave it out")
        return self

    def check_row(self, row: Mapping[str, Any]) -> None:
        if self.form == "completion":
            behind_the_answer(dict(row), self.separator)


def train(task: Task) -> tuple[common.Log, common.Summary]:
    """Train on rows of prompt, completion and explanation. Returns (log, summary)."""
    return common.run(task, build)


def build(task: Task, loaded: training_rows.Loaded) -> common.Built:
    """The trainer, not yet started."""

    def shape(row: Row) -> Row:
        if task.options.form == "completion":
            return behind_the_answer(row, task.options.separator)
        return in_a_system_message(row) if _is_shown(row, task.options.shown) else row

    return sft.on_completions(task, loaded, ROW, shape)


def behind_the_answer(row: Row, separator: str) -> Row:
    """The row with its explanation after the completion."""
    answer: str = row["completion"].strip()
    if separator in answer:
        raise ConfigError(
            f"the completion {answer[:40]!r} contains the separator {separator!r}, so the beginning of the explanation "
            "is not clear; set options.separator to a text that no completion contains"
        )
    return {**row, "completion": f"{answer}{separator}{row['explanation'].strip()}"}


def in_a_system_message(row: Row) -> Row:
    """The row with its explanation in a system message, after its existing text."""
    messages: list[Any] = list(as_messages(row["prompt"]))
    said = ""
    if messages[0]["role"] == "system":
        said = f"{messages.pop(0)['content']}\n\n"
    return {**row, "prompt": [{"role": "system", "content": said + row["explanation"].strip()}, *messages]}


def _is_shown(row: Row, share: float) -> bool:
    """Decided by the row's own text: the same in every attempt, whatever the other rows."""
    digest = hashlib.sha256(repr([row[key] for key in ROW]).encode(errors="replace")).digest()
    return int.from_bytes(digest[:4], "big") < share * 2**32
