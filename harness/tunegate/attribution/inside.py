"""What happens between the layers: attention rollout, the attention of single heads, and the logit lens.

Sources: attention rollout, S. Abnar, W. Zuidema, ACL 2020; logit lens, nostalgebraist, "interpreting GPT: the logit
lens", LessWrong 2020.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tunegate.attribution.explanation import Focus, LayerGuess, Lens
from tunegate.attribution.question import Question
from tunegate.attribution.scorer import text_of, whole_sequence
from tunegate.exceptions import CannotJudge
from tunegate.models.hf import HFModel
from tunegate.models.loading import hf_import

MOST_TOKENS = 2_048
"""Attention weights take memory that grows with the square of this: 30 layers of 9 heads take 4.5 GB."""
FINAL_NORMS = ("norm", "ln_f", "final_layer_norm", "final_layernorm", "embedding_norm")
"""The names that transformers gives the normalisation after the last layer."""


@dataclass(frozen=True, slots=True)
class Attended:
    """The rollout's weight of every token of the prompt, and what single heads look at among the shown pieces."""

    rollout: list[float]
    heads: tuple[Focus, ...]


def attended(model: HFModel, question: Question, target: tuple[int, int]) -> Attended:
    """Attention rollout from the places that predict the target; a residual connection counts as half of each layer.

    Raises CannotJudge for a model whose layers return no attention weights.
    """
    torch = hf_import("torch")
    ids, places, _ = whole_sequence(model, question, target)
    if ids.shape[1] > MOST_TOKENS:
        raise CannotJudge(f"{ids.shape[1]} tokens: attention weights are computed for at most {MOST_TOKENS}")
    with torch.inference_mode(), _eager(model.model):
        output = model.model(
            input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False, output_attentions=True
        )
    layers: Sequence[Any] = [one for one in output.attentions or () if one is not None]
    if not layers:
        raise CannotJudge("the layers of this model return no attention weights")
    length = len(question.ids)
    seen: Any = None
    for layer in layers:
        mixed = layer[0].float().mean(0)
        mixed = 0.5 * mixed + 0.5 * torch.eye(len(mixed), device=mixed.device)
        mixed = mixed / mixed.sum(-1, keepdim=True)
        seen = mixed if seen is None else mixed @ seen
    heads = tuple(
        focus
        for number, layer in enumerate(layers, 1)
        for focus in _focuses(number, layer[0][:, places].float().mean(1), question.members[1])
    )
    return Attended(seen[places].mean(0)[:length].tolist(), heads)


def _focuses(layer: int, weights: Any, pieces: Sequence[Sequence[int]]) -> Generator[Focus]:
    """What each head looks at most, among the pieces: (heads, tokens) weights."""
    for head, row in enumerate(weights.tolist(), 1):
        sums = [sum(row[place] for place in piece) for piece in pieces]
        if sums:
            best = max(range(len(sums)), key=sums.__getitem__)
            yield Focus(layer, head, best, sums[best])


@contextmanager
def _eager(model: Any) -> Generator[None]:
    """Fast attention never writes its weights down; this computes them."""
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def logit_lens(model: HFModel, question: Question, target: tuple[int, int]) -> Lens:
    """The guess after each layer for the first token of the target, through the model's own last norm and head.

    Raises CannotJudge for a model that is built differently, so that the last guess is not the model's answer.
    """
    torch = hf_import("torch")
    ids, places, tokens = whole_sequence(model, question, target)
    place, token = int(places[0]), int(tokens[0])
    reference = None
    if question.parting is not None and question.reference is not None and question.parting < len(question.reference):
        reference = question.reference[question.parting]
    norm, head = _last_norm(model.model), model.model.get_output_embeddings()
    before: list[Any] = []

    def keep(_: Any, given: tuple[Any, ...]) -> None:
        before.append(given[0])

    hook = norm.register_forward_pre_hook(keep)
    try:
        with torch.inference_mode():
            output = model.model(
                input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False, output_hidden_states=True
            )
    finally:
        hook.remove()
    with torch.inference_mode():
        states = [*(state[0, place] for state in output.hidden_states[1:-1]), before[-1][0, place]]
        values = torch.log_softmax(head(norm(torch.stack(states))).float(), dim=-1)
        own = int(output.logits[0, place].argmax())
    tops: list[int] = values.argmax(-1).tolist()
    if tops[-1] != own:
        raise CannotJudge("the last guess is not the model's answer: this model treats its last layer differently")
    return Lens(
        tuple(
            LayerGuess(
                layer,
                text_of(model, [top]),
                float(row[token]),
                None if reference is None else float(row[reference]),
                top == token,
            )
            for layer, (top, row) in enumerate(zip(tops, values, strict=True), 1)
        )
    )


def _last_norm(model: Any) -> Any:
    body = model.base_model
    found = next((getattr(body, name) for name in FINAL_NORMS if hasattr(body, name)), None)
    if found is None or model.get_output_embeddings() is None:
        raise CannotJudge(
            f"{type(model).__name__}: the norm after its last layer was not found, so its layers cannot be read"
        )
    return found
