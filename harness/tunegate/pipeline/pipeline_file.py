"""Reads the pipeline file: loads, validates and hashes everything that it names, before any training."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from itertools import takewhile
from pathlib import Path
from typing import Any, Protocol, TypeVar

from tunegate.checks.check import CheckBuilder, is_imported
from tunegate.data.curriculum import with_difficulty
from tunegate.data.methods import method_of, not_read
from tunegate.data.prepare import PrepareTools, load_prepared
from tunegate.data.spec import DataSpec
from tunegate.data.token_lengths import local_tokens
from tunegate.data.training_data import TrainingData, check_rows
from tunegate.exceptions import ConfigError, SettingError, Tampered, nearest
from tunegate.hashes import ascii_json
from tunegate.pipeline.default_ladders import completed
from tunegate.pipeline.inspect_spec import check_inspect
from tunegate.pipeline.ladders import args_set_by, first_settings, require_optuna
from tunegate.pipeline.launching import check_processes, config_sha256, read_config
from tunegate.pipeline.own_answers_check import check_own_answers
from tunegate.pipeline.own_command import command_of, command_sha256
from tunegate.pipeline.paired_banks import check_paired_banks
from tunegate.pipeline.pipeline import Pipeline, Stage, SuiteRef, independent_draws, reward_of
from tunegate.pipeline.pipeline_spec import PipelineSpec
from tunegate.pipeline.stage_spec import StageSpec
from tunegate.pipeline.supply import supply_of
from tunegate.pipeline.wants import NAMES, wants_of_pipeline
from tunegate.pipeline.watched import Watched, draw_watched, reserve, too_many
from tunegate.reading.files import model_place, resolve
from tunegate.reading.spec import read_spec
from tunegate.reading.yaml_file import KeyPath, YamlFile, load_yaml
from tunegate.seeds import derived_seed
from tunegate.suites.common_seal import sealed_together
from tunegate.suites.fitting_plan import proposal
from tunegate.suites.places import suite_place
from tunegate.suites.retained import retention_of
from tunegate.suites.suite import Suite, check_bank
from tunegate.suites.suite_file import load_suite, make_suite
from tunegate.suites.suite_spec import SuiteSpec
from tunegate.trust.allowed import refuse, user_trust
from tunegate.verdicts.waivers import Waiver, read_waivers


class RowValidator(Protocol):
    """What a method, with its options, requires of single rows."""

    def check_row(self, row: Mapping[str, Any]) -> None:
        """Raise ConfigError for a row, as the trainer reads it, from which the model cannot learn."""


StageValidator = Callable[[StageSpec], RowValidator | None]
"""Checks the training settings of a stage before any training; raises ConfigError."""

Checked = TypeVar("Checked")


def accept_any_stage(stage: StageSpec) -> None:
    """The validator for tests and for installs without the extra 'train'."""


def load_pipeline(
    path: Path,
    build_check: CheckBuilder,
    validate_stage: StageValidator = accept_any_stage,
    today: date | None = None,
    *,
    look: bool = False,
    of_record: bool = False,
) -> Pipeline:
    """Load a pipeline file and everything it names; raises ConfigError before any training.

    Waivers are checked for `today`. They are not part of the pipeline's hash: people add them after a failed run. With
    `look`, the file may want what the user does not allow: nothing of it will run. With `of_record`, its file of
    waivers is not read: a record has those that were used, and others may have expired since.
    """
    reading = _Reading(path, build_check, validate_stage)
    reading.check_allowed(look=look)
    if not of_record:
        reading.check_inspect()
    spec, base_dir = reading.spec, path.parent
    stages = tuple(reading.stage(index, stage) for index, stage in enumerate(spec.stages))
    pipeline = Pipeline(
        name=spec.name,
        path=path,
        model=model_place(spec.model, base_dir),
        seed=spec.seed,
        suites=reading.suites,
        stages=stages,
        promote_to=spec.promote.to if spec.promote else None,
        registry=resolve(spec.promote.registry, base_dir) if spec.promote else None,
        sha256=_sha256(reading.file, reading.suites.values(), stages),
        leakage=spec.leakage,
        kept=retention_of(spec.retention),
        ledger=spec.ledger if spec.ledger in (None, "none") else str(resolve(spec.ledger, base_dir)),
        waivers=() if of_record else _waivers(spec, reading.file, today or date.today()),
        watched=reading.watched,
        executor=spec.executor,
        inspect=spec.inspect,
        promotes_imported=spec.promote is not None and spec.promote.imported,
    )
    reading.check_imported(pipeline)
    reading.check_supply(pipeline)
    reading.check_retention(pipeline)
    return pipeline


def _no_case_left(stage: str, short: str, key: str) -> str:
    return (
        f"too few fresh cases are left for {short} at the first attempt of {stage!r}, even if every stage before it "
        "passes at once: no question is asked twice in a run; add cases, draw fewer, or set `reuse: true` under the "
        f"suite's `{key}`, which the report marks"
    )


class _Reading:
    """Reads one pipeline file; every error names the file, the line and the key at fault."""

    def __init__(self, path: Path, build_check: CheckBuilder, validate_stage: StageValidator) -> None:
        self.file = load_yaml(path)
        self.spec = read_spec(PipelineSpec, self.file)
        self.base_dir = path.parent
        self.validate_stage = validate_stage
        self.preparing = PrepareTools(local_tokens(model_place(self.spec.model, self.base_dir)))
        read = {name: _suite(name, entry, self.file, build_check) for name, entry in self.spec.suites.items()}
        self.suites = sealed_together(read)
        for name, suite in read.items():
            if suite.limits is not None and suite.limits.concurrency > 1:
                message = "requests at once are only for a server, but a pipeline gates models on disk; leave it out"
                raise self.file.error(("suites", name), f"limits.concurrency: {message}")
        self.watched = self._watched()
        self.suites = reserve(self.suites, self.watched.values())

    def check_allowed(self, *, look: bool) -> None:
        """What the pipeline itself runs and contacts must be allowed; its suites say so by themselves.

        For a look, only what runs when the rows are read.
        """
        trust = user_trust()
        for keys, wants in wants_of_pipeline(self.spec, self.base_dir):
            if not look or keys[-1] == NAMES:
                self._checked(keys, lambda wants=wants: refuse(wants, self.file.path, trust))

    def check_inspect(self) -> None:
        """What explains missed cases is installed, before anything is trained."""
        self._checked(("inspect",), lambda: check_inspect(self.spec.inspect))

    def stage(self, index: int, spec: StageSpec) -> Stage:
        """A stage with its data, after all checks."""
        keys: KeyPath = ("stages", index)
        for position, gate in enumerate(spec.gates):
            self._check_suite(gate, (*keys, "gates", position))
        validator = self._validator(spec, keys)
        self._checked((*keys, "method"), lambda: spec.learns_as)
        self._checked((*keys, "data"), lambda: check_own_answers(spec, self.suites))
        self._check_read(spec.data, spec.data.rows_for(spec.learns_as), (*keys, "data"))
        self._check_reward(spec, (*keys, "options", "reward"))
        self._checked((*keys, "launcher"), lambda: check_processes(spec.launcher))
        self._check_command(spec, keys)
        with self.file.naming((*keys, "launcher", "config_file")):
            spec = _with_launch_file(spec, self.base_dir)
        data = self._data(spec, (*keys, "data", "path"))
        self._check_ladders(spec, data, keys)
        text = sum(len(example.to_json()) for example in data.examples)
        spec, filled = completed(spec, len(data.examples), text, retains=self._retains(index))
        self._check_banks(spec, (*keys, "gates"))
        general = spec.retrain.replay_data
        self._check_read(general, spec.learns_as, (*keys, "retrain", "replay_data"))
        with self.file.naming((*keys, "retrain", "replay_data", "path")):
            replay = None if general is None else load_prepared(general, spec.learns_as, self.base_dir, self.preparing)
        for rows in (data, replay):
            if rows is not None and validator is not None:
                check_rows(rows, validator.check_row)
        return Stage(spec, data, replay, filled)

    def _retains(self, index: int) -> bool:
        """Whether a stage is compared with an earlier model, so that it can be found to have forgotten something."""
        earlier = self.spec.stages[:index]
        return any(suite.retention is not None for suite in self.suites.values()) or any(
            method_of(stage.method).role == "step" for stage in earlier
        )

    def _data(self, stage: StageSpec, keys: KeyPath) -> TrainingData:
        with self.file.naming(keys):
            data = load_prepared(stage.data, stage.learns_as, self.base_dir, self.preparing)
        if stage.curriculum is not None and stage.curriculum.by != "loss":
            return with_difficulty(data, stage.data, stage.curriculum.by, self.base_dir)
        return data

    def _validator(self, spec: StageSpec, keys: KeyPath) -> RowValidator | None:
        try:
            return self.validate_stage(_at_first_attempt(spec))
        except SettingError as error:
            raise self.file.error((*keys, *error.path), error.fault) from error
        except ConfigError as error:
            raise self.file.error(keys, str(error)) from error

    def _check_command(self, spec: StageSpec, keys: KeyPath) -> None:
        try:
            command_of(_at_first_attempt(spec), self.base_dir)
        except SettingError as error:
            raise self.file.error((*keys, *error.path), error.fault) from error

    def _checked(self, keys: KeyPath, check: Callable[[], Checked]) -> Checked:
        try:
            return check()
        except ConfigError as error:
            raise self.file.error(keys, str(error)) from error

    def _check_read(self, data: DataSpec | None, method: str, keys: KeyPath) -> None:
        unread = None if data is None else not_read(method, data)
        if unread is not None:
            raise self.file.error(keys, f"{unread}; leave it out")

    def _check_suite(self, name: str, keys: KeyPath) -> None:
        if name not in self.suites:
            raise self.file.error(keys, f"no suite is named {name!r}{nearest(name, self.suites)}")

    def _check_reward(self, stage: StageSpec, keys: KeyPath) -> None:
        """What `options: {reward: …}` names must exist: a suite, or an earlier stage that trains a reward model."""
        scorer, asked = reward_of(stage.options)
        earlier = takewhile(lambda other: other.name != stage.name, self.spec.stages)
        scorers = [other.name for other in earlier if method_of(other.method).role == "scorer"]
        if scorer is not None and scorer not in scorers:
            message = f"no earlier stage with method reward is named {scorer!r}{nearest(scorer, scorers)}"
            raise self.file.error((*keys, "stage"), message)
        if asked is not None:
            self._check_suite(asked, (*keys, "suite"))
        if "model" in (stage.options.get("reward") or ()):
            message = "name the stage that trains the reward model: it must pass its own gate first, and be on record"
            raise self.file.error((*keys, "model"), message)

    def _check_ladders(self, stage: StageSpec, data: TrainingData, keys: KeyPath) -> None:
        counts = [rung for rung in stage.retrain.rows or () if rung != "all"]
        if counts and counts[-1] > data.rows_in:
            message = (
                f"expected at most {data.rows_in} (rows of {data.path.name}), got {counts[-1]}; write `all` for all"
            )
            raise self.file.error((*keys, "retrain", "rows"), message)
        if method_of(stage.method).role == "baseline":
            without_effect = {"max_attempts": 1, "search": "ladders", "auto": False, "on_noise": "retrain"}
            for key in without_effect.keys() & stage.retrain.model_fields_set:
                if getattr(stage.retrain, key) != without_effect[key]:
                    raise self.file.error((*keys, "retrain", key), f"{stage.method} is not retrained; leave it out")
        if stage.retrain.search == "optuna":
            require_optuna()
        if stage.retrain.epochs is not None and "max_steps" in stage.args:
            message = "max_steps overrides `retrain.epochs`; give only one of the two"
            raise self.file.error((*keys, "args", "max_steps"), message)
        for setting, ladder in args_set_by(stage.retrain).items():
            if setting in stage.args:
                raise self.file.error((*keys, "args", setting), f"also set by `retrain.{ladder}`; give one of the two")

    def _check_banks(self, stage: StageSpec, keys: KeyPath) -> None:
        """Every bank must have enough cases for a first attempt, under the plan for all attempts."""
        if all(self.suites[gate].retention is not None for gate in stage.gates):
            raise self.file.error(keys, "only retention suites are listed; add a suite that the stage must pass")
        draws = independent_draws(self.spec.stages, self.suites)
        for position, gate in enumerate(stage.gates):
            suite = self.suites[gate]
            try:
                check_bank(suite.bank, suite.resolve(stage.retrain.max_attempts, draws))
            except ConfigError as error:
                fitting = proposal(suite.cases, stage.retrain.max_attempts)
                elsewhere = f"; other suites seal {suite.sealed_elsewhere} of its cases" if suite.seal else ""
                raise self.file.error((*keys, position), f"{gate}: {error}{elsewhere}{fitting}") from error

    def check_supply(self, pipeline: Pipeline) -> None:
        """Every stage must find fresh cases for its first attempt."""
        for index, (name, supply) in enumerate(supply_of(pipeline).items()):
            if not supply.at_best and supply.first_short is not None:
                raise self.file.error(("stages", index, "gates"), _no_case_left(name, *supply.first_short))

    def check_imported(self, pipeline: Pipeline) -> None:
        """No model is promoted by scores of other tools, unless the file says so."""
        if pipeline.promote_to is None or pipeline.promotes_imported:
            return
        for stage in pipeline.stages:
            for gate in stage.spec.gates:
                if any(map(is_imported, pipeline.suites[gate].check_names)):
                    raise self.file.error(
                        ("promote",),
                        f"gate {gate!r} of stage {stage.name!r} takes over the scores of another tool (`imported`), "
                        "which nothing here judged: judge the answers by a check, or write `promote: {imported: true}`",
                    )

    def check_retention(self, pipeline: Pipeline) -> None:
        """Every comparison with an earlier model must have enough fresh cases for a first attempt."""
        for index, stage in enumerate(pipeline.stages):
            self._checked(("stages", index, "gates"), lambda stage=stage: check_paired_banks(pipeline, stage))

    def _watched(self) -> dict[str, Watched]:
        """What each stage watches during training; raises ConfigError for a gate that is unknown or too small."""
        watched: dict[str, Watched] = {}
        for index, stage in enumerate(self.spec.stages):
            if stage.watch is None:
                continue
            keys: KeyPath = ("stages", index, "watch")
            gate, draw = stage.watch.gate, stage.watch.draw
            if method_of(stage.method).role == "baseline":
                raise self.file.error(keys, f"{stage.method} does not train: there is nothing to watch; leave it out")
            self._check_suite(gate, (*keys, "gate"))
            seed = derived_seed(self.spec.seed, stage.name, "watch")
            fault = too_many(gate, reserve(self.suites, watched.values()), draw, seed)
            if fault:
                raise self.file.error((*keys, "draw"), f"{gate}: {fault}")
            watched[stage.name] = draw_watched(gate, self.suites[gate], draw, seed)
        return watched


def _at_first_attempt(stage: StageSpec) -> StageSpec:
    """The stage with the first settings of its ladders, so that they are checked like its other settings."""
    return stage.model_copy(update={"args": {**stage.args, **first_settings(stage.retrain).args()}})


def _with_launch_file(stage: StageSpec, base_dir: Path) -> StageSpec:
    """The stage with its launcher's configuration file located and checked."""
    if stage.launcher is None or stage.launcher.config_file is None:
        return stage
    path = resolve(stage.launcher.config_file, base_dir)
    read_config(path)
    return stage.model_copy(update={"launcher": stage.launcher.model_copy(update={"config_file": str(path)})})


