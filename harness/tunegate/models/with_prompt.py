"""A model with a prompt of its own: a system message, a template around each question, and worked examples.

The weights stay as they are. Weights and prompt together are what a gate tests, so the fingerprint covers both.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

from tunegate.cases.case import Case, Prompt
from tunegate.hashes import canonical_json, sha256_hex
from tunegate.models.blocks import Block, expect
from tunegate.models.fewshot import FewShotModel, Shot, WordIndex, without_system
from tunegate.models.model import GenerationSettings, Model, Response
from tunegate.models.wrapped import AskedDifferently
from tunegate.reading.chats import Message
from tunegate.reading.templates import fill

FIELD = "prompt"
"""The field of a template that stands for the question of a case."""


@dataclass(frozen=True, slots=True)
class OwnPrompt:
    """What a prompt file says. `nearest`: only this number of shots is shown, those most similar to the question; None:
    all of them, in their order.

    Example:
        >>> OwnPrompt("brief", system="Answer with one word.").text
        'system: Answer with one word.'
    """

    name: str
    system: str | None = None
    template: str | None = None
    shots: tuple[Shot, ...] = ()
    nearest: int | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """What the model is told, without the name, as a record holds it."""
        facts = {name: value for name, value in asdict(self).items() if name != "name" and value not in (None, ())}
        return json.loads(canonical_json(facts))

    @property
    def sha256(self) -> str:
        """The hash of what the model is told: a prompt of another name is the same prompt."""
        return sha256_hex(canonical_json(self.facts))

    @property
    def text(self) -> str:
        """The prompt for people, as text; empty for the empty prompt."""
        parts = [f"system: {self.system}"] if self.system is not None else []
        parts += [f"template: {self.template}"] if self.template is not None else []
        if self.nearest is not None:
            parts.append(f"examples: the {self.nearest} most similar of {len(self.shots)}, from which:")
        shown = self.shots if self.nearest is None else self.shots[: self.nearest]
        parts += [f"example: {_words(shot.prompt)}\nanswer: {shot.answer}" for shot in shown]
        return "\n\n".join(parts)

    def around(self, prompt: Prompt) -> Prompt:
        """The prompt with its last question in the template; a system message of the prompt gives way to this one."""
        if not isinstance(prompt, str) and self.system is not None:
            prompt = without_system(prompt)
        if self.template is None:
            return prompt
        if isinstance(prompt, str):
            return fill(self.template, {FIELD: prompt})
        last = max((place for place, turn in enumerate(prompt) if turn["role"] == "user"), default=None)
        return tuple(
            Message(role=turn["role"], content=fill(self.template, {FIELD: turn["content"]})) if place == last else turn
            for place, turn in enumerate(prompt)
        )


def _words(prompt: Prompt) -> str:
    return prompt if isinstance(prompt, str) else "\n".join(turn["content"] for turn in prompt)


class InOrder:
    """An index that finds all texts, the first being the least similar: so they are shown in their order."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._places = list(reversed(range(len(texts))))

    def nearest(self, text: str, k: int) -> list[int]:
        return self._places[:k]


@dataclass(frozen=True)
class ModelWithPrompt(AskedDifferently):
    """A model that is asked every question with a prompt around it. `chat`: whether it takes chats (else: raw text).

    The prompt's system message replaces those of the suite and of the case.
    """

    prompt: OwnPrompt
    chat: bool = True

    @property
    def name(self) -> str:
        return f"{self.inner.name} with prompt {self.prompt.name}"

    @property
    def addition(self) -> str:
        return FIELD

    @property
    def facts(self) -> Mapping[str, Any]:
        return self.prompt.facts

    def generate(self, cases: Sequence[Case], settings: GenerationSettings) -> Iterator[tuple[int, Response]]:
        return self._asked.generate([self._around(case) for case in cases], self._settings(settings))

    def score_choices(self, cases: Sequence[Case], settings: GenerationSettings) -> Iterator[tuple[int, Response]]:
        return self._asked.score_choices([self._around(case) for case in cases], self._settings(settings))

    def expect(self, blocks: Iterable[Block]) -> None:
        expect(
            self._asked,
            (Block(one.method, tuple(map(self._around, one.cases)), self._settings(one.settings)) for one in blocks),
        )

    def _around(self, case: Case) -> Case:
        return replace(case, prompt=self.prompt.around(case.prompt))

    def _settings(self, settings: GenerationSettings) -> GenerationSettings:
        return settings if self.prompt.system is None else replace(settings, system=self.prompt.system)

    @cached_property
    def _asked(self) -> Model:
        """The model inside, with the examples, if there are any."""
        own = self.prompt
        if not own.shots:
            return self.inner
        shots = [Shot(own.around(shot.prompt), shot.answer) for shot in own.shots]
        k, index = (len(shots), InOrder) if own.nearest is None else (own.nearest, WordIndex)
        return FewShotModel(self.inner, shots, k, self.chat, index)


def with_prompt(model: Model, prompt: OwnPrompt) -> Model:
    """The model with the prompt; the model itself with the empty prompt.

    A model on this machine without a chat template gets its examples as text, as `tunegate.models.fewshot` says.
    """
    chat = bool(getattr(model, "chat_templates", True))
    return ModelWithPrompt(model, prompt, chat) if prompt.facts else model
