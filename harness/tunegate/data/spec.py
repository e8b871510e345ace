"""The shape of a stage's training data."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from tunegate.models.sampling_spec import SamplingSpec, Temperature
from tunegate.reading.spec import Delimiter, Spec, Template, Text, listed


class CurriculumSpec(Spec):
    """The order of the training rows, instead of a random order."""

    by: Template | Literal["loss"] = "loss"
    """A template that yields a number, for example `"{difficulty}"`, or `loss`: the loss of the stage's input model."""
    order: Literal["rising", "falling"] = "rising"
    """Whether the number rises or falls from row to row."""


Share = Annotated[float, Field(ge=0, le=1)]


class SplitSpec(Spec):
    """Split the rows into parts; only `train` is trained on. No group is in two parts."""

    train: Annotated[float, Field(gt=0, le=1)] = 0.8
    """The share to train on."""
    validation: Share = 0.1
    """The share to keep for validation."""
    test: Share = 0.1
    """The share to keep for tests."""
    by: Template | None = None
    """A template for the group of a row, for example `"{doc}"`. Default: rows with the same prompt are a group."""
    seed: int = 1
    """The seed of the split."""

    @property
    def shares(self) -> dict[str, float]:
        return {"train": self.train, "validation": self.validation, "test": self.test}

    @model_validator(mode="after")
    def _whole(self) -> Self:
        total = sum(self.shares.values())
        if abs(total - 1) > 1e-6:
            raise ValueError(f"expected shares that add up to 1, got {total:g}")
        return self


class PrepareSpec(Spec):
    """Preparation of the rows before training. The data card lists every row that is left out."""

    duplicates: Literal["keep", "exact", "near"] = "keep"
    """Leave out rows that repeat an earlier row: word for word (`exact`), or nearly (`near`)."""
    pii: Literal["keep", "refuse", "mask"] = "keep"
    """Personal data (e-mail, phone, IBAN, card, national id): refuse the file, or mask it, as `[EMAIL]`."""
    names: str | None = None
    """A spaCy model that also finds the names of people, for example `en_core_web_sm`."""
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    """Leave out rows with more tokens than this, counted by the tokenizer of the pipeline's model."""
    split: SplitSpec | None = None
    """Divide the rows into parts. Default: all rows are trained on."""

    @property
    def changes_rows(self) -> bool:
        """Whether rows can be left out or masked; otherwise the settings only say what a data card counts."""
        left_out = self.duplicates != "keep" or self.max_tokens is not None or self.split is not None
        return left_out or self.pii != "keep"


class OwnAnswersSpec(SamplingSpec):
    """Ask the stage's input model its training prompts, and learn from its misses, which a suite's checks find.

    The rows then need `prompt` and `completion`, for each of dpo, orpo, reward and kto.
    """

    judged_by: str
    """The suite whose checks and generation settings are used; none of its cases is asked."""
    at_least: Annotated[int, Field(ge=1)] = 8
    """With fewer misses than this, the stage is not trained, and the run says so."""
    temperature: Temperature | None = None
    """0 is greedy: always the most likely token. Default, as for the other settings: the suite's."""
    seed: int | None = None
    """The seed of sampling at a temperature above 0. Default: the suite's."""
    samples: Annotated[int, Field(ge=1)] = 1
    """The number of answers to each training prompt. A pair is then made of a right and a wrong answer, if the model
    gave both."""


class DataSpec(Spec):
    """Training data, and the templates that turn a row into an example; the stage's method decides which it uses.

    A row may contain texts or chats, as in TRL's conversational forms: `prompt`, `completion`, `chosen` and `rejected`
    may be lists of messages, and the last two may both begin with the prompt's turns.

    cpt: `text`. sft, fewshot: `prompt`, `completion`. explain: also `explanation`. dpo, orpo, reward: `prompt`,
    `chosen`, `rejected`. kto: `prompt`, `completion`, `label`. rlhf: `prompt`, and `completion` if a check is
    the reward.
    """

    path: str
    """A .jsonl, .json, .csv, .parquet or .txt file, or a folder saved by `datasets`, relative to this file."""
    split: str | None = None
    """The split of a `datasets` folder. For other files, select rows with `where`."""
    delimiter: Delimiter | None = None
    """The separator of a CSV file. Default: the most likely of comma, tab, semicolon and bar."""
    prompt: Template | None = None
    """The question to the model. Default: the row's `prompt`."""
    messages: str | None = None
    """The field with the chat messages of the prompt, instead of `prompt`. Default: `messages`, `conversations`.
    If the chat ends with the assistant, this last turn is not part of the prompt; it is the completion of rows without
    one."""
    completion: Template | None = None
    """The right answer. Default: the row's `completion`."""
    chosen: Template | None = None
    """The better answer of a pair. Default: the row's `chosen`."""
    rejected: Template | None = None
    """The worse answer of a pair. Default: the row's `rejected`."""
    text: Template | None = None
    """Plain text. Default: the row's `text`."""
    explanation: Template | None = None
    """Why the answer is right. Default: the row's `explanation`."""
    label: str | None = None
    """The field that says whether a completion is good: true or false, 1 or 0, yes or no. Default: `label`."""
    tags: Annotated[list[str], BeforeValidator(listed)] = []
    """Fields whose values become tags, written `field=value`, as in the suites."""
    system: Text | None = None
    """A system message for every row; give the suites the same message under `generate`."""
    where: dict[str, Any] = {}
    """Keep only rows with these values in these fields."""
    own_answers: OwnAnswersSpec | None = None
    """Learn from the model's own misses on these rows, instead of from answers in the file."""
    prepare: PrepareSpec | None = None
    """Duplicates, personal data, length and held-out parts. Default: all rows, unchanged."""

    @model_validator(mode="after")
    def _one_prompt(self) -> Self:
        if self.prompt is not None and self.messages is not None:
            raise ValueError("give `prompt` or `messages`, not both")
        return self

    def rows_for(self, method: str) -> str:
        """The method whose format the file has: that of sft if the model's own answers complete the rows."""
        return method if self.own_answers is None else "sft"
