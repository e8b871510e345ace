"""A pipeline: the file that names a base model, its suites, its stages and its registry, loaded and validated whole."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import takewhile
from pathlib import Path
from typing import Any

from tunegate.checks import CheckBuilder
from tunegate.curriculum import with_difficulty
from tunegate.data_prepare import PrepareTools, load_prepared
from tunegate.exceptions import ConfigError, Tampered, nearest
from tunegate.files import resolve
from tunegate.launching import check_config, config_sha256
from tunegate.methods import METHODS, Role
from tunegate.own_answers import check_own_answers
from tunegate.plans import GatePlan
from tunegate.retrain import args_set_by, first_settings
from tunegate.schema import LeakageSpec, PipelineSpec
from tunegate.search import require_optuna
from tunegate.seeds import derived_seed
from tunegate.spec import read_spec
from tunegate.stage_spec import StageSpec
from tunegate.suite_spec import SuiteSpec
from tunegate.suites import Suite, check_bank, load_suite, make_suite
from tunegate.terms import Terms
from tunegate.token_lengths import local_tokens
from tunegate.training_data import TrainingData
from tunegate.waivers import Waiver, read_waivers
from tunegate.watched import Watched, draw_watched, reserve
from tunegate.yaml_file import KeyPath, YamlFile, load_yaml

StageValidator = Callable[[StageSpec], None]
"""Checks what a stage says of its training before anything is trained; raises ConfigError."""

BUILTIN = "package:tunegate_suites/data"


def accept_any_stage(stage: StageSpec) -> None:
    """The validator for tests and for installs without the extra 'train'."""


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
    def role(self) -> Role:
        return METHODS[self.spec.method].role


@dataclass(frozen=True)
class GateTerms:
    """The terms of a gate of a stage: of every attempt's first draw, and of the draw that must confirm a pass."""

    plan: GatePlan
    first: Terms
    confirm: Terms | None

    def confirmation(self, attempt: int) -> Terms | None:
        """The terms of the confirming draw that this attempt owes."""
        return self.confirm if self.plan.confirmation(attempt) else None

    def to_json(self) -> dict[str, Any]:
        """For the record, which must be checkable without the pipeline file."""
        return {
            "first": self.first.to_json(),
            "confirm": self.confirm.to_json() if self.confirm else None,
            "confirms": self.plan.confirms,
            "reuse": self.plan.reuse,
        }


@dataclass(frozen=True)
class RetentionTerms:
    """A suite that a stage is asked again, on the cases that the base model (`since` None) or a stage was asked."""

    max_drop: float
    since: str | None


NOT_WORSE = 0.0
"""Points that a trained model may lie behind a baseline: it must be worth its training."""


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
    """The cases that a stage asks while it trains, by its name; no draw asks them."""

    def gates(self, stage: Stage) -> dict[str, GateTerms]:
        """What a stage must pass, by gate name, under the plan for all attempts that it has."""
        return {name: self._terms(self.suites[name], stage) for name in self._own_gates(stage)}

    def retention(self, stage: Stage) -> dict[str, RetentionTerms]:
        """What a stage must not unlearn: the retention suites, and the gates of every earlier stage.

        Of what lies aside of the chain, only a baseline counts, as what to be no worse than.
        """
        if stage.role != "step":
            return {}
        kept = {
            name: RetentionTerms(suite.retention.max_drop, None)
            for name, suite in self.suites.items()
            if suite.retention is not None
        }
        for earlier in takewhile(lambda other: other.name != stage.name, self.stages):
            if earlier.role != "scorer":
                max_drop = self.max_drop if earlier.role == "step" else NOT_WORSE
                kept |= {name: RetentionTerms(max_drop, earlier.name) for name in self._own_gates(earlier)}
        return kept

    def _own_gates(self, stage: Stage) -> list[str]:
        return [name for name in stage.spec.gates if self.suites[name].retention is None]

    def _terms(self, suite: Suite, stage: Stage) -> GateTerms:
        plan = suite.rule.resolve(stage.spec.retrain.max_attempts)
        if stage.role == "baseline":  # it is measured, not accepted
            plan = replace(plan, confirm=None, confirms="never")
            return GateTerms(plan, Terms(plan.first, "baseline"), None)
        first = suite.terms(plan, curtail=plan.curtail is not False)
        confirm = None if plan.confirm is None else replace(first, plan=plan.confirm, purpose="confirm")
        return GateTerms(plan, first, confirm)


