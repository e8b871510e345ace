"""On which devices a model's weights lie: on one, or in several GPUs if one is too small."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tunegate.exceptions import ConfigError
from tunegate.models.loading import hf_import, one_line

FOR_WEIGHTS = 0.8
"""The share of a GPU's free memory that weights may take; the rest is for keys, values and activations."""
REMEDY = "free memory, use a larger GPU, or ask a server that has the model"


def shares(weights: int, free: Iterable[int]) -> dict[int, int] | None:
    """How many bytes of weights each GPU takes at most, by its number; None if the first GPU alone is enough, or all.

    `weights` are the bytes of the weights in the number type of the computation, `free` the free bytes of each GPU:
    those after the first are read only if it is too small.

    Example:
        >>> shares(70, [100, 50]), shares(90, [100]), shares(90, [100, 50])
        (None, None, {0: 80, 1: 40})
    """
    gpus = iter(free)
    if weights <= FOR_WEIGHTS * (first := next(gpus)):
        return None
    rooms = [first, *gpus]
    return {number: int(FOR_WEIGHTS * room) for number, room in enumerate(rooms)} if len(rooms) > 1 else None


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
        rooms = " + ".join(f"{free / 1e9:.1f}" for free in room.values())
        # accelerate keeps it for layers that it would bring back from the disk.
        raise ConfigError(
            f"the weights take {bytes_of(model) / 1e9:.1f} GB in whole layers, but the GPUs have room for {rooms} GB, "
            f"less one layer that stays free on the first: {REMEDY}"
        )
    return found


def bytes_of(model: Any) -> int:
    """The bytes of a model's weights in memory; weights that two parts share count once."""
    return sum(weights.numel() * weights.element_size() for weights in model.parameters())


def place(model: Any, device: str) -> Any:
    """The model on its device. `cuda` means the first GPU, or several if it is too small; `cuda:1` means that one.

    Raises ConfigError if the device has no room for it.
    """
    try:
        if device != "cuda":
            return model.to(device)
        cuda = hf_import("torch").cuda
        # Each GPU that is asked loses some memory to this process, and raises if another process has it alone.
        free = (int(cuda.mem_get_info(number)[0]) for number in range(cuda.device_count()))
        room = shares(bytes_of(model), free)
        return model.to(device) if room is None else _laid(model, room)
    except RuntimeError as error:  # torch's error when memory runs out is one, as are CUDA's own
        raise ConfigError(
            f"the weights take {bytes_of(model) / 1e9:.1f} GB, which the device {device!r} cannot take now "
            f"({one_line(error)}): {REMEDY}"
        ) from error


def _laid(model: Any, room: Mapping[int, int]) -> Any:
    """The model with its layers laid over several GPUs. Those of a `Prompted` model are its base's: its learned prefix
    stays in main memory, and is brought to the layers once for a batch."""
    network = getattr(model, "base", model)
    hf_import("accelerate").dispatch_model(network, layers_on(network, room))
    return model
