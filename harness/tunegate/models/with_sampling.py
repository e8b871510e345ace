"""A model that is asked with other settings of sampling than its suite's: one setting of a sweep."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tunegate.cases.case import Case
from tunegate.models.blocks import Block, expect
from tunegate.models.model import GenerationSettings, Model, Response
from tunegate.models.wrapped import AskedDifferently

FIELD = "sampling"
"""The name of the settings on record."""


@dataclass(frozen=True)
class ModelWithSampling(AskedDifferently):
    """A model with these settings of sampling instead of the suite's; `label` names them for people."""

    changes: Mapping[str, Any]
    label: str

    @property
    def name(self) -> str:
        return f"{self.inner.name} with {self.label}"

    @property
    def addition(self) -> str:
        return FIELD

    @property
    def facts(self) -> Mapping[str, Any]:
        return self.changes

    def generate(self, cases: Sequence[Case], settings: GenerationSettings) -> Iterator[tuple[int, Response]]:
        return self.inner.generate(cases, replace(settings, **self.changes))

    def expect(self, blocks: Iterable[Block]) -> None:
        expect(self.inner, map(self._changed, blocks))

    def _changed(self, block: Block) -> Block:
        """A choice is scored as before: nothing is drawn."""
        scored = block.method == "score_choices"
        return block if scored else replace(block, settings=replace(block.settings, **self.changes))

    def score_choices(self, cases: Sequence[Case], settings: GenerationSettings) -> Iterator[tuple[int, Response]]:
        return self.inner.score_choices(cases, settings)


def with_sampling(model: Model, changes: Mapping[str, Any], label: str) -> Model:
    """The model with the settings; the model itself if nothing changes."""
    return ModelWithSampling(model, changes, label) if changes else model
