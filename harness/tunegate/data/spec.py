"""The shape of a stage's training data."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from tunegate.reading.spec import Delimiter, Spec, Template, Text, listed


class CurriculumSpec(Spec):
    """The order in which rows are trained on, instead of a random one."""

    by: Template | Literal["loss"] = "loss"
    """A template that gives a number, say `"{difficulty}"`, or `loss`: that of the stage's input model on the row."""
    order: Literal["rising", "falling"] = "rising"
    """Whether the number rises or falls from row to row."""


Share = Annotated[float, Field(ge=0, le=1)]


class SplitSpec(Spec):
    """Parts of the rows, of which only `train` is trained on. No group is in two parts."""

    train: Annotated[float, Field(gt=0, le=1)] = 0.8
    """The share that is trained on."""
    validation: Share = 0.1
    """The share that is kept for validation."""
    test: Share = 0.1
    """The share that is kept for tests."""
    by: Template | None = None
    """The group of a row, `"{doc}"` for instance. Default: rows with the same prompt are a group."""
    seed: int = 1
    """The seed of the split."""

    @property
    def shares(self) -> dict[str, float]:
        return {"train": self.train, "validation": self.validation, "test": self.test}

    @model_validator(mode="after")
    def _whole(self) -> Self:
        total = sum(self.shares.values())
        if abs(total - 1) > 1e-6:
            raise ValueError(f"the shares must add up to 1, got {total:g}")
        return self


class PrepareSpec(Spec):
    """What is done to the rows before they are trained on. Every row that is left out is on the data card."""

    duplicates: Literal["keep", "exact", "near"] = "keep"
    """Leave out rows that repeat an earlier one: word for word, or nearly."""
    pii: Literal["keep", "refuse", "mask"] = "keep"
    """Personal data (e-mail, phone, IBAN, card, national id): refuse the file, or put `[EMAIL]` and the like there."""
    names: str | None = None
    """A spaCy model that finds the names of people too, `en_core_web_sm` for instance."""
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    """Leave out rows of more tokens, by the tokenizer of the pipeline's model."""
    split: SplitSpec | None = None
    """Divide the rows into parts. Default: all rows are trained on."""


class OwnAnswersSpec(Spec):
    """Ask the stage's input model its training prompts: its misses, judged by a suite's checks, are to be unlearnt.

    A row then holds `prompt` and `completion`, for dpo, orpo, reward and kto alike.
    """

    judged_by: str
    """The suite that lends its checks and its way of asking; none of its cases is asked."""
    at_least: Annotated[int, Field(ge=1)] = 8
    """With fewer misses than this, the stage is not trained, and says so."""


class DataSpec(Spec):
    """Training data, and how a row becomes an example: which of the templates count, the stage's method says.

    A row may hold texts or chats, as TRL's conversational forms do: `prompt`, `completion`, `chosen` and `rejected` may
    be lists of messages, and the last two may both begin with the prompt's turns.

    cpt: `text`. sft, fewshot: `prompt`, `completion`. explain: also `explanation`. dpo, orpo, reward: `prompt`,
    `chosen`, `rejected`. kto: `prompt`, `completion`, `label`. rlhf: `prompt`, and `completion` where a check is
    the reward.
    """

    path: str
    """A .jsonl, .json, .csv, .parquet or .txt file, or a folder saved by `datasets`, relative to this file."""
    split: str | None = None
    """The split of a `datasets` folder. Rows of a file are kept by `where`."""
    delimiter: Delimiter | None = None
    """What separates the cells of a CSV file. Default: the likeliest of comma, tab, semicolon and bar."""
    prompt: Template | None = None
    """What the model is asked. Default: the row's `prompt`."""
    messages: str | None = None
    """The field that holds the chat messages of the prompt, instead of `prompt`. Default: `messages`, `conversations`.
    If the assistant's words end them, these are no part of the prompt, and the completion where the row has none."""
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
    """The field that says whether a completion is wanted: true or false, 1 or 0, yes or no. Default: `label`."""
    tags: Annotated[list[str], BeforeValidator(listed)] = []
    """Fields whose values become tags, written `field=value`, as those of the suites."""
    system: Text | None = None
    """A system message for every row; give the suites the same one under `generate`."""
    where: dict[str, Any] = {}
    """Keep only rows with these values in these fields."""
    own_answers: OwnAnswersSpec | None = None
    """Learn from the model's own misses on these rows, instead of from answers that are in the file."""
    prepare: PrepareSpec | None = None
    """Duplicates, personal data, length and held-out parts. Default: all rows as they are."""

    @model_validator(mode="after")
    def _one_prompt(self) -> Self:
        if self.prompt is not None and self.messages is not None:
            raise ValueError("give `prompt` or `messages`, not both")
        return self

    def rows_for(self, method: str) -> str:
        """The method whose rows the file holds: those of sft, where the model's own answers make the rest of them."""
        return method if self.own_answers is None else "sft"
