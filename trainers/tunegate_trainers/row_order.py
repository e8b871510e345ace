"""In which order a training sees its rows: by length where the order is free, and the same when it resumes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

BY_LENGTH: dict[str, Any] = {"train_sampling_strategy": "group_by_length"}
"""For TRL's config class: batches are random, of rows of like length, which need little padding."""


class OrderOfEpoch:
    """A sampler of transformers that takes a generator: its order depends on the seed and the number of the epoch only.

    Otherwise it would depend on the random state of the process, which is another one when a training resumes.
    """

    def __init__(self, sampler: Any, seed: int) -> None:
        self._sampler, self._seed, self._epoch = sampler, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer before each epoch, also the one in which it resumes."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._sampler)

    def __iter__(self) -> Iterator[int]:
        from torch import Generator

        self._sampler.generator = Generator().manual_seed(self._seed + self._epoch)
        return iter(self._sampler)


def repeat_when_resumed(trainer: Any) -> None:
    """Let a trainer of transformers that groups rows by length see them in the same order when it resumes."""
    from transformers.trainer_pt_utils import LengthGroupedSampler

    sampler_of = trainer._get_train_sampler

    def repeated(*arguments: Any) -> Any:
        sampler = sampler_of(*arguments)
        seed = trainer.args.seed if trainer.args.data_seed is None else trainer.args.data_seed
        return OrderOfEpoch(sampler, seed) if isinstance(sampler, LengthGroupedSampler) else sampler

    trainer._get_train_sampler = repeated
