"""The shape of the files that users write: the suite file and the pipeline file.

Validation is strict, and happens here only: whatever gets past this module is typed. `read_spec` turns pydantic's
errors into one line with file, line, key path and the nearest key.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from tunegate.exceptions import ConfigError, nearest
from tunegate.templates import field_names
from tunegate.yaml_file import KeyPath, YamlFile


class Spec(BaseModel):
    """A mapping in a user's file: frozen, and an unknown key is an error that names the nearest known one."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, data: Any) -> Any:
        if isinstance(data, Mapping):
            for key in data:  # pyright: ignore[reportUnknownVariableType]
                if key not in cls.model_fields:
                    raise PydanticCustomError(
                        "unknown_key",
                        "unknown key{hint}",
                        {"key": str(key), "hint": nearest(str(key), cls.model_fields)},  # pyright: ignore[reportUnknownArgumentType]
                    )
        return data  # pyright: ignore[reportUnknownVariableType]


def _valid_template(template: str) -> str:
    try:
        field_names(template)
    except ConfigError as error:
        raise ValueError(str(error)) from error
    return template


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Template = Annotated[str, AfterValidator(_valid_template)]
Templates = Annotated[list[Template], BeforeValidator(_listed)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)]
Fraction = Annotated[float, Field(gt=0)]


class CasesSpec(Spec):
    """Where cases come from, and how a row becomes a case. Without templates, rows have a case's own field names."""

    path: str
    """A .jsonl, .json, .csv or .parquet file, or a folder saved by `datasets`, relative to this file."""
    split: str | None = None
    """The split of a `datasets` folder."""
    id: Template = "{id}"
    prompt: Template | None = None
    """Default: the row's `prompt`, or the chat in its field `messages`."""
    messages: str | None = None
    """The field that holds chat messages, instead of `prompt`."""
    reference: Templates | None = None
    """Expected answers; one field holding a list gives several. Default: the row's `reference` or `references`."""
    context: Template | None = None
    choices: Templates | None = None
    tags: Annotated[list[str], BeforeValidator(_listed)] | None = None
    """Fields whose values become tags, written `field=value`."""
    group: Template | None = None
    where: dict[str, Any] = {}
    """Keep only rows whose fields have these values."""

    @model_validator(mode="after")
    def _one_prompt(self) -> Self:
        if self.prompt is not None and self.messages is not None:
            raise ValueError("give `prompt` or `messages`, not both")
        return self


class DrawSpec(Spec):
    """Draw so many cases; so many of them must pass."""

    draw: Annotated[int, Field(ge=1)]
    accept: Annotated[int, Field(ge=1)]

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        return _reachable(self)


class RiskSpec(Spec):
    """What a run may get wrong, all its attempts included."""

    consumer: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    """The chance that a model as bad as `at` is accepted by any attempt."""
    at: Annotated[float, Field(gt=0, lt=1)] = 0.85
    producer: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    """The chance that a model as good as `good` is not accepted at its first attempt."""
    good: Annotated[float, Field(gt=0, lt=1)] = 0.95

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.at >= self.good:
            raise ValueError(f"at must lie below good, got at {self.at} and good {self.good}")
        return self