def _waivers(spec: PipelineSpec, file: YamlFile, today: date) -> tuple[Waiver, ...]:
    if spec.waivers is None:
        return ()
    gates = {stage.name: stage.gates for stage in spec.stages}
    with file.naming(("waivers",)):
        return read_waivers(resolve(spec.waivers, file.path.parent), gates, today)


def _sha256(file: YamlFile, suites: Iterable[Suite], stages: Iterable[Stage]) -> str:
    """The hash of the file, every suite, every data set, every launcher's configuration, and the files of commands."""
    digest = hashlib.sha256(ascii_json(_of_the_exam(file.data)))
    stages = list(stages)
    data_sets = [data for stage in stages for data in (stage.data, stage.replay) if data is not None]
    launched = [config_sha256(stage.spec.launcher) for stage in stages]
    commands = [command_sha256(stage.spec, file.path.parent) for stage in stages]
    hashes = (*(suite.sha256 for suite in suites), *(data.sha256 for data in data_sets), *launched, *commands)
    for sha256 in hashes:
        digest.update(sha256.encode())
    return digest.hexdigest()


def _of_the_exam(data: Any) -> dict[str, Any]:
    """Without what may change during a run: waivers, and where models answer."""
    return {key: value for key, value in data.items() if key not in ("waivers", "executor")}


