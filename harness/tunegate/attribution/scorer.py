"""Log-probabilities of an answer, token by token, and with parts of the prompt left out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tunegate.attribution.explanation import TokenScore
from tunegate.attribution.question import Question
from tunegate.models.decoding import NotFinite, continuation_log_likelihoods
from tunegate.models.hf import HFModel
from tunegate.models.loading import hf_import
from tunegate.models.prompting import context_free

BATCH, BATCH_TOKENS = 16, 8_192

Count = Callable[[int], None]
"""Told how many sequences the model has just computed."""


class Scorer:
    """The log-probability of the answer's tokens in `target`, given a prompt with some of its tokens left out.

    What was computed once is not computed again, so that methods share their work. `passes` counts sequences.
    """

    def __init__(self, model: HFModel, question: Question, target: tuple[int, int], count: Count) -> None:
        self._model = model
        self._question = question
        self._target = target
        self._count = count
        self._known: dict[frozenset[int], float] = {}
        self.passes = 0

    def without(self, left_out: Sequence[frozenset[int]]) -> list[float]:
        """One log-probability for each set of places in the prompt that are left out."""
        new = [one for one in dict.fromkeys(left_out) if one not in self._known]
        size = max(1, min(BATCH, BATCH_TOKENS // (len(self._question.ids) + self._target[1])))
        for start in range(0, len(new), size):
            batch = new[start : start + size]
            self._known |= dict(zip(batch, self._computed(batch), strict=True))
            self.passes += len(batch)
            self._count(len(batch))
        return [self._known[one] for one in left_out]

    def _computed(self, batch: Iterable[frozenset[int]]) -> list[float]:
        first, end = self._target
        answer = self._question.answer
        contexts = [
            [token for place, token in enumerate(self._question.ids) if place not in left_out] + list(answer[:first])
            for left_out in batch
        ]
        contexts = [context or context_free(self._model.tokenizer) for context in contexts]
        options = [[list(answer[first:end])]] * len(contexts)
        return [value for [value] in continuation_log_likelihoods(self._model.model, contexts, options)]


def token_scores(model: HFModel, ids: Sequence[int], continuation: Sequence[int]) -> tuple[TokenScore, ...]:
    """Each token of a continuation with its log-probability, and the token that was most likely in its place."""
    if not continuation:
        return ()
    torch = hf_import("torch")
    with torch.inference_mode():
        whole = torch.tensor([[*ids, *continuation[:-1]]], device=model.model.device)
        output = model.model(input_ids=whole, attention_mask=torch.ones_like(whole), use_cache=False)
        logits = output.logits[0, len(ids) - 1 :].float()
        values = torch.log_softmax(logits, dim=-1)
        if not values.isfinite().all():
            raise NotFinite("the model's log-probabilities are not finite numbers; its weights may have diverged")
        tops, top_ids = values.max(dim=-1)
        own = values.gather(-1, torch.tensor(continuation, device=values.device)[:, None])[:, 0]
    return tuple(
        TokenScore(text_of(model, [token]), value, text_of(model, [top]), best)
        for token, value, top, best in zip(continuation, own.tolist(), top_ids.tolist(), tops.tolist(), strict=True)
    )


def text_of(model: HFModel, tokens: Sequence[int]) -> str:
    """Tokens as text, special tokens included: they are what an answer may end with."""
    return model.tokenizer.decode(list(tokens), clean_up_tokenization_spaces=False)


def whole_sequence(model: HFModel, question: Question, target: tuple[int, int]) -> tuple[Any, Any, Any]:
    """Prompt and answer up to the target as one batch of one row, the places that predict the target, its tokens."""
    torch = hf_import("torch")
    first, end = target
    device = model.model.device
    ids = torch.tensor([[*question.ids, *question.answer[: end - 1]]], device=device)
    places = torch.arange(len(question.ids) + first - 1, len(question.ids) + end - 1, device=device)
    return ids, places, torch.tensor(question.answer[first:end], device=device)
