"""What a pipeline file itself would run, read, write, contact and load; its suites say it for themselves."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tunegate.exceptions import ConfigError, TunegateError
from tunegate.pipeline.pipeline_spec import PipelineSpec
from tunegate.pipeline.stage_spec import StageSpec
from tunegate.reading.files import model_place, resolve
from tunegate.reading.yaml_file import KeyPath, load_yaml
from tunegate.trust.wants import Code, Wants, Written

CONFIGURED = ("deepspeed", "fsdp_config")
"""The options of a trainer that may name a file with further settings."""
NAMES = "names"
"""The last key of what runs as soon as the rows are read."""


def wants_of_pipeline(spec: PipelineSpec, base_dir: Path) -> Iterator[tuple[KeyPath, Wants]]:
    """What each key wants: the model, the folders that are written, the waivers, and each stage."""
    from tunegate.models.open_model import wants_of

    yield ("model",), wants_of(model_place(spec.model, base_dir), "the base model")
    if spec.promote is not None:
        yield ("promote", "registry"), _writes(spec.promote.registry, "the registry", base_dir)
    if spec.ledger not in (None, "none"):
        yield ("ledger",), _writes(spec.ledger, "the ledger", base_dir)
    if (ray := spec.executor.ray) is not None and ray.address != "auto":  # what a cluster sends back may run code
        yield ("executor", "ray", "address"), Wants(runs=(Code(f"a model on {ray.address}", "Ray", beside=False),))
    if spec.waivers is not None:
        yield ("waivers",), Wants(reads=_there([spec.waivers], base_dir))
    for index, stage in enumerate(spec.stages):
        yield ("stages", index), _of_stage(stage, base_dir)
        for keys, data in ((("data",), stage.data), (("retrain", "replay_data"), stage.retrain.replay_data)):
            if data is not None and data.prepare is not None and data.prepare.names is not None:
                yield ("stages", index, *keys, "prepare", NAMES), _of_names(data.prepare.names)


def _writes(folder: str, at: str, base_dir: Path) -> Wants:
    return Wants(writes=tuple(Written(path, at) for path in _there([folder], base_dir)))


def _of_names(model: str) -> Wants:
    """spaCy imports an installed package of this name, already when the rows are prepared."""
    return Wants(runs=(Code(f"the spaCy model {model}", "the names of people", beside=False),))


def _of_stage(stage: StageSpec, base_dir: Path) -> Wants:
    """Its data, and what runs beside the training: a command, a launcher's configuration, trackers such as wandb."""
    runs: list[Code] = []
    files = [data.path for data in (stage.data, stage.retrain.replay_data) if data is not None]
    files += [named for key in CONFIGURED if isinstance(named := stage.args.get(key), str)]
    if stage.method == "command":
        command = stage.command if isinstance(stage.command, str) else shlex.join(stage.command or ())
        runs.append(Code(command, "command"))
        files += [config for config in (stage.options.get("config"),) if isinstance(config, str)]
    if stage.launcher is not None and (config := stage.launcher.config_file) is not None:
        runs.append(Code(config, "launcher.config_file", base_dir / config))  # it says which machines take part
        files += [config, *_named_by(base_dir / config)]
    if (trackers := stage.args.get("report_to")) not in (None, "none", [], ["none"]):
        runs.append(Code(f"report_to: {trackers}", "args.report_to", beside=False))  # they contact their makers
    return Wants(runs=tuple(runs), reads=_there(files, base_dir))


def _named_by(config: Path) -> list[str]:
    """The file that accelerate's configuration names for DeepSpeed; none in a file that is wrong."""
    with suppress(TunegateError):
        data: Any = load_yaml(config).data
        inner: Any = data.get("deepspeed_config") if isinstance(data, Mapping) else None  # pyright: ignore[reportUnknownMemberType,reportUnknownVariableType]
        named: Any = inner.get("deepspeed_config_file") if isinstance(inner, Mapping) else None  # pyright: ignore[reportUnknownMemberType,reportUnknownVariableType]
        return [named] if isinstance(named, str) else []
    return []


def _there(names: Sequence[str], base_dir: Path) -> tuple[Path, ...]:
    """The places of names; whoever reads an impossible name says what is wrong with it."""
    places: list[Path] = []
    for name in names:
        with suppress(ConfigError):
            places.append(resolve(name, base_dir))
    return tuple(places)
