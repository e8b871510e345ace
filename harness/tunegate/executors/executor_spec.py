"""The shape of `executor` in a pipeline file and of `--executor`: which executor, and its settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from tunegate.exceptions import ConfigError
from tunegate.reading.spec import Spec, fault_in_words

if TYPE_CHECKING:
    from tunegate.executors.local import Local
    from tunegate.executors.processes import Processes
    from tunegate.executors.ray_nodes import RayNodes

FORMS = "local, processes:N, ray or ray:HOST:PORT"


def _of_gpus(gpus: float) -> float:
    if gpus > 1 and not gpus.is_integer():
        raise ValueError(f"a whole number was expected above 1, got {gpus:g}: Ray gives no GPU and a half")
    if 0 < gpus < LEAST_SHARE:
        raise ValueError(f"0 or at least {LEAST_SHARE} was expected, got {gpus:g}")
    return gpus


LEAST_SHARE = 0.01
"""Of a GPU or core: a node would otherwise be asked for thousands of copies."""


class RaySpec(Spec):
    """Actors on the nodes of a Ray cluster."""

    address: str = "auto"
    """Of the cluster's head, as HOST:PORT; `auto`: the cluster that this machine is a node of."""
    gpus_per_model: Annotated[float, Field(ge=0), AfterValidator(_of_gpus)] | None = None
    """The GPUs that each copy of the model gets. Default: 1 if a node has a GPU, otherwise 0."""
    cpus_per_model: Annotated[float, Field(ge=LEAST_SHARE)] | None = None
    """The cores that each copy gets. Default: without GPUs, all of its node; with GPUs, 1."""


class ExecutorSpec(Spec):
    """Where models answer; one of the two keys, or neither for this process."""

    processes: Annotated[int, Field(ge=1, le=1024)] | None = None
    """The number of processes on this machine, each with its own copy of the model."""
    ray: RaySpec | None = None
    """The nodes of a Ray cluster."""
    timeout_s: Annotated[float, Field(gt=0, le=1_000_000)] = 3600.0
    """The longest time for a block of cases, in seconds; a worker that takes longer is given up."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        if self.processes is not None and self.ray is not None:
            raise PydanticCustomError("both", "processes and ray are two executors; name one")
        given = self.model_fields_set
        for name in ("processes", "ray"):
            if name in given and getattr(self, name) is None:
                raise PydanticCustomError("empty", f"{name} has no value; write processes: 2, or ray: {{}}")
        if "timeout_s" in given and not given & {"processes", "ray"}:
            raise PydanticCustomError("alone", "timeout_s is for processes or ray; name one, or leave it out")
        return self


def by_name(value: Any) -> Any:
    """The mapping that one of the short forms stands for; anything else unchanged. Raises ValueError.

    >>> by_name("processes:2"), by_name("ray:10.0.0.1:6379")
    ({'processes': 2}, {'ray': {'address': '10.0.0.1:6379'}})
    """
    if not isinstance(value, str):
        return value
    name, _, rest = value.partition(":")
    if name == "processes" and rest.isascii() and rest.isdigit():
        return {"processes": int(rest)}
    if name == "ray" and (rest or value == name):
        return {"ray": {"address": rest} if rest else {}}
    if value == "local":
        return {}
    raise ValueError(f"{FORMS} was expected, got {value!r}")


ExecutorOption = Annotated[ExecutorSpec, BeforeValidator(by_name)]


def executor_of(option: str | None, otherwise: ExecutorSpec | None = None) -> Local | Processes | RayNodes:
    """The executor that `--executor` names; without it, that of the pipeline file. Raises ConfigError."""
    spec = otherwise or ExecutorSpec()
    if option is not None:
        try:
            spec = ExecutorSpec.model_validate(by_name(option))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise ConfigError(f"--executor {option}: {place}: {fault_in_words(first)}") from error
        except ValueError as error:
            raise ConfigError(f"--executor: {error}") from error
    if spec.processes is not None:
        from tunegate.executors.processes import Processes

        return Processes(spec.processes, spec.timeout_s)
    if spec.ray is not None:
        from tunegate.executors.ray_nodes import RayNodes

        return RayNodes(spec.ray.address, spec.ray.gpus_per_model, spec.ray.cpus_per_model, spec.timeout_s)
    from tunegate.executors.local import Local

    return Local()