class PlanSpec(Spec):
    """How many cases a gate draws and how many must pass: 90 of 100, unless it says otherwise.

    single: one draw; after a retry a passing attempt must pass a second one, from sealed cases.
    double: every pass is confirmed by a second draw, from sealed cases.
    sequential: Wald's test; stops as soon as the verdict is certain enough.
    """

    kind: Literal["single", "double", "sequential"] = "single"
    draw: Annotated[int, Field(ge=1)] | None = None
    """Default: 100, or what `risk` calls for."""
    accept: Annotated[int, Field(ge=1)] | None = None
    """Default: 90 in 100 of the draw, or what `risk` calls for."""
    confirm: DrawSpec | Annotated[int, Field(ge=1)] | Literal["never"] | None = None
    """The confirming draw; a number is its size. `never`: a retry that passes is believed at once."""
    risk: RiskSpec | None = None
    """Solve for the accept numbers, so that the whole run keeps these risks."""
    curtail: bool | None = None
    """Stop asking when the verdict can no longer change. Default: in a run yes, in a gate run alone no."""
    reuse: bool = False
    """When the bank is spent, draw cases again that were drawn before. The report marks it."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.risk is not None and self.accept is not None and self.kind == "single":
            raise ValueError("give `accept` or `risk`, which solves for it, not both")
        return self if self.accept is None or self.draw is None else _reachable(self)


def _reachable(spec: Any) -> Any:
    if spec.accept > spec.draw:
        raise ValueError(f"accept is {spec.accept}, but only {spec.draw} are drawn; it must not be above draw")
    return spec


class SliceSpec(Spec):
    """The lowest pass rate that the cases of a tag may have."""

    min: Annotated[float, Field(gt=0, le=1)]
    at_least: Annotated[int, Field(ge=1)] = 1
    """How many such cases a draw must hold for the gate to be decided."""


class GapSpec(Spec):
    """How far apart the pass rates of groups may lie."""

    between: Annotated[list[str], Field(min_length=2)]
    """Tags, written `field=value`, each naming a group."""
    max: Annotated[float, Field(ge=0, le=100)] = 10.0
    """In percentage points."""
    at_least: Annotated[int, Field(ge=1)] = 20
    """How many cases of each group a draw must hold for the gate to be decided."""

    @field_validator("between")
    @classmethod
    def _different(cls, between: list[str]) -> list[str]:
        if len(set(between)) < len(between):
            raise ValueError(f"different tags were expected, got {between}: a group differs from itself by nothing")
        return between


def _minimum_only(value: Any) -> Any:
    return {"min": value} if isinstance(value, int | float) else value


class RetentionSpec(Spec):
    """A suite that no stage may unlearn: asked of the base model, and again, the same cases, after every stage."""

    max_drop: Annotated[float, Field(ge=0, le=100)] = 5.0
    """By how many percentage points the pass rate may fall."""


class GenerateSpec(Spec):
    """How answers are generated; greedy by default."""

    max_new_tokens: Annotated[int, Field(ge=1)] = 128
    system: str | None = None
    stop: Annotated[list[str], BeforeValidator(_listed)] = []
    temperature: Annotated[float, Field(ge=0)] = 0.0
    seed: int = 0


def _path_only(value: Any) -> Any:
    return {"path": value} if isinstance(value, str) else value


class SuiteSpec(Spec):
    """A suite: cases, the checks that judge them, the plan, and how answers are generated."""

    name: Name | None = None
    cases: Annotated[CasesSpec, BeforeValidator(_path_only)]
    checks: Annotated[list[str | dict[str, Any]], Field(min_length=1)]
    plan: PlanSpec = PlanSpec()
    generate: GenerateSpec = GenerateSpec()
    sealed: Annotated[float, Field(ge=0, le=0.9)] | None = None
    """The share of the cases that only a confirming draw may open. Default: a third, where the bank is large enough."""
    slices: dict[str, Annotated[SliceSpec, BeforeValidator(_minimum_only)]] = {}
    """Tag, written `field=value`, to the lowest pass rate that its cases may have; a draw without one fails."""
    gap: GapSpec | None = None
    """Groups that must pass alike."""
    retention: RetentionSpec | None = None
    """Makes it a retention suite."""

    @model_validator(mode="after")
    def _slices_need_the_whole_draw(self) -> Self:
        if (self.slices or self.gap) and self.plan.kind == "sequential":
            raise ValueError(
                "a sequential plan stops before its slices and groups are judged; take `single` or `double`"
            )
        return self


class DataSpec(Spec):
    """Training data, and how a row becomes an example: `prompt` and `completion`, or `prompt`, `chosen`, `rejected`."""

    path: str
    split: str | None = None
    prompt: Template | None = None
    messages: str | None = None
    """The field that holds the chat messages of the prompt, instead of `prompt`."""
    completion: Template | None = None
    chosen: Template | None = None
    rejected: Template | None = None
    system: str | None = None
    """A system message for every row; give the suites the same one under `generate`."""
    where: dict[str, Any] = {}


class RetrainSpec(Spec):
    """How often a stage may be retrained, and what a retraining may change: ladders, climbed as the diagnosis says.

    The first attempt uses the first rung of each ladder. A ladder that is not given has one rung: what `args` says.
    """

    max_attempts: Annotated[int, Field(ge=1, le=100)] = 3
    rows: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)] | None = None
    """Numbers of training rows, rising."""
    epochs: Annotated[list[Fraction], Field(min_length=1)] | None = None
    """Numbers of epochs, rising."""
    learning_rate: Annotated[list[Fraction], Field(min_length=1)] | None = None
    """Learning rates, in the order to try them."""

    @model_validator(mode="after")
    def _rising(self) -> Self:
        for name, ladder in (("rows", self.rows), ("epochs", self.epochs)):
            if ladder is not None and any(low >= high for low, high in pairwise(ladder)):
                raise ValueError(f"{name} must rise from rung to rung, got {ladder}")
        if self.learning_rate is not None and len(set(self.learning_rate)) < len(self.learning_rate):
            raise ValueError(
                f"learning_rate holds a rate twice, got {self.learning_rate}: that would be a second throw"
            )
        return self


class StageSpec(Spec):
    """One training step and the gates that it must pass."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=80)]
    """Also the name of a folder in the run folder, beside files whose names have a dot."""
    method: Literal["sft", "dpo"]
    data: Annotated[DataSpec, BeforeValidator(_path_only)]
    gates: Annotated[list[str], Field(min_length=1)]
    peft: dict[str, Any] | None = None
    """Options of `peft.LoraConfig`; without it all weights are trained."""
    args: dict[str, Any] = {}
    """Options of TRL's config class, passed on unchanged."""
    save: Literal["merged", "adapter"] = "merged"
    retrain: RetrainSpec = RetrainSpec()


