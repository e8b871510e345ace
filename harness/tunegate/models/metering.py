"""The cost of a gate: tokens, seconds and memory of a model while it answers, stored next to the record of its gate.

Costs are not evidence: they are in a separate file, and no verdict depends on them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tunegate.cases.case import Case
from tunegate.models.model import GenerationSettings, Response
from tunegate.models.peak_memory import gpu_peak_bytes, peak_bytes
from tunegate.models.wrapped import WrappedModel

COST = "cost.json"


@dataclass
class Cost:
    """The cost of answering. `new_tokens` is the number of generated tokens, None if a model does not count them;
    `seconds` is the time for answering, without loading and judging; `peak_mib` is the peak memory of the process,
    `gpu_peak_mib` that of its GPUs."""

    answers: int = 0
    new_tokens: int | None = None
    seconds: float = 0.0
    peak_mib: float | None = None
    gpu_peak_mib: float | None = None

    @property
    def tokens_per_s(self) -> float | None:
        return self.new_tokens / self.seconds if self.new_tokens and self.seconds else None

    @property
    def seconds_per_case(self) -> float | None:
        return self.seconds / self.answers if self.answers else None

    def save(self, folder: Path) -> None:
        """Write it next to the record, unless nothing was asked: then the file of an earlier process stays."""
        if self.answers:
            self.peak_mib, self.gpu_peak_mib = _in_mib(peak_bytes()), _in_mib(gpu_peak_bytes())
            (folder / COST).write_text(json.dumps(asdict(self)) + "\n", encoding="utf-8")


def read_cost(folder: Path) -> Cost | None:
    """The cost of a gate; None if it is unknown."""
    try:
        return Cost(**json.loads((folder / COST).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _in_mib(size: int | None) -> float | None:
    return None if size is None else size / 2**20


@dataclass(frozen=True)
class MeteredModel(WrappedModel):
    """A model whose answers are counted and timed; otherwise it behaves like the model inside."""

    clock: Callable[[], float] = time.monotonic
    cost: Cost = field(default_factory=Cost)

    def generate(self, cases: Sequence[Case], settings: GenerationSettings) -> Iterator[tuple[int, Response]]:
        return self._metered(self.inner.generate(cases, settings))

    def score_choices(self, cases: Sequence[Case], settings: GenerationSettings) -> Iterator[tuple[int, Response]]:
        return self._metered(self.inner.score_choices(cases, settings))

    def _metered(self, answers: Iterator[tuple[int, Response]]) -> Iterator[tuple[int, Response]]:
        """Count only the time that the model takes, not the time for processing an answer."""
        while True:
            started = self.clock()
            answer = next(answers, None)
            self.cost.seconds += self.clock() - started
            if answer is None:
                return
            self.cost.answers += 1
            tokens = answer[1].n_tokens
            if tokens is not None:
                self.cost.new_tokens = (self.cost.new_tokens or 0) + tokens
            yield answer
