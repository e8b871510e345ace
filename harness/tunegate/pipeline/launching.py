"""Training in several processes: the command of `accelerate launch`, in place of one Python process."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from tunegate.exceptions import ConfigError
from tunegate.models.fingerprint import file_sha256
from tunegate.pipeline.stage_spec import LauncherSpec
from tunegate.reading.yaml_file import load_yaml

ON_ONE_MACHINE = {
    "compute_environment": "LOCAL_MACHINE",
    "distributed_type": "MULTI_GPU",  # plain data parallelism; on CPUs with gloo
    "mixed_precision": "no",
    "num_machines": 1,
    "machine_rank": 0,
    "use_cpu": False,
}
"""Settings that a user's default configuration of accelerate must not replace silently."""


ON_ANY_MACHINE, PER_CORE = 16, 4
"""The number of processes that is always allowed (the file may be checked on a smaller machine), and per CPU core.

More than one per core brings nothing; tests use it."""


def check_processes(launcher: LauncherSpec | None, cores: int | None = None) -> None:
    """Raise ConfigError for more processes than a machine with `cores` CPU cores (default: this machine) can run."""
    cores = cores or os.cpu_count() or 1
    most = max(ON_ANY_MACHINE, PER_CORE * cores)
    if launcher is not None and launcher.config_file is None and launcher.num_processes > most:
        raise ConfigError(
            f"num_processes: at most {most} are possible on this machine with {cores} CPU cores, got "
            f"{launcher.num_processes}; every process loads the model: use one for each GPU, or for every few CPU "
            "cores (for several machines, give a config_file)"
        )


def read_config(path: Path) -> Mapping[str, Any]:
    """The settings in a configuration of accelerate; raises ConfigError for a file that is none."""
    data: Any = load_yaml(path).data
    settings = cast("Mapping[str, Any]", data if isinstance(data, Mapping) else {})
    for key in ("compute_environment", "distributed_type"):
        if key not in settings:
            raise ConfigError(
                f"{path}: {key}: missing; run `accelerate config --config_file {path.name}` to write the file"
            )
    machines = settings.get("num_machines", 1)
    if type(machines) is not int or machines < 1:
        raise ConfigError(f"{path}: num_machines: expected a whole number of at least 1, got {machines!r}")
    return settings


def config_sha256(launcher: LauncherSpec | None) -> str:
    """The hash of a launcher's configuration; empty if there is none."""
    return "" if launcher is None or launcher.config_file is None else file_sha256(Path(launcher.config_file))


def command_of(command: Sequence[str], launcher: Mapping[str, Any] | None, folder: Path) -> list[str]:
    """The command that starts `command` (Python with its options, `-m`, a module) with the settings of `launcher`.

    `launcher` is `TrainJob.launcher`; a configuration file, if needed, is written to `folder`.
    """
    processes, config = (launcher or {}).get("num_processes", 1), (launcher or {}).get("config_file")
    if processes == 1 and config is None:
        return list(command)
    if config is None:
        config = str(folder / "launch.json")  # accelerate reads JSON as well as YAML
        Path(config).write_text(json.dumps(ON_ONE_MACHINE | {"num_processes": processes}), encoding="utf-8")
    threads = max(1, (os.cpu_count() or 1) // processes)
    *python, module_option, module = command
    machines = read_config(Path(config)).get("num_machines", 1)
    options = {
        "config_file": config,
        "num_processes": processes,
        "num_cpu_threads_per_process": threads,
        # any free port: two trainings may run on one machine; several machines meet at the port of the file
        **({} if machines > 1 else {"main_process_port": 0}),
    }
    flags = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    return [*python, "-m", "accelerate.commands.launch", *flags, module_option, module]