class PromoteSpec(Spec):
    """Where a model goes that passed every gate."""

    to: Name = "production"
    registry: str = "registry"


class LeakageSpec(Spec):
    """What is done about training rows that also stand in a suite; a word alone is the action."""

    action: Literal["refuse", "drop_from_train"] = "refuse"
    """`refuse`: the run is INVALID and the rows are named. `drop_from_train`: they are left out, and it goes on."""
    embed: Annotated[float, Field(gt=0, le=1)] | None = None
    """Compare prompts by meaning too: a cosine of all-MiniLM-L6-v2 from here on is a leak, 0.95 for instance."""


def _action_only(value: Any) -> Any:
    return {"action": value} if isinstance(value, str) else value


class PipelineSpec(Spec):
    """A pipeline: a base model, its suites, its stages, and where the result is promoted to."""

    name: Name
    model: str
    """A model folder, a hub id, a .gguf file, or package:NAME/file.gguf."""
    seed: int = 1
    suites: Annotated[dict[Name, str | dict[str, Any]], Field(min_length=1)]
    """Name to suite: the path of a suite file, or the suite itself."""
    stages: Annotated[list[StageSpec], Field(min_length=1)]
    leakage: Annotated[LeakageSpec, BeforeValidator(_action_only)] = LeakageSpec()
    """`refuse` or `drop_from_train`, or a mapping."""
    retention: RetentionSpec = RetentionSpec()
    """How much a later stage may lose of what an earlier stage's gates asked."""
    waivers: str | None = None
    """A file of waivers: named, reasoned, expiring permissions to pass a failed gate. May change during a run."""
    promote: PromoteSpec | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [stage.name for stage in self.stages]
        for name in names:
            if names.count(name) > 1:
                raise PydanticCustomError("twice", "two stages have the name '{name}'", {"name": name})
        return self


SpecT = TypeVar("SpecT", bound=Spec)


def read_spec(spec: type[SpecT], file: YamlFile, keys: KeyPath = (), data: Any = None) -> SpecT:
    """Validate (a part of) a YAML file; raises ConfigError for the first fault, and says how many more there are."""
    data = file.data if not keys else data
    if not isinstance(data, Mapping):
        raise file.error(keys, f"a mapping of keys to values was expected, got {_kind(data)}")
    try:
        return spec.model_validate(data)
    except ValidationError as error:
        faults = error.errors(include_url=False)
        first = faults[0]
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        place: KeyPath = (*keys, *(part for part in first["loc"] if not _is_union_tag(part)))
        if first["type"] == "unknown_key":
            place = (*place, first["ctx"]["key"])  # pyright: ignore[reportTypedDictNotRequiredAccess]
        raise file.error(place, _message(first) + more) from error


def _is_union_tag(part: str | int) -> bool:
    """Pydantic puts the type it tried into the path of a union's error; a user's file has no such key."""
    return isinstance(part, str) and (part in {"str", "int", "float", "bool"} or "[" in part)


def _message(fault: Any) -> str:
    kind, got = fault["type"], fault.get("input")
    if kind == "missing":
        return "this key is required"
    message = str(fault["msg"]).removeprefix("Value error, ").removeprefix("Input ")
    message = message[:1].lower() + message[1:]
    if kind in {"unknown_key", "value_error", "twice"}:
        return message
    return f"{message}, got {_kind(got)}"


def _kind(value: Any) -> str:
    if value is None:
        return "nothing"
    names = {dict: "a mapping", list: "a list"}
    return names.get(type(value), repr(value)[:80])  # pyright: ignore[reportUnknownArgumentType]
