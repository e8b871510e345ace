"""How many tokens training examples have: counted by the model's own tokenizer, or estimated without one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

from tunegate.data.methods import METHODS
from tunegate.data.training_data import Example
from tunegate.models.model import as_messages
from tunegate.progress import Progress

BYTES_PER_TOKEN = 4
"""UTF-8 bytes per token in English text, for the estimate."""
BATCH = 512


class CountTokens(Protocol):
    """Counts the tokens of examples in the trainer's format: the prompt with its longest answer.

    `exact` is False for an estimate; `how` describes how tokens are counted.
    """

    @property
    def exact(self) -> bool: ...
    @property
    def how(self) -> str: ...
    def __call__(self, examples: Sequence[Example], progress: Progress | None = None) -> list[int]: ...


class Estimate:
    """One token for every four bytes: needs no tokenizer and no extra; its error is 10 to 30 %."""

    exact = False
    how = f"estimated at {BYTES_PER_TOKEN} bytes a token"

    def __call__(self, examples: Sequence[Example], progress: Progress | None = None) -> list[int]:
        return [max(-(-len(text.encode(errors="replace")) // BYTES_PER_TOKEN) for text in _plain(e)) for e in examples]


class ModelTokens:
    """Counts with the tokenizer of a model on this machine, chat template included; loads it on first use."""

    exact = True

    def __init__(self, model: str) -> None:
        self.model = model
        self.how = f"counted by the tokenizer of {Path(model).name}"
        self._loaded: Any = None

    def __reduce__(self) -> tuple[type[ModelTokens], tuple[str]]:
        """Another process loads the tokenizer itself."""
        return ModelTokens, (self.model,)

    def __call__(self, examples: Sequence[Example], progress: Progress | None = None) -> list[int]:
        counts: list[int] = []
        for start in range(0, len(examples), BATCH):
            if progress is not None:
                progress("tokens", start, len(examples), "rows")
            counts += self._count(examples[start : start + BATCH])
        if progress is not None:
            progress("tokens", len(examples), len(examples), "rows")
        return counts

    def _count(self, examples: Sequence[Example]) -> list[int]:
        laid_out = [self._texts(example) for example in examples]
        flat = [text for texts in laid_out for text in texts]
        lengths = iter(self._tokenizer(flat, add_special_tokens=False)["input_ids"])
        return [max(len(next(lengths)) for _ in texts) for texts in laid_out]

    def _texts(self, example: Example) -> list[str]:
        tokenizer = self._tokenizer
        if example.prompt is None or tokenizer.chat_template is None:
            begin = (tokenizer.bos_token or "") if example.prompt is None else ""
            return [f"{begin}{text}{tokenizer.eos_token or ''}" for text in _plain(example)]
        messages = list(as_messages(example.prompt))
        chats = [[*messages, {"role": "assistant", "content": answer}] for answer in answers_of(example)]
        return [tokenizer.apply_chat_template(chat, tokenize=False) for chat in chats or [messages]]

    @property
    def _tokenizer(self) -> Any:
        if self._loaded is None:
            from tunegate.models.loading import load_tokenizer
            from tunegate.models.open_model import find_model

            found = find_model(self.model)
            self._loaded = load_tokenizer(*reversed(found.adapters), found.folder)
        return self._loaded


def local_tokens(model: str) -> ModelTokens | None:
    """A counter by the model's tokenizer, if the model is on this machine; None for a hub id or a server."""
    local = model.startswith("package:") or Path(model).expanduser().exists()
    return ModelTokens(model) if local else None


def answers_of(example: Example) -> list[str]:
    """The texts that follow the prompt, each in its own sequence; an explanation is in its answer's sequence."""
    if "chosen" in example.answers:
        return list(example.answers.values())
    return ["\n".join(example.answers.values())] if example.answers else []


def _plain(example: Example) -> list[str]:
    prompt = "" if example.prompt is None else "\n".join(turn["content"] for turn in as_messages(example.prompt))
    return [prompt + answer for answer in answers_of(example)] or [prompt]


def is_chunked(method: str) -> bool:
    """Whether a method cuts long texts into chunks, and so leaves no row out for its length."""
    return not METHODS[method].prompted


def chunks_of(lengths: Iterable[int], size: int) -> int:
    """How many chunks of at most `size` tokens documents make; each begins with the last token of the previous one."""
    return sum(max(1, -(-(length - 1) // max(1, size - 1))) for length in lengths)
