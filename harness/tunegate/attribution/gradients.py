"""Methods that follow the gradient of the answer back to the embeddings of the prompt, on captum.

What they explain is the log-odds of the answer, log(p / (1 - p)): where the model is sure, the log-probability hardly
changes any more, and its gradient vanishes.

Sources: integrated gradients, M. Sundararajan, A. Taly, Q. Yan, ICML 2017; input x gradient, A. Shrikumar et al., 2016.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from tunegate.attribution.perturbation import captum
from tunegate.attribution.question import Question
from tunegate.attribution.scorer import whole_sequence
from tunegate.models.hf import HFModel
from tunegate.models.loading import hf_import

STEPS = 32
AT_ONCE = 4


class Gradients:
    """Both methods on one question; each gives a weight for every token of the prompt."""

    def __init__(self, model: HFModel, question: Question, target: tuple[int, int]) -> None:
        self._model = model
        self._question = question
        self._ids, self._places, self._tokens = whole_sequence(model, question, target)

    def input_x_gradient(self) -> list[float]:
        """The gradient at the prompt, times the embedding: how much the answer reacts to a small change of a token.

        The sizes are added up without their signs: the layers normalise what they read, so that the signed sum is close
        to 0 by construction.
        """
        with _only_inputs(self._model.model):
            found = captum().InputXGradient(self._value).attribute(self._embedded().requires_grad_())
            return self._summed(found.abs())

    def integrated_gradients(self) -> tuple[list[float], float]:
        """The gradients on the way from a neutral prompt to this one, and what their sum misses of the difference.

        In the neutral prompt every token of the user is the padding token; the chat template stays.
        """
        with _only_inputs(self._model.model):
            found, gap = (
                captum()
                .IntegratedGradients(self._value)
                .attribute(
                    self._embedded(),
                    baselines=self._neutral(),
                    n_steps=STEPS,
                    internal_batch_size=AT_ONCE,
                    return_convergence_delta=True,
                )
            )
            return self._summed(found), float(gap[0])

    def _embedded(self) -> Any:
        return self._model.model.get_input_embeddings()(self._ids).detach()

    def _neutral(self) -> Any:
        torch = hf_import("torch")
        tokenizer = self._model.tokenizer
        known = (tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id)
        neutral = next((token for token in known if token is not None), 0)
        ids = self._ids.clone()
        ids[0, torch.tensor([place for piece in self._question.members[1] for place in piece])] = neutral
        return self._model.model.get_input_embeddings()(ids).detach()

    def _value(self, embedded: Any) -> Any:
        """captum's forward function: (rows, tokens, width) to the log-odds of the target, one for each row."""
        torch = hf_import("torch")
        mask = torch.ones(embedded.shape[:2], dtype=torch.long, device=embedded.device)
        output = self._model.model(inputs_embeds=embedded, attention_mask=mask, use_cache=False)
        logits = output.logits[:, self._places].float()
        wanted = self._tokens[None, :, None].expand(len(embedded), -1, 1)
        others = torch.logsumexp(logits.scatter(-1, wanted, float("-inf")), dim=-1)
        return (logits.gather(-1, wanted)[..., 0] - others).sum(-1)

    def _summed(self, found: Any) -> list[float]:
        return found[0].float().sum(-1)[: len(self._question.ids)].tolist()


@contextmanager
def _only_inputs(model: Any) -> Generator[None]:
    """Gradients for the inputs alone: those of the weights would take as much memory as the weights."""
    torch = hf_import("torch")
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        with torch.enable_grad():
            yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)
