"""Reward models: networks with one output that score an answer to a prompt and do not answer themselves.

A stage with method `reward` writes such a folder: a model for sequence classification with `num_labels` 1. The reward
is read at the last token of prompt and answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunegate.cases.case import Case, Prompt
from tunegate.exceptions import ConfigError
from tunegate.models import loading, placement, prompting
from tunegate.models.chat_template import check_nothing_dropped
from tunegate.models.loading import Dtype, hf_import
from tunegate.models.model import ChoiceScore, Fault, GenerationSettings, Response, as_messages

BATCH_SIZE_CPU, BATCH_SIZE_GPU = 16, 64
ANSWERS_NOTHING = (
    "a reward model does not answer, it only scores answers; judge it with cases that have `choices` and the check "
    "`choice`"
)


def scored_ids(tokenizer: Any, prompt: Prompt, answer: str) -> list[int]:
    """Token ids of a prompt with its answer, as in TRL's RewardTrainer."""
    if tokenizer.chat_template:
        messages = [*as_messages(prompt), {"role": "assistant", "content": answer}]
        return tokenizer.apply_chat_template(messages, return_dict=False)
    if not isinstance(prompt, str):
        raise ConfigError(
            f"{tokenizer.name_or_path}: chat messages need a chat template, but the tokenizer has none; add "
            "chat_template.jinja"
        )
    return tokenizer(prompt + answer + tokenizer.eos_token)["input_ids"]


def score_in_float32(model: Any) -> Any:
    """Let the head of a decoder compute in float32, whatever the body uses: bfloat16 has only 8 bits of precision."""
    if hasattr(model, "score"):
        model.score.float().register_forward_pre_hook(_to_float32)
    return model


def _to_float32(_: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(value.float() for value in inputs)


def check_same_tokenizer(reward: Path, policy: Path) -> None:
    """Raise ConfigError if a reward model's vocabulary or chat template differs from the policy's."""
    ours, theirs = loading.load_tokenizer(reward), loading.load_tokenizer(policy)
    differ = "its vocabulary" if ours.get_vocab() != theirs.get_vocab() else "its chat template"
    if ours.get_vocab() != theirs.get_vocab() or ours.chat_template != theirs.chat_template:
        raise ConfigError(
            f"{reward}: the reward model has another tokenizer than {policy} ({differ} differs); train the reward "
            "model from the same base model"
        )


@dataclass(frozen=True)
class RewardModel:
    """A model that scores answers; `open_model` makes one from a folder."""

    name: str
    sha256: str | None
    model: Any
    tokenizer: Any
    batch_size: int
    sha256_now: Callable[[], str] | None = None
    """Hashes the files again that it was loaded from."""

    @classmethod
    def load(
        cls,
        folder: Path,
        *,
        name: str | None = None,
        sha256: str | None = None,
        device: str | None = None,
        dtype: Dtype = "auto",
        batch_size: int | None = None,
    ) -> RewardModel:
        """Load the reward model in `folder`; refuses a tokenizer with more tokens than the model has embeddings."""
        device = loading.choose_device(device)
        tokenizer = loading.load_tokenizer(folder)
        model = loading.load_weights(folder, loading.choose_dtype(dtype, device), "AutoModelForSequenceClassification")
        _check_outputs(folder, model, tokenizer)
        config = model.config.get_text_config()
        if config.pad_token_id is None:  # transformers uses it to find the last token of an answer
            config.pad_token_id = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
        default_batch = BATCH_SIZE_GPU if device.startswith("cuda") else BATCH_SIZE_CPU
        model = score_in_float32(placement.place(model, device))
        return cls(name or str(folder), sha256, model, tokenizer, batch_size or default_batch)

    @property
    def dtype(self) -> str:
        """The number type of its body; its head computes in float32."""
        return str(self.model.dtype).removeprefix("torch.")

    @property
    def block_size(self) -> int:
        """How many cases are scored, and then recorded, at once."""
        return self.batch_size

    def generate(self, cases: Sequence[Case], settings: GenerationSettings) -> Iterator[tuple[int, Response]]:
        """An error for every case, which makes it INVALID."""
        for index in range(len(cases)):
            yield index, Response("", error=ANSWERS_NOTHING, fault=Fault.REJECTED)

    def score_choices(self, cases: Sequence[Case], settings: GenerationSettings) -> Iterator[tuple[int, Response]]:
        """The reward of every choice as the answer to its prompt, instead of a likelihood; the text is the best
        choice."""
        if settings.form == "raw":
            raise ConfigError(
                f"model {self.name}: a reward model scores chats, so `form: raw` is not possible; leave it out"
            )
        prompting.check_settings(self.tokenizer, settings)
        for index, case in enumerate(cases):
            if not case.choices:
                yield index, Response("", error="the case has no choices", fault=Fault.REJECTED)
                continue
            try:
                prompt = settings.asks(case.prompt)
                if self.tokenizer.chat_template:
                    check_nothing_dropped(prompting.render_by(self.tokenizer), as_messages(prompt))
                rewards = self.rewards([(prompt, choice) for choice in case.choices])
            except ConfigError:
                raise
            except Exception as error:  # one case that cannot be scored does not affect the others
                yield index, Response("", error=f"no reward: {loading.one_line(error)}", fault=Fault.NO_REPLY)
                continue
            best = case.choices[rewards.index(max(rewards))]
            yield index, Response(best, "stop", choice_scores=tuple(ChoiceScore(reward, None) for reward in rewards))

    def rewards(self, answered: Sequence[tuple[Prompt, str]]) -> list[float]:
        """The reward of each (prompt, answer); raises ValueError for a pair that is too long for the model."""
        rows = [scored_ids(self.tokenizer, prompt, answer) for prompt, answer in answered]
        limit = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        longest = max(map(len, rows), default=0)
        if limit is not None and longest > limit:
            raise ValueError(f"{longest} tokens of prompt and answer exceed the model's {limit} positions")
        order = sorted(range(len(rows)), key=lambda index: -len(rows[index]))
        rewards = [0.0] * len(rows)
        for start in range(0, len(order), self.batch_size):
            batch = order[start : start + self.batch_size]
            for index, reward in zip(batch, self._forward([rows[index] for index in batch]), strict=True):
                rewards[index] = reward
        return rewards

    def _forward(self, rows: Sequence[Sequence[int]]) -> list[float]:
        torch = hf_import("torch")
        width, pad = max(map(len, rows)), self.model.config.get_text_config().pad_token_id
        ids = torch.tensor([[*row, *[pad] * (width - len(row))] for row in rows], device=self.model.device)
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows], device=self.model.device)
        with torch.inference_mode():
            return self.model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, 0].float().tolist()


def _check_outputs(folder: Path, model: Any, tokenizer: Any) -> None:
    if model.config.num_labels != 1:
        raise ConfigError(
            f"{folder}: a reward model with one output was expected, got a classifier with "
            f"{model.config.num_labels} outputs"
        )
    embedded = model.get_input_embeddings().weight.shape[0]
    if len(tokenizer) > embedded:
        raise ConfigError(
            f"{folder}: the tokenizer has {len(tokenizer)} tokens, but the reward model has {embedded} embeddings: "
            "it is "
            "another model's tokenizer; copy the tokenizer files from the training into the folder"
        )
