"""The shape of the pipeline file, `tunegate.yaml`."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from tunegate.data.methods import method_of
from tunegate.executors.executor_spec import ExecutorOption, ExecutorSpec
from tunegate.pipeline.inspect_spec import InspectSpec
from tunegate.pipeline.stage_spec import StageSpec
from tunegate.reading.spec import Name, Spec
from tunegate.suites.suite_spec import RetentionSpec


class PromoteSpec(Spec):
    """Where a model that passed every gate is promoted to."""

    to: Name = "production"
    """The alias in the registry."""
    registry: str = "registry"
    """The folder of the registry, relative to this file."""
    imported: bool = False
    """true: scores of other tools (the check `imported`), which nothing here judged again, may promote a model."""


class LeakageSpec(Spec):
    """What to do with training rows that are also in a suite; a single word is the action."""

    action: Literal["refuse", "drop_from_train"] = "refuse"
    """`refuse`: the run is INVALID and names the rows. `drop_from_train`: the run leaves the rows out and goes on."""
    embed: Annotated[float, Field(gt=0, le=1)] | None = None
    """Also compare prompts by meaning: the smallest cosine of all-MiniLM-L6-v2 that is a leak, for example 0.95."""


def _action_only(value: Any) -> Any:
    return {"action": value} if isinstance(value, str) else value


class PipelineSpec(Spec):
    """A pipeline: a base model, its suites, its stages, and where to promote the result."""

    name: Name
    """Also the name of the run folder."""
    model: str
    """A model folder, a hub id, a .gguf file, or package:NAME/file.gguf."""
    seed: int = 1
    """The seed of all draws and trainings."""
    suites: Annotated[dict[Name, str | dict[str, Any]], Field(min_length=1)]
    """Name to suite: the path of a suite file, or the suite itself."""
    stages: Annotated[list[StageSpec], Field(min_length=1)]
    """The training steps, in order; each starts from the model of the stage before."""
    leakage: Annotated[LeakageSpec, BeforeValidator(_action_only)] = LeakageSpec()
    """`refuse` or `drop_from_train`, or a mapping."""
    retention: RetentionSpec = RetentionSpec()
    """How much a later stage may lose on the gates of earlier stages."""
    ledger: str | None = None
    """The folder of the ledger of asked cases, relative to this file, or `none`. Default: `tunegate-ledger` in the
    project."""
    executor: ExecutorOption = ExecutorSpec()
    """Where models answer, judge and are trained, and where training rows are compared with cases: `local` (the
    default), `processes:N`, `ray`, `ray:HOST:PORT`, or a mapping, for example `{ray: {address: auto, gpus_per_model:
    1}}`. May change during a run."""
    inspect: InspectSpec | None = None
    """Explain missed cases from the model's weights, for example `{cases: 10}`. Default: none."""
    waivers: str | None = None
    """A file of waivers: named, reasoned, expiring permissions to pass a failed gate. May change during a run."""
    promote: PromoteSpec | None = None
    """Where to promote the last stage's model. Default: nowhere."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [stage.name for stage in self.stages]
        for name in names:
            if names.count(name) > 1:
                raise PydanticCustomError("twice", "two stages have the name '{name}'", {"name": name})
        last = self.stages[-1]
        only_scores = all(method_of(stage.method).role == "scorer" for stage in self.stages)
        if method_of(last.method).role != "step" and not only_scores:
            message = "the method {method} of the last stage '{name}' makes no model to promote; end with another stage"
            raise PydanticCustomError("last", message, {"name": last.name, "method": last.method})
        return self
