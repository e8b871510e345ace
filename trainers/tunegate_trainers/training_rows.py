"""The rows that a training reads: checked, fitted to the model's window, and converted for TRL."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tunegate.exceptions import ConfigError
from tunegate.reading.rows import Row, read_rows
from tunegate.training.trainer import TrainJob


@dataclass(frozen=True, slots=True)
class Loaded:
    """The stage's input: model and tokenizer, and the new adapter to train on top (None if there is none).

    `model` is a PeftModel if the input is an adapter folder, whose training continues.
    """

    model: Any
    tokenizer: Any
    peft_config: Any | None


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows ready for TRL, and the line numbers of those that do not fit `max_length`.

    `facts` are further facts about them for the summary.
    """

    kept: list[Row]
    dropped: list[int]
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])


def fit_rows(
    job: TrainJob,
    tokenizer: Any,
    max_length: int | None,
    keys: Sequence[str],
    shape: Callable[[Row], Row] | None = None,
    carried: Sequence[str] = (),
) -> Rows:
    """Read the job's rows, put them into TRL's format, and leave out those longer than `max_length` tokens.

    TRL would cut such rows silently. `keys` are the fields of a row, the first being the prompt. `shape` makes the
    prompt and completion to train on, if they are not these fields unchanged. Fields in `carried` are not text and are
    passed on unchanged.
    """
    completions = keys[1:] if shape is None else ("completion",)
    kept: list[Row] = []
    dropped: list[int] = []
    for number, row in read_rows(Path(job.data)):
        check_row(row, keys, f"{job.data}:{number}")
        try:
            formatted = to_trl(row if shape is None else shape(row), completions, tokenizer)
        except ConfigError as error:
            raise ConfigError(f"{job.data}:{number}: {error}") from error
        if max_length is not None and _length(formatted, completions, tokenizer) > max_length:
            dropped.append(number)
        else:
            kept.append({**formatted, **{key: row[key] for key in carried}})
    if not kept:
        raise ConfigError(
            f"{job.data}: all {len(dropped)} rows are longer than max_length {max_length}; raise args.max_length"
        )
    return Rows(kept, dropped, {"row_limit": ["max_length", max_length]} if dropped else {})


def check_row(row: Row, keys: Sequence[str], where: str) -> None:
    """Raise ConfigError for a row in which a field is missing or is not text."""
    for key in keys:
        if key not in row:
            raise ConfigError(f"{where}: {key!r} is missing; a row needs {', '.join(keys)}")
        if not isinstance(row[key], str) and not (key == "prompt" and isinstance(row[key], list)):
            raise ConfigError(f"{where}: {key!r}: expected text, got {type(row[key]).__name__}")


def to_trl(row: Row, completions: Sequence[str], tokenizer: Any) -> Row:
    """A row for TRL: a conversation if the tokenizer has a chat template, exactly as in a gate."""
    prompt = row["prompt"]
    if tokenizer.chat_template is None:
        if not isinstance(prompt, str):
            raise ConfigError("prompt: chat messages need a tokenizer with a chat template; this model has none")
        return {"prompt": prompt, **{key: row[key] for key in completions}}
    messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
    return {"prompt": messages, **{key: [{"role": "assistant", "content": row[key]}] for key in completions}}


def _length(row: Row, completions: Sequence[str], tokenizer: Any) -> int:
    """Tokens of the row's longest prompt-and-completion."""
    if tokenizer.chat_template is None:
        texts = [row["prompt"] + row[key] + tokenizer.eos_token for key in completions]
        return max(len(tokenizer(text)["input_ids"]) for text in texts)
    chats = [row["prompt"] + row[key] for key in completions]
    return max(len(tokenizer.apply_chat_template(chat, return_dict=False)) for chat in chats)
