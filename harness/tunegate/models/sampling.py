"""How the next token is chosen: the most likely one, or drawn. Everything here uses torch.

The limits on what may be drawn are transformers' own logits processors, in the order in which its `generate` applies
them, so that the same settings give the same distribution. The draw is ours: each case has its own stream of random
numbers, so that neither the batch nor the order changes its answer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

from tunegate.models.decoding import NotFinite, Pick
from tunegate.models.loading import hf_import
from tunegate.models.model import GenerationSettings


def picker(prompts: Sequence[Sequence[int]], case_ids: Sequence[str], settings: GenerationSettings) -> Pick:
    """How the next tokens of a batch are chosen; `prompts` (token ids) and `case_ids` have one entry per sequence."""
    choose = _most_likely if settings.temperature <= 0 else _drawn(case_ids, settings)
    if settings.repetition_penalty in (None, 1.0):
        return lambda logits, rows, step: choose(_finite(logits), rows, step)
    return _with_penalty(prompts, float(settings.repetition_penalty), choose)


def _finite(logits: Any) -> Any:
    if not logits.amax(dim=-1).isfinite().all():  # NaN and infinity both reach the maximum
        small = str(logits.dtype) == "torch.float16"
        why = "they may be too large for float16: use float32" if small else "its weights may have diverged"
        raise NotFinite(f"the model's logits are not finite numbers; {why}")
    return logits


def _most_likely(logits: Any, rows: Sequence[int], step: int) -> Any:
    return logits.max(dim=-1).indices  # the first of equal ones, like argmax, which is four times slower in bfloat16


def _drawn(case_ids: Sequence[str], settings: GenerationSettings) -> Pick:
    """Draw from the limited softmax at the settings' temperature by inverting its cumulative distribution.

    The random numbers of a case are seeded by the settings' seed and the case's id.
    """
    torch = hf_import("torch")
    limits = _limits(settings)

    def uniforms(case_id: str) -> Any:
        digest = hashlib.sha256(f"{settings.seed}\0{case_id}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
        return torch.rand(settings.max_new_tokens, generator=generator, dtype=torch.float64)

    drawn = torch.stack([uniforms(case_id) for case_id in case_ids])

    def pick(logits: Any, rows: Sequence[int], step: int) -> Any:
        scores = logits.double() / settings.temperature
        for limit in limits:
            scores = limit(None, scores)
        cumulative = torch.softmax(scores, dim=-1).cumsum(dim=-1)
        return inverse(cumulative, drawn[list(rows), step].to(logits.device))

    return pick


def inverse(cumulative: Any, uniforms: Any) -> Any:
    """The tokens at which cumulative probabilities (rows, vocabulary) exceed uniform numbers (rows,) from [0, 1)."""
    torch = hf_import("torch")
    total = cumulative[:, -1:]
    # Below the total even after rounding: a token behind it would be one that the limits exclude.
    thresholds = torch.minimum(uniforms[:, None] * total, torch.nextafter(total, torch.zeros_like(total)))
    return torch.searchsorted(cumulative, thresholds, right=True)[:, 0]


def _limits(settings: GenerationSettings) -> list[Callable[[Any, Any], Any]]:
    """The limits on what may be drawn, in the order of transformers' `generate`."""
    process = hf_import("transformers.generation.logits_process")
    kinds = (
        (process.TopKLogitsWarper, settings.top_k),
        (process.TopPLogitsWarper, settings.top_p),
        (process.MinPLogitsWarper, settings.min_p),
        (process.TypicalLogitsWarper, None if settings.typical_p == 1 else settings.typical_p),
    )
    return [kind(value) for kind, value in kinds if value is not None]


def _with_penalty(prompts: Sequence[Sequence[int]], penalty: float, choose: Pick) -> Pick:
    """Make the tokens that a sequence already has less likely, before `choose` sees the logits."""
    torch = hf_import("torch")
    processor = hf_import("transformers.generation.logits_process").RepetitionPenaltyLogitsProcessor(penalty)
    sequences = [list(prompt) for prompt in prompts]

    def pick(logits: Any, rows: Sequence[int], step: int) -> Any:
        longest = max(len(sequences[row]) for row in rows)
        # Only which tokens there are counts, so a token of the sequence itself can fill it up.
        filled = [sequences[row] + sequences[row][:1] * (longest - len(sequences[row])) for row in rows]
        scores = processor(torch.tensor(filled, device=logits.device), _finite(logits).float())
        chosen = choose(scores, rows, step)
        for row, token in zip(rows, chosen.tolist(), strict=True):
            sequences[row].append(token)
        return chosen

    return pick
