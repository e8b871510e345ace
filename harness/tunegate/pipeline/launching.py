"""Training in several processes: the command of `accelerate launch`, in place of one Python process."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tunegate.exceptions import ConfigError
from tunegate.models.fingerprint import file_sha256
from tunegate.pipeline.stage_spec import LauncherSpec
from tunegate.reading.yaml_file import load_yaml

ON_ONE_MACHINE = {
    "compute_environment": "LOCAL_MACHINE",
    "distributed_type": "MULTI_GPU",  # plain data parallelism; on a CPU too, by gloo
    "mixed_precision": "no",
    "num_machines": 1,
    "machine_rank": 0,
    "use_cpu": False,
}
"""What a user's own default configuration of accelerate must not replace unseen."""


ON_ANY_MACHINE, PER_CORE = 16, 4
"""How many processes are never too many (a file may be checked on a smaller machine than it trains on), and on a core.

More than one on a core gains nothing; tests do it."""


def check_processes(launcher: LauncherSpec | None, cores: int | None = None) -> None:
    """Raise ConfigError for more processes than a machine of so many CPU cores (default: this one) can carry."""
    cores = cores or os.cpu_count() or 1
    most = max(ON_ANY_MACHINE, PER_CORE * cores)
    if launcher is not None and launcher.config_file is None and launcher.num_processes > most:
        raise ConfigError(
            f"num_processes: {launcher.num_processes} processes, each with the model in its memory, were asked for; "
            f"this machine has {cores} CPU cores, and more than {most} will not run on it: one for each GPU, or for "
            "each few cores, is right (several machines are named by a config_file)"
        )


def check_config(path: Path) -> None:
    """Raise ConfigError for a file that is no configuration of accelerate."""
    data: Any = load_yaml(path).data
    for key in ("compute_environment", "distributed_type"):
        if not isinstance(data, Mapping) or key not in data:
            raise ConfigError(f"{path}: {key}: missing; `accelerate config --config_file {path.name}` writes it")


def config_sha256(launcher: LauncherSpec | None) -> str:
    """The hash of a launcher's configuration; empty where there is none."""
    return "" if launcher is None or launcher.config_file is None else file_sha256(Path(launcher.config_file))


def command_of(command: Sequence[str], launcher: Mapping[str, Any] | None, folder: Path) -> list[str]:
    """The command that starts `command` (Python, `-m`, a module) as `launcher` says.

    `launcher` is `TrainJob.launcher`; a configuration that is needed is written to `folder`.
    """
    processes, config = (launcher or {}).get("num_processes", 1), (launcher or {}).get("config_file")
    if processes == 1 and config is None:
        return list(command)
    if config is None:
        config = str(folder / "launch.json")  # accelerate reads JSON as well as YAML
        Path(config).write_text(json.dumps(ON_ONE_MACHINE | {"num_processes": processes}), encoding="utf-8")
    threads = max(1, (os.cpu_count() or 1) // processes)
    python, *module = command
    options = {
        "config_file": config,
        "num_processes": processes,
        "num_cpu_threads_per_process": threads,
        "main_process_port": 0,  # any that is free: two trainings may run on a machine
    }
    flags = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    return [python, "-m", "accelerate.commands.launch", *flags, *module]
