"""A pipeline: a base model, its suites, its stages and its registry, with what each stage must pass and retain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import takewhile
from pathlib import Path
from typing import Any

from tunegate.data.methods import Role, method_of
from tunegate.data.training_data import Example, TrainingData
from tunegate.pipeline.pipeline_spec import LeakageSpec
from tunegate.pipeline.retrain_spec import RetrainSpec
from tunegate.pipeline.stage_spec import StageSpec
from tunegate.pipeline.watched import Watched
from tunegate.stats.plans import GatePlan
from tunegate.suites.suite import Suite
from tunegate.verdicts.terms import Terms
from tunegate.verdicts.waivers import Waiver


@dataclass(frozen=True)
class Stage:
    """A stage with its data loaded."""

    spec: StageSpec
    data: TrainingData
    replay: TrainingData | None = None
    """General data that a retraining may mix in."""

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def retrain(self) -> RetrainSpec:
        """What a retraining may change; no rung asks for more rows than there are."""
        return self.spec.retrain.within(len(self.data.examples))

    @property
    def validates(self) -> bool:
        """Whether the trainer is given the rows kept for validation: one that is not Tunegate's own."""
        return "validation" in self.data.held_out and not method_of(self.spec.method).resumes

    @property
    def evaluation(self) -> tuple[Example, ...]:
        """The rows that the trainer validates by."""
        return self.data.held_out["validation"] if self.validates else ()

    @property
    def seen(self) -> TrainingData:
        """All rows that the trainer sees: a leak among those it validates by would choose the model."""
        return replace(self.data, examples=(*self.data.examples, *self.evaluation)) if self.evaluation else self.data

    @property
    def role(self) -> Role:
        return method_of(self.spec.method).role


@dataclass(frozen=True)
class GateTerms:
    """The terms of a stage's gate: for the first draw of every attempt, and for the draw that must confirm a pass."""

    plan: GatePlan
    first: Terms
    confirm: Terms | None

    def confirmation(self, attempt: int) -> Terms | None:
        """The terms of the confirming draw that this attempt requires."""
        return self.confirm if self.plan.confirmation(attempt) else None

    def to_json(self) -> dict[str, Any]:
        """The facts for the record, which must be verifiable without the pipeline file."""
        return {
            "first": self.first.to_json(),
            "confirm": self.confirm.to_json() if self.confirm else None,
            "confirms": self.plan.confirms,
            "reuse": self.plan.reuse,
        }


@dataclass(frozen=True)
class RetentionTerms:
    """A suite that is asked again after a stage, with the cases of the base model (`since` None) or of a stage."""

    max_drop: float
    since: str | None


NOT_WORSE = 0.0
"""Points that a trained model may be below a baseline: training must not be worse than no training."""


@dataclass(frozen=True)
class Pipeline:
    """A validated pipeline. `sha256` covers the file, every suite and every data set."""

    name: str
    path: Path
    model: str
    seed: int
    suites: Mapping[str, Suite]
    stages: tuple[Stage, ...]
    promote_to: str | None
    registry: Path | None
    sha256: str
    leakage: LeakageSpec = field(default_factory=LeakageSpec)
    max_drop: float = 5.0
    waivers: tuple[Waiver, ...] = ()
    watched: Mapping[str, Watched] = field(default_factory=dict[str, Watched])
    """The cases that a stage watches during training, by stage name; no draw contains them."""

    def gates(self, stage: Stage) -> dict[str, GateTerms]:
        """What a stage must pass, by gate name, under the plan for all its attempts."""
        return {name: self._terms(self.suites[name], stage) for name in self._own_gates(stage)}

    def sharing_a_draw(self, stage: Stage, gate: str) -> list[str]:
        """The gates of a stage, in its order, that ask the same bank with the same settings: this one at least."""
        return [name for name in self._own_gates(stage) if self.suites[name].asks == self.suites[gate].asks]

    def retention(self, stage: Stage) -> dict[str, RetentionTerms]:
        """What a stage must retain: the retention suites, and the gates of every earlier training stage."""
        if stage.role != "step":
            return {}
        kept = {
            name: RetentionTerms(suite.retention.max_drop, None)
            for name, suite in self.suites.items()
            if suite.retention is not None
        }
        return kept | self._gates_before(stage, "step", self.max_drop)

    def worth(self, stage: Stage) -> dict[str, RetentionTerms]:
        """The gates at which a stage must not be worse than an earlier baseline, in addition to its retention."""
        return self._gates_before(stage, "baseline", NOT_WORSE) if stage.role == "step" else {}

    def paired(self, stage: Stage) -> dict[str, dict[str, RetentionTerms]]:
        """What a stage is compared with case by case, by the purpose of the draw (`terms.PAIRED`)."""
        return {"retention": self.retention(stage), "worth": self.worth(stage)}

    def _gates_before(self, stage: Stage, role: Role, max_drop: float) -> dict[str, RetentionTerms]:
        """The gates of earlier stages with this role, each as the latest of these stages was asked it."""
        before = takewhile(lambda other: other.name != stage.name, self.stages)
        return {
            name: RetentionTerms(max_drop, earlier.name)
            for earlier in before
            if earlier.role == role
            for name in self._own_gates(earlier)
        }

    def _own_gates(self, stage: Stage) -> list[str]:
        return [name for name in stage.spec.gates if self.suites[name].retention is None]

    def _terms(self, suite: Suite, stage: Stage) -> GateTerms:
        plan = suite.resolve(stage.retrain.max_attempts)
        if stage.role == "baseline":  # a baseline is measured, not accepted
            plan = replace(plan, confirm=None, confirms="never")
            return GateTerms(plan, Terms(plan.first, "baseline", **suite.answering), None)
        first = suite.terms(plan, curtail=plan.curtail is not False)
        confirm = None if plan.confirm is None else first.confirming(plan.confirm)
        return GateTerms(plan, first, confirm)


@dataclass(frozen=True, slots=True)
class SuiteRef:
    """A reference by which another process opens a suite: the pipeline file, the suite's name in it, and its hash."""

    pipeline: str
    name: str
    sha256: str


def suite_ref(pipeline: Pipeline, name: str) -> SuiteRef:
    """The reference to a suite of a pipeline."""
    return SuiteRef(str(pipeline.path.resolve()), name, pipeline.suites[name].sha256)


def reward_of(options: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """The names in `reward: {stage: NAME}` and `reward: {suite: NAME}` in a stage's options."""
    reward = options.get("reward")
    named = dict[str, Any](reward) if isinstance(reward, dict) else {}  # pyright: ignore[reportUnknownArgumentType]
    stage, suite = named.get("stage"), named.get("suite")
    return (stage if isinstance(stage, str) else None), (suite if isinstance(suite, str) else None)
