"""`train.last_n_layers`: selects the parameters if only the upper layers are trained.

The last N transformer layers are trained, and everything after them: the final norm and a separate output head. A head
that shares its weights with the input embeddings stays frozen: training it would also train the bottom of the network,
and the backward pass would have to go all the way down.

Gradual unfreezing begins with the last layer and adds one layer every S steps (J. Howard and S. Ruder, ACL 2018,
328-339).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tunegate.exceptions import SettingError


def check(train: Any, peft: Mapping[str, Any] | None) -> None:
    """Raise ConfigError for a `train` that contradicts `peft`: an adapter is trained, or the weights themselves."""
    if train is not None and peft is not None:
        key = "train: full" if train == "full" else "train.last_n_layers"
        raise SettingError(f"{key}", "trains the model's own weights, but `peft` trains an adapter; give one of them")


def freeze(trainer: Any, train: Any) -> None:
    """Freeze the weights of a trainer before it starts, by `train` (`TrainJob.train`); `full` and None change nothing.

    Raises ConfigError if the model has fewer layers.
    """
    if not isinstance(train, Mapping):
        return
    count, every = train["last_n_layers"], train.get("unfreeze_every")  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
    layers = layers_of(trainer.model)
    if count > len(layers):
        raise SettingError("train.last_n_layers", f"expected at most {len(layers)}, the model's layers, got {count}")
    if every is not None and count == 1:
        raise SettingError("train.unfreeze_every", "with one layer there is nothing to unfreeze; raise last_n_layers")
    trained = [*layers[-count:], *_above(trainer.model, layers)]
    trainer.model.requires_grad_(False)
    for part in trained:
        part.requires_grad_(True)
    if every is not None:
        from tunegate_trainers.unfreezing import GradualUnfreezing

        trainer.add_callback(GradualUnfreezing(layers[-count:], every))


def leaves_out(train: Any) -> bool:
    """Whether trainable weights may get no gradient in a step, for which several processes must then search.

    In other trainings all weights get one, and the search would cost a pass through the graph in every step.
    """
    return isinstance(train, Mapping) and train.get("unfreeze_every") is not None  # pyright: ignore[reportUnknownMemberType]


def layers_of(model: Any) -> list[Any]:
    """The transformer layers, lowest first: the longest list of modules of one class."""
    from torch.nn import ModuleList

    lists = [list(module) for module in model.modules() if isinstance(module, ModuleList)]
    alike = [layers for layers in lists if len({type(layer) for layer in layers}) == 1]
    if not alike:
        raise SettingError("train.last_n_layers", f"a {type(model).__name__} has no list of layers; use `train: full`")
    return max(alike, key=len)


def _above(model: Any, layers: list[Any]) -> list[Any]:
    """The weights that a model lists after its layers. Shared weights are listed where they come first, below."""
    inside = {id(weights) for layer in layers for weights in layer.parameters()}
    listed = list(model.parameters())
    last = max(position for position, weights in enumerate(listed) if id(weights) in inside)
    return listed[last + 1 :]
