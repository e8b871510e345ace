"""Models around another model: in everything that they say of themselves, they are the model inside.

A model that is asked in another way than its suite says is not the same subject of a gate: its fingerprint covers both
the weights and how it is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tunegate.cases.case import Case
from tunegate.hashes import canonical_json, sha256_hex
from tunegate.models.blocks import Block, expect
from tunegate.models.model import GenerationSettings, Model, notes_of, request_of, servers_of, templates_of


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
    def servers(self) -> Sequence[Mapping[str, Any]]:
        return servers_of(self.inner)

    @property
    def sha256_now(self) -> Callable[[], str] | None:
        return getattr(self.inner, "sha256_now", None)

    @property
    def notes(self) -> tuple[str, ...]:
        return notes_of(self.inner)

    @property
    def chat_templates(self) -> tuple[str, ...]:
        return templates_of(self.inner)


class AskedDifferently(WrappedModel):
    """A model with an addition to what a suite asks of it: a subclass names the `addition` and gives its `facts`."""

    @property
    def addition(self) -> str:
        raise NotImplementedError

    @property
    def facts(self) -> Mapping[str, Any]:
        raise NotImplementedError

    @property
    def sha256(self) -> str | None:
        """Covers the weights and the addition; None for a model without a fingerprint."""
        return self._combined(self.inner.sha256)

    @property
    def sha256_now(self) -> Callable[[], str] | None:
        now: Callable[[], str] | None = getattr(self.inner, "sha256_now", None)
        return None if now is None else lambda: str(self._combined(now()))

    @property
    def request(self) -> Mapping[str, Any]:
        """The addition is on record with each gate: it is a part of every request."""
        return {**request_of(self.inner), self.addition: self.facts}

    def _combined(self, weights: str | None) -> str | None:
        return combined_sha256(weights, self.addition, self.facts)


def combined_sha256(weights: str | None, addition: str, facts: Mapping[str, Any]) -> str | None:
    """The fingerprint of a model with an addition: that of the model alone if there are no facts.

    >>> combined_sha256("weights", "prompt", {})
    'weights'
    """
    if weights is None or not facts:
        return weights
    return sha256_hex(f"{weights}\0{addition}\0{sha256_hex(canonical_json(facts))}".encode())
