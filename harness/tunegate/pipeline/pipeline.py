"""A pipeline: a base model, its suites, its stages and its registry, with what each stage must pass and retain."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from itertools import takewhile
from pathlib import Path
from typing import Any

from tunegate.data.methods import Role, method_of
from tunegate.data.training_data import Example, TrainingData
from tunegate.executors.executor_spec import ExecutorSpec
from tunegate.pipeline.default_ladders import uses_shipped_rows
from tunegate.pipeline.inspect_spec import InspectSpec
from tunegate.pipeline.pipeline_spec import LeakageSpec
from tunegate.pipeline.retrain_spec import RetrainSpec
from tunegate.pipeline.stage_spec import StageSpec
from tunegate.pipeline.watched import Watched
from tunegate.stats.plans import GatePlan
from tunegate.stats.retention import KeptRule
from tunegate.suites.retained import Retention
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
    filled: tuple[str, ...] = ()
    """The settings whose values to try are those of `retrain: auto`."""

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def retrain(self) -> RetrainSpec:
        """What a retraining may change; no rung asks for more rows than there are."""
        return self.spec.retrain.within(len(self.data.examples))

    @property
    def replay_ships(self) -> bool:
        """Whether its general data are rows that ship with Tunegate, chosen by `retrain: auto`."""
        return "replay" in self.filled and uses_shipped_rows(self.spec.retrain)

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
        plan = self.plan.confirmation(attempt)
        return None if plan is None else self.first.confirming(plan)

    def to_json(self) -> dict[str, Any]:
        """The facts for the record, which must be verifiable without the pipeline file."""
        return {
            "first": self.first.to_json(),
            "confirm": self.confirm.to_json() if self.confirm else None,
            "confirms": self.plan.confirms,
            "reuse": self.plan.reuse,
            **({"spending": asdict(self.plan.spending)} if self.plan.spending else {}),
        }


@dataclass(frozen=True)
class RetentionTerms:
    """A comparison of a stage's model with the base model (`since` None) or with the model of an earlier stage, on
    `draw` fresh cases that both are asked."""

    max_drop: float
    since: str | None
    draw: int
    kept: KeptRule
    reuse: bool
    """Whether the suite's plan allows cases that chose one of the two models, when the bank has no others."""
    again: bool = False
    """Whether the other cases that were asked before are allowed, when the bank has no fresh ones."""


NOT_WORSE = Retention(0.0)
"""A trained model may not be below a baseline: training must not be worse than no training."""


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
    kept: Retention = field(default_factory=Retention)
    """What a later stage may lose on the gates of earlier stages."""
    waivers: tuple[Waiver, ...] = ()
    watched: Mapping[str, Watched] = field(default_factory=dict[str, Watched])
    """The cases that a stage watches during training, by stage name; no draw contains them."""
    ledger: str | None = None
    """The folder of the ledger, or `none`, if the file names one."""
    executor: ExecutorSpec = field(default_factory=ExecutorSpec)
    """Where models answer the gates and the questions for training rows."""
    inspect: InspectSpec | None = None
    """Which missed cases are explained, and how."""
    promotes_imported: bool = False
    """Whether the scores of other tools may promote a model."""
    attempts_before: Mapping[str, int] = field(default_factory=dict[str, int])
    """How many attempts other runs from the same base made on each suite's bank: the plans' risks count them."""

    def gates(self, stage: Stage) -> dict[str, GateTerms]:
        """What a stage must pass, by gate name, under the plan for all its attempts."""
        return {name: self._terms(name, stage) for name in self._own_gates(stage)}

    def sharing_a_draw(self, stage: Stage, gate: str) -> list[str]:
        """The gates of a stage, in its order, that ask the same bank with the same settings: this one at least."""
        return [name for name in self._own_gates(stage) if self.suites[name].asks == self.suites[gate].asks]

    @property
    def independent_draws(self) -> int:
        """How many draws share a risk that a suite gives for the whole pipeline."""
        return independent_draws((stage.spec for stage in self.stages), self.suites)

    def retention(self, stage: Stage) -> dict[str, RetentionTerms]:
        """What a stage must retain: the retention suites, and the gates of every earlier training stage."""
        if stage.role != "step":
            return {}
        kept = {
            name: self._compared(stage, suite.retention, None, suite.plan)
            for name, suite in self.suites.items()
            if suite.retention is not None
        }
        return kept | self._gates_before(stage, "step", self.kept)

    def worth(self, stage: Stage) -> dict[str, RetentionTerms]:
        """The gates at which a stage must not be worse than an earlier baseline, in addition to its retention."""
        return self._gates_before(stage, "baseline", NOT_WORSE) if stage.role == "step" else {}

    def paired(self, stage: Stage) -> dict[str, dict[str, RetentionTerms]]:
        """What a stage is compared with case by case, by the purpose of the draw (`terms.PAIRED`)."""
        return {"retention": self.retention(stage), "worth": self.worth(stage)}

    def _gates_before(self, stage: Stage, role: Role, allowed: Retention) -> dict[str, RetentionTerms]:
        """The gates of earlier stages with this role, each as the latest of these stages was asked it."""
        return {
            name: self._compared(stage, allowed, earlier.name, gate.plan)
            for earlier in self.before(stage)
            if earlier.role == role
            for name, gate in self.gates(earlier).items()
        }

    def before(self, stage: Stage) -> list[Stage]:
        """The stages before this one."""
        return list(takewhile(lambda other: other.name != stage.name, self.stages))

    def _compared(self, stage: Stage, allowed: Retention, since: str | None, plan: GatePlan) -> RetentionTerms:
        draw, kept = allowed.rule(plan.draw, stage.retrain.max_attempts)
        return RetentionTerms(allowed.max_drop, since, draw, kept, plan.reuse, allowed.reuse or plan.reuse)

    def _own_gates(self, stage: Stage) -> list[str]:
        return [name for name in stage.spec.gates if self.suites[name].retention is None]

    def _terms(self, name: str, stage: Stage) -> GateTerms:
        suite = self.suites[name]
        attempts = stage.retrain.max_attempts + self.attempts_before.get(name, 0)
        plan = suite.resolve(attempts, self.independent_draws)
        if stage.role == "baseline":  # a baseline is measured, not accepted
            plan = replace(plan, confirm=None, confirms="never")
            return GateTerms(plan, Terms(plan.first, "baseline", **suite.answering), None)
        first = suite.terms(plan, curtail=plan.curtail is not False)
        confirm = None if plan.confirm is None else first.confirming(plan.confirm)
        return GateTerms(plan, first, confirm)


def independent_draws(stages: Iterable[StageSpec], suites: Mapping[str, Suite]) -> int:
    """How many draws decide by a plan, at least 1; names of no suite are left out.

    Gates of a stage that share a draw count once. A baseline is measured, and a retention suite is compared with an
    earlier draw: no plan decides them.
    """
    deciding = (stage for stage in stages if method_of(stage.method).role != "baseline")
    gates = ([suites[name] for name in stage.gates if name in suites] for stage in deciding)
    return max(1, sum(len({suite.asks for suite in one if suite.retention is None}) for one in gates))


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
