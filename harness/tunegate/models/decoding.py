"""The decode loop: token ids in, token ids out, for one batch on one model. Everything here uses torch.

It is faster than `model.generate` because sequences leave the batch and the key-value cache as soon as they end, what
prompts share (`prefixes`: a system message, examples, a document) is computed once, and the head of the network is
computed for last positions only.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from tunegate.models.growing_cache import branched, growing_cache, joined
from tunegate.models.model import FinishReason
from tunegate.models.prefixes import passes, shared_prefixes

PASS_TOKENS = 32
"""What a pass over the weights costs on a CPU beside its tokens, in tokens (measured with SmolLM2-135M)."""


class Pick(Protocol):
    """Chooses the next token: logits (rows, vocabulary) of the sequences `rows` -> token ids (rows,)."""

    def __call__(self, logits: Any, rows: Sequence[int], step: int) -> Any: ...


class Ended(Protocol):
    """Says whether the answer of sequence `row` ends with these new tokens."""

    def __call__(self, row: int, tokens: Sequence[int]) -> bool: ...


class NotFinite(RuntimeError):
    """The model computed NaN or infinity instead of logits."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """One finished sequence: its row in the batch, its new tokens (end token included), and why it ended."""

    row: int
    tokens: list[int]
    finish_reason: FinishReason


@dataclass
class _State:
    """A batch under way. `rows` names the sequences still in it; tensors have one row for each of them."""

    cache: Any
    mask: Any  # (rows, columns of the cache): 1 for tokens, 0 for padding
    positions: Any  # (rows, 1): position of the next token
    rows: list[int] = field(default_factory=list[int])

    def keep(self, places: Any) -> None:
        """Keep only the sequences at `places`; a place may be repeated."""
        if self.cache is not None:
            self.cache.reorder_cache(places)
        self.mask, self.positions = self.mask[places], self.positions[places]
        self.rows = [self.rows[place] for place in places.tolist()]

    def branched(self, places: Any) -> _State:
        """A new state with one sequence after each of the places; this one stays as it is."""
        return _State(branched(self.cache, places), self.mask[places], self.positions[places], list(range(len(places))))

    def branch(self, places: Sequence[int]) -> None:
        """Go on with one new sequence after each of the places; the new ones are numbered from 0."""
        import torch

        self.keep(torch.tensor(places, device=self.mask.device))
        self.rows = list(range(len(places)))


def decode(
    model: Any, prompts: Sequence[Sequence[int]], *, max_new_tokens: int, pick: Pick, ended: Ended
) -> Iterator[Decoded]:
    """Answer a batch of prompts; yields each sequence when it ends.

    Raises NotFinite when logits are not finite, and torch's own error when memory runs out.
    """
    import torch

    with torch.inference_mode():
        logits, state = prefill(model, prompts)
    answers: list[list[int]] = [[] for _ in prompts]
    for step in range(max_new_tokens):
        with torch.inference_mode():
            chosen = pick(logits, state.rows, step)
            tokens: list[int] = chosen.tolist()
        going: list[int] = []
        for place, (row, token) in enumerate(zip(state.rows, tokens, strict=True)):
            answers[row].append(token)
            if ended(row, answers[row]):
                yield Decoded(row, answers[row], "stop")
            elif step + 1 == max_new_tokens:
                yield Decoded(row, answers[row], "length")
            else:
                going.append(place)
        if not going:
            return
        with torch.inference_mode():
            if len(going) < len(tokens):
                places = torch.tensor(going, device=chosen.device)
                state.keep(places)
                chosen = chosen[places]
            logits = _advance(model, state, chosen[:, None], logits_to_keep=1)[:, -1]


def continuation_log_likelihoods(
    model: Any, contexts: Sequence[Sequence[int]], continuations: Sequence[Sequence[Sequence[int]]]
) -> list[list[float]]:
    """Log-likelihood (natural log, summed over tokens) of each continuation of each context.

    A context is computed once for all its continuations; continuations of one token need no further computation.
    """
    import torch

    with torch.inference_mode():
        logits, state = prefill(model, contexts)
        first = torch.log_softmax(logits.float(), dim=-1)
        parents = [parent for parent, options in enumerate(continuations) for _ in options]
        options = [list(option) for options in continuations for option in options]
        totals: Any = first[parents, [option[0] for option in options]]
        longest = max(len(option) for option in options)
        if longest > 1:
            state.keep(torch.tensor(parents, device=logits.device))
            ids, real = _right_padded([option[:-1] for option in options], longest - 1, logits.device)
            targets, _ = _right_padded([option[1:] for option in options], longest - 1, logits.device)
            logits = _advance(model, state, ids, real=real)
            chosen = torch.stack([_log_probabilities(*row) for row in zip(logits, targets, strict=True)])
            totals = totals + torch.where(real.bool(), chosen, 0.0).sum(-1)
        if not torch.isfinite(totals).all():
            raise NotFinite("the model's log-likelihoods are not finite numbers; its weights may have diverged")
    values: Iterator[float] = iter(totals.tolist())
    return [[next(values) for _ in options] for options in continuations]


def _log_probabilities(logits: Any, targets: Any) -> Any:
    """The log-probability of each target under its logits; row by row, since logits of a batch take gigabytes."""
    import torch

    return torch.log_softmax(logits.float(), dim=-1).gather(-1, targets[..., None])[..., 0]


def prefill(model: Any, prompts: Sequence[Sequence[int]]) -> tuple[Any, _State]:
    """Run the prompts, padded on the left; returns the logits of their last tokens (rows, vocabulary) and the state.

    What prompts share is computed once: first the stem of all, then the part that each group shares, then the rests.
    On a CPU, where padding takes as long as tokens, rests of like length are run together.
    """
    import torch

    device = model.device
    one = torch.zeros((1, 1), dtype=torch.long, device=device)
    state = _State(None, one[:, :0], one, [0])
    if not _full_attention(model):
        state.branch([0] * len(prompts))
        return _rests(model, state, prompts)
    shared = shared_prefixes(prompts)
    cache_given = not getattr(model, "begins_cache", False)
    if cache_given:
        state.cache = growing_cache(model.config)
    if shared.stem:
        _advance(model, state, torch.tensor([list(prompts[0][: shared.stem])], device=device), logits_to_keep=1)
    row_of = {place: row for row, group in enumerate(shared.groups) for place in group.places}
    parts = [prompts[group.places[0]][shared.stem : shared.stem + group.shared] for group in shared.groups]
    if any(parts):
        state.branch([0] * len(parts))
        ids, real = _left_padded(parts, device)
        _advance(model, state, ids, real=real, logits_to_keep=1)
    parents = [row_of[place] for place in range(len(prompts))]
    rests = [prompt[shared.length(place) :] for place, prompt in enumerate(prompts)]
    cost = PASS_TOKENS if cache_given and device.type == "cpu" else None
    apart = [list(range(len(rests)))] if cost is None else passes([len(rest) for rest in rests], cost)
    if len(apart) == 1:
        state.branch(parents)
        return _rests(model, state, rests)
    done: list[tuple[Any, _State]] = []
    for places in apart:
        begun = state.branched(torch.tensor([parents[place] for place in places]))
        done.append(_rests(model, begun, [rests[place] for place in places]))
    return _joined(model, done, apart)


def _rests(model: Any, state: _State, rests: Sequence[Sequence[int]]) -> tuple[Any, _State]:
    """Run what is left of the prompts of a state, one for each of its rows."""
    ids, real = _left_padded(rests, model.device)
    return _advance(model, state, ids, real=real, logits_to_keep=1)[:, -1], state


def _joined(model: Any, done: Sequence[tuple[Any, _State]], places: Sequence[Sequence[int]]) -> tuple[Any, _State]:
    """The logits and states of several passes as those of one batch; a pass computed the sequences at its `places`."""
    import torch

    states = [state for _, state in done]
    order = torch.tensor([place for some in places for place in some]).argsort()
    columns = max(state.mask.shape[1] for state in states)
    masks = [torch.nn.functional.pad(state.mask, (columns - state.mask.shape[1], 0)) for state in states]
    whole = _State(
        joined(model.config, [state.cache for state in states], places),
        torch.cat(masks)[order],
        torch.cat([state.positions for state in states])[order],
        list(range(len(order))),
    )
    return torch.cat([logits for logits, _ in done])[order], whole


def _advance(model: Any, state: _State, ids: Any, *, real: Any = None, logits_to_keep: int = 0) -> Any:
    """Feed `ids` (rows, n) to the model and move the state on; returns logits (rows, n or logits_to_keep, vocabulary).

    `real` is 1 for tokens and 0 for padding; None when all are tokens.
    """
    import torch

    if real is None:
        real = torch.ones_like(ids)
    state.mask = torch.cat([state.mask, real], dim=1)
    inputs: dict[str, Any] = {"input_ids": ids, "attention_mask": state.mask, "use_cache": True}
    if state.cache is not None:
        inputs[cache_name(model)] = state.cache
    accepted = inspect.signature(model.forward).parameters
    if "position_ids" in accepted:
        inputs["position_ids"] = (state.positions + real.cumsum(1) - 1).clamp(min=0)
    if logits_to_keep and "logits_to_keep" in accepted:
        inputs["logits_to_keep"] = logits_to_keep
    output = model(**inputs)
    state.cache = getattr(output, cache_name(model))
    state.positions = state.positions + real.sum(1, keepdim=True)
    return output.logits


def cache_name(model: Any) -> str:
    """The name of a model's cache, as an argument and in its output: transformers 5.24 renamed it."""
    return "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"