def _suite(name: str, entry: str | dict[str, Any], file: YamlFile, build_check: CheckBuilder) -> Suite:
    keys = ("suites", name)
    if isinstance(entry, str):
        with file.naming(keys):
            return load_suite(suite_place(entry, file.path.parent), build_check)
    spec = read_spec(SuiteSpec, file, keys, entry)
    return make_suite(spec, spec.name or name, file, keys, build_check)


def load_suites(path: Path, build_check: CheckBuilder) -> list[Suite]:
    """The suite of a suite file, or all suites of a pipeline file, whose stages and data are not read."""
    file = load_yaml(path)
    data: object = file.data
    if not isinstance(data, dict) or "stages" not in data:
        return [load_suite(path, build_check)]
    suites = read_spec(PipelineSpec, file).suites
    return [_suite(name, entry, file, build_check) for name, entry in suites.items()]


def open_suite_ref(ref: SuiteRef, build_check: CheckBuilder) -> Suite:
    """Open the referenced suite; raises Tampered if it has changed."""
    file = load_yaml(Path(ref.pipeline))
    suite = _suite(ref.name, read_spec(PipelineSpec, file).suites[ref.name], file, build_check)
    if suite.sha256 != ref.sha256:
        raise Tampered(f"{ref.pipeline}: suite {ref.name!r} changed since the run began")
    return suite
