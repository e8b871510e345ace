"""Method rlhf, data: the prompts for the policy, and its answers in the form for rewards."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from tunegate.cases.case import Case, Prompt
from tunegate.exceptions import ConfigError
from tunegate.models.prompting import answer_prompt
from tunegate.reading.rows import read_rows
from tunegate_trainers import training_rows
from tunegate_trainers.rewards import Answer
from tunegate_trainers.task import Task


def prompt_rows(task: Task, loaded: training_rows.Loaded, max_new_tokens: int, at_once: int) -> training_rows.Rows:
    """Rows of prompt and reference; rows with a prompt that is too long are left out, and reported.

    `at_once` prompts are answered before the policy changes; raises ConfigError if there are fewer.
    """
    limit = _longest_prompt(task, loaded.model, max_new_tokens)
    kept: list[training_rows.Row] = []
    dropped: list[int] = []
    for number, row in read_rows(Path(task.job.data)):
        training_rows.check_row(
            row, ("prompt", "completion") if "completion" in row else ("prompt",), f"{task.job.data}:{number}"
        )
        prompt = training_rows.to_trl(row, (), loaded.tokenizer)["prompt"]
        if limit is not None and len(prompt_ids(loaded.tokenizer, prompt)) > limit:
            dropped.append(number)
        else:
            kept.append({"prompt": prompt, "reference": row.get("completion")})
    if len(kept) < at_once:
        left_out = f" ({len(dropped)} more are longer than {limit} tokens)" if dropped else ""
        raise ConfigError(
            f"{task.job.data}: expected at least {at_once} prompts, a batch of answers, got {len(kept)}{left_out}; "
            "add rows, or lower args.per_device_train_batch_size"
        )
    facts: dict[str, Any] = {"row_limit": ["max_prompt_tokens", limit]} if dropped else {}
    return training_rows.Rows(kept, dropped, {"prompts_at_once": at_once, **facts})


def _longest_prompt(task: Task, model: Any, max_new_tokens: int) -> int | None:
    asked = task.options.max_prompt_tokens
    positions = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    limits = [limit for limit in (asked, positions and positions - max_new_tokens) if limit is not None]
    return min(limits, default=None)


def prompt_ids(tokenizer: Any, prompt: Any) -> list[int]:
    """The token ids that ask for an answer, exactly as in a gate."""
    return answer_prompt(tokenizer, Case("row", as_prompt(prompt)), None)


def as_prompt(prompt: Any) -> Prompt:
    """The prompt of a row, in the form of a case's prompt."""
    return prompt if isinstance(prompt, str) else tuple(prompt)


def end_ids(model: Any, tokenizer: Any) -> list[int]:
    """The tokens that end an answer, the tokenizer's first."""
    ids: Any = model.generation_config.eos_token_id
    more = [ids] if isinstance(ids, int) else list(ids or ())
    return list(dict.fromkeys([tokenizer.eos_token_id, *more]))


def answers_of(
    tokenizer: Any,
    ends: Collection[int],
    prompts: Sequence[Any],
    references: Sequence[str | None],
    completions: Sequence[Sequence[int]],
) -> list[Answer]:
    """Sampled token ids as answers; an answer is finished when its last token is one of `ends`."""
    return [
        Answer(
            Case(f"answer-{number}", as_prompt(prompt), () if reference is None else (reference,)),
            tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False),
            "stop" if ids and ids[-1] in ends else "length",
        )
        for number, (prompt, reference, ids) in enumerate(zip(prompts, references, completions, strict=True))
    ]
