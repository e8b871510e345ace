"""The shape of a stage: one training step, and the gates that it must pass."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    WithJsonSchema,
    model_validator,
)

from tunegate.data.methods import METHODS, check_method, rows_as
from tunegate.data.spec import CurriculumSpec, DataSpec
from tunegate.pipeline.retrain_spec import RetrainSpec, auto_only
from tunegate.reading.spec import Fraction, Spec, path_only


class LastLayersSpec(Spec):
    """Train the upper layers only."""

    last_n_layers: Annotated[int, Field(ge=1)]
    """The number of transformer layers to train, counted from the output; everything above them is trained too."""
    unfreeze_every: Annotated[int, Field(ge=1)] | None = None
    """Gradual unfreezing: begin with the last layer and add one layer each time this number of steps has passed."""


def _trained_kind(value: Any) -> str:
    return "train[full]" if isinstance(value, str) else "train[layers]"


Trained = Annotated[
    Annotated[Literal["full"], Tag("train[full]")] | Annotated[LastLayersSpec, Tag("train[layers]")],
    Discriminator(_trained_kind),
]
"""Distinguished by their form, so that errors describe the intended form; `read_spec` hides tags with brackets."""


class LauncherSpec(Spec):
    """Train in several processes, started by `accelerate launch`."""

    num_processes: Annotated[int, Field(ge=1, le=4096)] = 1
    """How many processes train together, usually one per GPU."""
    config_file: str | None = None
    """A configuration file of accelerate, for FSDP or DeepSpeed; relative to the pipeline file."""


class WatchSpec(Spec):
    """Ask a small draw of a gate's cases during training, and choose the checkpoint by its pass rate."""

    gate: str
    """The suite; only working cases are asked, and gates never draw these cases."""
    every_steps: Annotated[int, Field(ge=1)] | None = None
    """Number of training steps between two evaluations."""
    every_epochs: Fraction | None = None
    """Instead of `every_steps`: epochs between two evaluations; 0.5 is twice per epoch."""
    draw: Annotated[int, Field(ge=1)] = 20
    """How many cases are asked at each evaluation."""
    stop_after: Annotated[int, Field(ge=1)] | None = None
    """Stop after this number of evaluations in a row without improvement. Default: train to the end."""
    keep_best: bool = True
    """Keep the model of the best evaluation, not the last model."""

    @model_validator(mode="after")
    def _paced(self) -> Self:
        if (self.every_steps is None) == (self.every_epochs is None):
            raise ValueError("give either every_steps or every_epochs")
        return self


def _known(method: str) -> str:
    if (fault := check_method(method)) is not None:
        raise ValueError(fault)
    return method


Method = Annotated[
    str, AfterValidator(_known), WithJsonSchema({"anyOf": [{"enum": list(METHODS)}, {"type": "string"}]})
]
"""One of Tunegate's, or one that an installed package adds (`tunegate.methods`)."""


def _command_kind(value: Any) -> str:
    return "command[words]" if isinstance(value, list) else "command[line]"


Command = Annotated[
    Annotated[str, Tag("command[line]")] | Annotated[list[str], Tag("command[words]")], Discriminator(_command_kind)
]


class StageSpec(Spec):
    """One training step and the gates that it must pass."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=80)]
    """Also the name of a folder in the run folder, next to files whose names contain a dot."""
    method: Method
    """How the stage trains: one of Tunegate's methods, or the name of one that an installed package adds."""
    command: Command | None = None
    """Of method command alone: your own trainer, one line or a list of words, run without a shell. Placeholders:
    `{model}`, `{rows}`, `{eval_rows}`, `{output}`, `{seed}`, `{attempt}`, `{settings}`, `{config}`, `{args.NAME}`."""
    options: dict[str, Any] = {}
    """Options of the method itself, such as `form` of explain or `algorithm` of rlhf."""
    data: Annotated[DataSpec, BeforeValidator(path_only)]
    """The training data; a single string is the path."""
    gates: Annotated[list[str], Field(min_length=1)]
    """The suites that the stage must pass."""
    peft: dict[str, Any] | None = None
    """A PEFT adapter: its `type` (default: lora), and the options of PEFT's class for it; LoRA's options also have
    short names (`alpha`, `dropout`, `dora`, `rslora`). `quantize: 4` or 8 loads the base model in 4 or 8 bits, on a
    GPU. Without `peft` the weights themselves are trained."""
    args: dict[str, Any] = {}
    """Options of TRL's config class, passed on unchanged."""
    train: Trained | None = None
    """Which of the model's own weights are trained: `full` (the default without `peft`), or only the upper layers."""
    launcher: LauncherSpec | None = None
    """Train in several processes. Default: in one."""
    curriculum: CurriculumSpec | None = None
    """The order of the training rows. Default: random."""
    watch: WatchSpec | None = None
    """Ask cases of a gate during training."""
    save: Literal["merged", "adapter"] = "merged"
    """`merged`: the adapter is merged into the weights. `adapter`: only the adapter is saved."""
    retrain: Annotated[RetrainSpec, BeforeValidator(auto_only)] = RetrainSpec()
    """How often the stage may be trained, and what may change between attempts; `auto` for default values."""

    @property
    def learns_as(self) -> str:
        """The method whose row format the data have: the stage's own, or the one named for an external trainer."""
        return rows_as(self.method, self.options)