def load_pipeline(
    path: Path, build_check: CheckBuilder, validate_stage: StageValidator = accept_any_stage, today: date | None = None
) -> Pipeline:
    """Load a pipeline file with all it names; raises ConfigError before anything is trained.

    Waivers are held against `today`. They are no part of the pipeline's hash: they come when a run has failed.
    """
    file = load_yaml(path)
    spec = read_spec(PipelineSpec, file)
    base_dir = path.parent
    suites = {name: _suite(name, entry, file, build_check) for name, entry in spec.suites.items()}
    watched = _watched(spec, suites, file)
    suites = reserve(suites, watched.values())
    preparing = PrepareTools(local_tokens(model_place(spec.model, base_dir)))
    stages: list[Stage] = []
    for index, stage in enumerate(spec.stages):
        keys: KeyPath = ("stages", index)
        for position, gate in enumerate(stage.gates):
            if gate not in suites:
                raise file.error((*keys, "gates", position), f"no suite is named {gate!r}{nearest(gate, suites)}")
        try:
            validate_stage(_at_first_attempt(stage))
        except ConfigError as error:
            raise file.error(keys, str(error)) from error
        try:
            check_own_answers(stage, suites)
        except ConfigError as error:
            raise file.error((*keys, "data"), str(error)) from error
        _check_reward(stage, spec, suites, file, keys)
        stage = _with_launch_file(stage, base_dir)
        data = load_prepared(stage.data, stage.method, base_dir, preparing)
        if stage.curriculum is not None and stage.curriculum.by != "loss":
            data = with_difficulty(data, stage.data, stage.curriculum.by, base_dir)
        _check_budget(stage, data, file, index)
        _check_banks(stage, suites, file, keys)
        general = stage.retrain.replay_data
        replay = None if general is None else load_prepared(general, stage.method, base_dir, preparing)
        stages.append(Stage(stage, data, replay))
    gates = {stage.name: stage.gates for stage in spec.stages}
    waivers = read_waivers(resolve(spec.waivers, base_dir), gates, today or date.today()) if spec.waivers else ()
    digest = hashlib.sha256(
        json.dumps(_without_waivers(file.data), sort_keys=True, default=str).encode(errors="replace")
    )
    data_sets = [data for stage in stages for data in (stage.data, stage.replay) if data is not None]
    launched = [config_sha256(stage.spec.launcher) for stage in stages]
    for sha256 in (*(suite.sha256 for suite in suites.values()), *(data.sha256 for data in data_sets), *launched):
        digest.update(sha256.encode())
    return Pipeline(
        name=spec.name,
        path=path,
        model=model_place(spec.model, base_dir),
        seed=spec.seed,
        suites=suites,
        stages=tuple(stages),
        promote_to=spec.promote.to if spec.promote else None,
        registry=resolve(spec.promote.registry, base_dir) if spec.promote else None,
        sha256=digest.hexdigest(),
        leakage=spec.leakage,
        max_drop=spec.retention.max_drop,
        waivers=waivers,
        watched=watched,
    )


def _without_waivers(data: Any) -> dict[str, Any]:
    return {key: value for key, value in data.items() if key != "waivers"}


def _suite(name: str, entry: str | dict[str, Any], file: YamlFile, build_check: CheckBuilder) -> Suite:
    if isinstance(entry, str):
        return load_suite(suite_place(entry, file.path.parent), build_check)
    keys = ("suites", name)
    spec = read_spec(SuiteSpec, file, keys, entry)
    return make_suite(spec, spec.name or name, file, keys, build_check)


@dataclass(frozen=True, slots=True)
class SuiteRef:
    """Where a suite stands, for another process to open it: a pipeline file, its name there, and its hash."""

    pipeline: str
    name: str
    sha256: str


def suite_ref(pipeline: Pipeline, name: str) -> SuiteRef:
    """The reference to a suite of a pipeline."""
    return SuiteRef(str(pipeline.path.resolve()), name, pipeline.suites[name].sha256)


def open_suite_ref(ref: SuiteRef, build_check: CheckBuilder) -> Suite:
    """The suite that is referred to; raises Tampered when another lies there by now."""
    file = load_yaml(Path(ref.pipeline))
    suite = _suite(ref.name, read_spec(PipelineSpec, file).suites[ref.name], file, build_check)
    if suite.sha256 != ref.sha256:
        raise Tampered(f"{ref.pipeline}: suite {ref.name!r} changed since the run began")
    return suite


def suite_place(entry: str, base_dir: Path) -> Path:
    """The path of a suite file; `builtin:NAME` is one that ships with Tunegate."""
    if entry.startswith("builtin:"):
        return resolve(f"{BUILTIN}/{entry.removeprefix('builtin:')}.yaml", base_dir)
    return resolve(entry, base_dir)


def model_place(model: str, base_dir: Path) -> str:
    """A model folder or file relative to the pipeline file; anything else (a hub id, `package:…`) is left as it is."""
    if model.startswith(("package:", "http://", "https://")):
        return model
    local = resolve(model, base_dir)
    return str(local) if local.exists() or model.startswith((".", "/", "~")) else model


