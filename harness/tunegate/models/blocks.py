"""The blocks that a model will be asked: a model that answers on several workers begins with them before its turn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol, cast

from tunegate.cases.case import Case
from tunegate.hashes import canonical_json, sha256_hex
from tunegate.models.model import GenerationSettings, Model, Response

Method = Literal["generate", "score_choices"]


@dataclass(frozen=True)
class Block:
    """One call of a model: the method, the cases and the settings. `id` covers everything that the model sees."""

    method: Method
    cases: tuple[Case, ...]
    settings: GenerationSettings

    @cached_property
    def id(self) -> str:
        seen = [[case.id, case.prompt, case.context, case.choices] for case in self.cases]
        return sha256_hex(canonical_json([self.method, self.settings.facts(), seen]))

    def asked_of(self, model: Model) -> Iterator[tuple[int, Response]]:
        """The model's answers to this block."""
        ask = model.generate if self.method == "generate" else model.score_choices
        return ask(self.cases, self.settings)


class Expects(Protocol):
    """A model that wants to know what it will be asked: the optional method `expect` of a model."""

    def expect(self, blocks: Iterable[Block]) -> None: ...


def expect(model: Model, blocks: Iterable[Block]) -> None:
    """Tell a model which blocks follow, in order; they replace those that it was told before.

    A hint, no promise: a draw that stops early asks fewer. Without the method `expect`, nothing happens, and lazy
    `blocks` are not even made.
    """
    if hasattr(model, "expect"):
        cast(Expects, model).expect(blocks)
