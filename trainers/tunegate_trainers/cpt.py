"""Continued pre-training: the model reads plain text of its new domain (TRL's SFTTrainer, packed).

A document is trained in the form that `perplexity` uses: after the begin-of-text token, followed by the end-of-text
token. Several documents are packed into one row of `max_length` tokens, each with its own positions from 0; from these
transformers makes an attention mask, also on CPUs, so that no token sees another document (measured by
tests/trainers/test_method_cpt.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from tunegate.exceptions import SettingError
from tunegate.models.prompting import context_free, plain_ids
from tunegate.reading.rows import read_rows
from tunegate_trainers import common, training_rows
from tunegate_trainers.settings import Settings
from tunegate_trainers.task import MethodOptions, Task

ROW = ("text",)


class Options(MethodOptions):
    """How documents are cut."""

    config_file = "trainer/sft_config.py"

    chunk_tokens: Annotated[int, Field(ge=2)] | None = None
    """Longer documents are cut into chunks of this number of tokens; none is left out. Default: `args.max_length`."""

    def check(self, settings: Settings) -> None:
        args = settings.args
        length = args.get("max_length", 1024)
        if length is None:
            raise SettingError(
                "args.max_length", "expected a number, because documents are packed into rows of this length"
            )
        if self.chunk_tokens is not None and self.chunk_tokens > length:
            raise SettingError(
                "options.chunk_tokens", f"expected at most {length} (args.max_length), got {self.chunk_tokens}"
            )


PACKED = {
    "packing": True,
    "packing_strategy": "bfd_split",
    # A batch of packed rows becomes one long row, whose attention costs the square of its length: one at a time.
    "per_device_train_batch_size": 1,
    "gradient_accumulation_steps": 8,
}
"""The defaults for `args`; eight rows per step is TRL's own default."""


def train(task: Task) -> tuple[common.Log, common.Summary]:
    """Train on rows of text; every token but the first counts towards the loss, once. Returns (log, summary)."""
    return common.run(task, build)


def build(task: Task, loaded: training_rows.Loaded) -> common.Built:
    """The trainer, not yet started."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer  # pyright: ignore[reportPrivateImportUsage]

    config = SFTConfig(**PACKED | common.arguments(task.job))
    size: Any = task.options.chunk_tokens or config.max_length  # not None: Options.check
    rows, cut = _chunked(Path(task.job.data), loaded.tokenizer, size)
    trainer = SFTTrainer(
        model=loaded.model,
        args=config,
        train_dataset=Dataset.from_dict({"input_ids": cut}),
        processing_class=loaded.tokenizer,
        peft_config=loaded.peft_config,
    )
    return trainer, rows


def _chunked(data: Path, tokenizer: Any, size: int) -> tuple[training_rows.Rows, list[list[int]]]:
    """The rows, all of them kept, and their tokens in chunks of at most `size`."""
    kept: list[training_rows.Row] = []
    cut: list[list[int]] = []
    for number, row in read_rows(data):
        training_rows.check_row(row, ROW, f"{data}:{number}")
        kept.append(row)
        cut += chunks(document_ids(tokenizer, row["text"]), size)
    return training_rows.Rows(kept, [], {"chunks": len(cut)}), cut


def document_ids(tokenizer: Any, text: str) -> list[int]:
    """A document between the begin-of-text and the end-of-text token."""
    end = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    return [*context_free(tokenizer), *plain_ids(tokenizer, text), *end]


def chunks(ids: list[int], size: int) -> list[list[int]]:
    """Cut into chunks of at most `size` tokens.

    Each begins with the last token of the previous chunk, whose loss does not count: so every token but the first of a
    document is predicted exactly once.
    """
    return [ids[start : start + size] for start in range(0, max(len(ids) - 1, 1), size - 1)]