def _check_reward(
    stage: StageSpec, spec: PipelineSpec, suites: Mapping[str, Suite], file: YamlFile, keys: KeyPath
) -> None:
    """What `options: {reward: …}` names must be there: a suite, or an earlier stage that trains a reward model."""
    scorer, asked = reward_of(stage.options)
    earlier = takewhile(lambda other: other.name != stage.name, spec.stages)
    scorers = [other.name for other in earlier if METHODS[other.method].role == "scorer"]
    if scorer is not None and scorer not in scorers:
        message = f"no earlier stage of method reward is named {scorer!r}{nearest(scorer, scorers)}"
        raise file.error((*keys, "options", "reward", "stage"), message)
    if asked is not None and asked not in suites:
        raise file.error((*keys, "options", "reward", "suite"), f"no suite is named {asked!r}{nearest(asked, suites)}")
    if "model" in (stage.options.get("reward") or ()):
        message = "name the stage that trains it: a reward model must pass its own gate first, and be on the record"
        raise file.error((*keys, "options", "reward", "model"), message)


def reward_of(options: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """What `reward: {stage: NAME}` and `reward: {suite: NAME}` name in a stage's options."""
    reward = options.get("reward")
    named = dict[str, Any](reward) if isinstance(reward, dict) else {}  # pyright: ignore[reportUnknownArgumentType]
    stage, suite = named.get("stage"), named.get("suite")
    return (stage if isinstance(stage, str) else None), (suite if isinstance(suite, str) else None)


def _watched(spec: PipelineSpec, suites: Mapping[str, Suite], file: YamlFile) -> dict[str, Watched]:
    """What each stage watches while it trains; raises ConfigError for a gate that is not there or has too few cases."""
    watched: dict[str, Watched] = {}
    for index, stage in enumerate(spec.stages):
        if stage.watch is None:
            continue
        keys: KeyPath = ("stages", index, "watch")
        gate, draw = stage.watch.gate, stage.watch.draw
        if METHODS[stage.method].role == "baseline":
            raise file.error(keys, f"{stage.method} trains nothing that could be watched; leave it out")
        if gate not in suites:
            raise file.error((*keys, "gate"), f"no suite is named {gate!r}{nearest(gate, suites)}")
        watched[stage.name] = draw_watched(gate, suites[gate], draw, derived_seed(spec.seed, stage.name, "watch"))
        left = reserve(suites, watched.values())[gate]
        try:
            check_bank(left.bank, left.plan)
        except ConfigError as error:
            away = f"{len(left.reserved)} cases are watched in training, with all of their groups, and"
            raise file.error((*keys, "draw"), f"{gate}: {away} {error}; or watch fewer") from error
    return watched


def _check_banks(stage: StageSpec, suites: Mapping[str, Suite], file: YamlFile, keys: KeyPath) -> None:
    """Every gate must be able to judge a first attempt, under the plan that all attempts call for."""
    if all(suites[gate].retention is not None for gate in stage.gates):
        raise file.error((*keys, "gates"), "retention suites alone decide nothing; name a suite that is to be passed")
    for position, gate in enumerate(stage.gates):
        try:
            check_bank(suites[gate].bank, suites[gate].rule.resolve(stage.retrain.max_attempts))
        except ConfigError as error:
            raise file.error((*keys, "gates", position), f"{gate}: {error}") from error


def _at_first_attempt(stage: StageSpec) -> StageSpec:
    """The stage with what its ladders set, so that these settings are checked as its own are."""
    return stage.model_copy(update={"args": {**stage.args, **first_settings(stage.retrain).args()}})


def _with_launch_file(stage: StageSpec, base_dir: Path) -> StageSpec:
    """The stage with the configuration of its launcher found and looked at."""
    if stage.launcher is None or stage.launcher.config_file is None:
        return stage
    path = resolve(stage.launcher.config_file, base_dir)
    check_config(path)
    return stage.model_copy(update={"launcher": stage.launcher.model_copy(update={"config_file": str(path)})})


def _check_budget(stage: StageSpec, data: TrainingData, file: YamlFile, index: int) -> None:
    rows, available = stage.retrain.rows or [], len(data.examples)
    if rows and rows[-1] > available:
        raise file.error(
            ("stages", index, "retrain", "rows"), f"{rows[-1]} rows are asked for, {data.path.name} has {available}"
        )
    if stage.retrain.search == "optuna":
        require_optuna()
    for setting, ladder in args_set_by(stage.retrain).items():
        if setting in stage.args:
            raise file.error(("stages", index, "args", setting), f"also set by `retrain.{ladder}`; give one of the two")