def _full_attention(model: Any) -> bool:
    """Whether padding is allowed between a shared prefix and the rest of a prompt.

    Sliding windows count columns of the cache, so padding would push the prefix out of the window; recurrent layers
    read padding; models without a positions argument compute positions in their own ways.
    """
    from transformers.cache_utils import DynamicCache, DynamicLayer

    config = model.config.get_text_config()
    layers = DynamicCache(config=config).layers
    windowed = getattr(config, "attention_layers", None) is not None  # GPT-Neo uses this for local layers
    plain = all(type(layer) is DynamicLayer for layer in layers) and not windowed
    return plain and "position_ids" in inspect.signature(model.forward).parameters


def _left_padded(sequences: Sequence[Sequence[int]], device: Any) -> tuple[Any, Any]:
    import torch

    width = max(len(ids) for ids in sequences)
    ids = torch.tensor([[0] * (width - len(ids)) + list(ids) for ids in sequences], device=device)
    real = torch.tensor([[0] * (width - len(ids)) + [1] * len(ids) for ids in sequences], device=device)
    return ids, real


def _right_padded(sequences: Sequence[Sequence[int]], width: int, device: Any) -> tuple[Any, Any]:
    import torch

    ids = torch.tensor([list(ids) + [0] * (width - len(ids)) for ids in sequences], device=device)
    real = torch.tensor([[1] * len(ids) + [0] * (width - len(ids)) for ids in sequences], device=device)
    return ids, real
