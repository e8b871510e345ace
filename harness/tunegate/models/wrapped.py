"""A model around another model: in everything that it says of itself, it is the model inside."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tunegate.cases.case import Case
from tunegate.models.blocks import Block, expect
from tunegate.models.model import GenerationSettings, Model, notes_of, request_of, templates_of


@dataclass(frozen=True)
class WrappedModel:
    """The properties of the model inside; a subclass says how its answers come about."""

    inner: Model

    @property
    def name(self) -> str:
        return self.inner.name

    @property
    def sha256(self) -> str | None:
        return self.inner.sha256

    @property
    def dtype(self) -> str | None:
        return self.inner.dtype

    @property
    def block_size(self) -> int:
        return self.inner.block_size

    def as_asked(self, cases: Sequence[Case], settings: GenerationSettings) -> Sequence[Case]:
        """The cases as the model inside is asked them."""
        return cases

    def expect(self, blocks: Iterable[Block]) -> None:
        expect(self.inner, (replace(one, cases=tuple(self.as_asked(one.cases, one.settings))) for one in blocks))

    @property
    def request(self) -> Mapping[str, Any]:
        return request_of(self.inner)

    @property
    def sha256_now(self) -> Callable[[], str] | None:
        return getattr(self.inner, "sha256_now", None)

    @property
    def notes(self) -> tuple[str, ...]:
        return notes_of(self.inner)

    @property
    def chat_templates(self) -> tuple[str, ...]:
        return templates_of(self.inner)
