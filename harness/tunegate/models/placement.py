"""On which devices a model's weights lie: on one, or in several GPUs if one is too small."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tunegate.exceptions import ConfigError
from tunegate.models.loading import hf_import

FOR_WEIGHTS = 0.8
"""The share of a GPU's free memory that weights may take; the rest is for keys, values and activations."""


def shares(weights: int, free: Sequence[int]) -> dict[int, int] | None:
    """How many bytes of weights each GPU takes at most, by its number; None if the first GPU alone is enough, or all.

    `weights` are the bytes of the weights in the number type of the computation, `free` the free bytes of each GPU.

    Example:
        >>> shares(70, [100, 50]), shares(90, [100]), shares(90, [100, 50])
        (None, None, {0: 80, 1: 40})
    """
    if weights <= FOR_WEIGHTS * free[0] or len(free) == 1:
        return None
    return {number: int(FOR_WEIGHTS * room) for number, room in enumerate(free)}


def layers_on(model: Any, room: Mapping[int, int]) -> dict[str, int]:
    """The GPU of each part of a model, filled in order; a layer stays whole. `room` are the bytes for weights of each.

    Raises ConfigError if the GPUs together are too small: weights in main memory would take minutes for each answer.
    """
    accelerate = hf_import("accelerate")
    # What does not fit is laid on the disk.
    found = accelerate.infer_auto_device_map(
        model, max_memory=dict(room), no_split_module_classes=model._no_split_modules
    )
    if "disk" in found.values():
        raise ConfigError(
            f"the weights take {bytes_of(model) / 1e9:.1f} GB, but the GPUs have room for "
            f"{sum(room.values()) / 1e9:.1f} GB: free their memory, use larger ones, or ask a server that has the model"
        )
    return found


def bytes_of(model: Any) -> int:
    """The bytes of a model's weights in memory; weights that two parts share count once."""
    return sum(weights.numel() * weights.element_size() for weights in model.parameters())


def place(model: Any, device: str) -> Any:
    """The model on its device. `cuda` means the first GPU, or several if it is too small; `cuda:1` means that one."""
    if device == "cuda":
        cuda = hf_import("torch").cuda
        free = [int(cuda.mem_get_info(number)[0]) for number in range(cuda.device_count())]
        if (room := shares(bytes_of(model), free)) is not None:
            return hf_import("accelerate").dispatch_model(model, layers_on(model, room))
    return model.to(device)
