"""The first token of an answer, before it is chosen: which tokens a model gives which log-probability after a prompt.

Answers hide small differences between two models, and enlarge others: one token that differs changes all that follow.
The log-probabilities of the first token differ as little or as much as the models do.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tunegate.cases.case import Case
from tunegate.models import decoding, loading, prompting
from tunegate.models.hf import HFModel
from tunegate.models.model import GenerationSettings

KEPT = 256
"""How many of the likeliest tokens are kept."""
BATCH = 8
LEAST = 1e-4
"""The smallest probability that a server's tokens can leave: what they add up to is rounded."""
SAME_GAP = 0.1
"""Natural log: the largest median gap of the same weights, whatever computes them, at 8 bits or more. A lower limit of
a gap that is not larger could be that of the same weights, and of any others."""


@dataclass(frozen=True, slots=True)
class FirstToken:
    """What is known of a prompt and its next token; None and empty: not told.

    `log_probabilities` (natural log) has the likeliest tokens by their text. `prompt` is the text with all special
    tokens, `n_prompt` the number of its tokens.
    """

    log_probabilities: Mapping[str, float]
    n_prompt: int | None = None
    prompt: str | None = None


def first_tokens(model: HFModel, cases: Sequence[Case], settings: GenerationSettings) -> list[FirstToken]:
    """The first tokens of a local model, one per case, in order; raises ConfigError for prompts that it cannot take."""
    prompts = [prompting.answer_prompt(model.tokenizer, case, settings) for case in cases]
    found: list[FirstToken] = []
    for begin in range(0, len(prompts), BATCH):
        found += _of_batch(model, prompts[begin : begin + BATCH])
    return found


def _of_batch(model: HFModel, prompts: Sequence[list[int]]) -> Iterator[FirstToken]:
    torch = loading.hf_import("torch")
    with torch.inference_mode():
        logits, _ = decoding.prefill(model.model, prompts)
        values, ids = torch.log_softmax(logits.float(), dim=-1).topk(min(KEPT, logits.shape[-1]))
    for prompt, row, tokens in zip(prompts, values.tolist(), ids.tolist(), strict=True):
        known: dict[str, float] = {}
        for value, token in zip(row, tokens, strict=True):
            known.setdefault(text_of(model.tokenizer, [token]), value)
        yield FirstToken(known, len(prompt), text_of(model.tokenizer, prompt))


def text_of(tokenizer: Any, ids: Sequence[int]) -> str:
    """The text of tokens, special ones included."""
    return tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)


def gap(ours: FirstToken, theirs: FirstToken) -> float | None:
    """By how much the log-probability of our likeliest token differs; None where they told none.

    Servers tell a few tokens only. A token that is not among theirs has at most the smallest of theirs, and at most the
    probability that theirs leave, so the gap is at least the distance to that. If this is small, the gap is unknown.
    Some servers tell special tokens as an empty text.

    >>> gap(FirstToken({"A": -0.1, "B": -3.0}), FirstToken({"B": -0.2, "A": -1.9}))
    1.8
    """
    if not theirs.log_probabilities or not ours.log_probabilities:
        return None
    token = max(ours.log_probabilities, key=ours.log_probabilities.__getitem__)
    value = ours.log_probabilities[token]
    there = theirs.log_probabilities.get(token, theirs.log_probabilities.get(""))
    if there is None:
        left = 1.0 - sum(map(math.exp, theirs.log_probabilities.values()))
        at_least = value - min(*theirs.log_probabilities.values(), math.log(max(left, LEAST)))
        return at_least if at_least > SAME_GAP else None
    return abs(value - there)
