"""Runs pytest again and again, each time in a process of its own that is forked: `python pytest_server.py`.

A process that starts from nothing spends most of its time on imports. This one has imported pytest and the plugin's
modules, and has done nothing with them; each run begins there, in the folder, with the arguments and in the environment
that it is told, and ends as `python -m pytest` does. A run is told as a line of JSON; the answer is its exit code.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

MODULES = (
    "pytest_timeout", "tunegate.plugin.entry", "tunegate.plugin.items", "tunegate.plugin.function_check",
    "tunegate_suites.build", "tunegate_suites.errors", "tunegate.gates.runner", "tunegate.gates.gate_run",
    "importlib.metadata", "openai.resources.chat",
    "_pytest.assertion.util", "_pytest.junitxml", "_pytest.cacheprovider", "_pytest.debugging", "pdb", "difflib",
)  # fmt: skip


class PytestServer:
    """The process, started when the first run is asked for."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def run(self, arguments: Sequence[str], environment: Mapping[str, str], output: Path) -> int:
        """Run pytest in the current folder; all that it prints goes to the file `output`. Returns its exit code."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        told = {"arguments": list(arguments), "environment": dict(environment), "folder": os.getcwd()}
        self._process.stdin.write(json.dumps(told | {"output": str(output)}) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def stop(self) -> None:
        if self._process is not None:
            self._process.communicate()  # the end of its input is the end of it
            self._process = None


def serve() -> None:
    """The server's loop; it returns in the process of a run alone."""
    for line in sys.stdin:
        child = os.fork()
        if not child:
            return begin(**json.loads(line))
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()
    raise SystemExit


def begin(arguments: list[str], environment: dict[str, str], folder: str, output: str) -> None:
    """Become what `python -m pytest ARGUMENTS` is at its start."""
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    nothing = os.open(os.devnull, os.O_RDONLY)
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for to, descriptor in enumerate((nothing, file, file)):
        os.dup2(descriptor, to)
    os.close(nothing)
    os.close(file)
    sys.argv[1:] = arguments
    sys.path[0] = folder


if __name__ == "__main__":
    for module in MODULES:
        importlib.import_module(module)
    serve()
    import pytest

    # What was imported before pytest could rewrite its assertions is told as a warning, which would be an error.
    sys.exit(pytest.main([*sys.argv[1:], "-W", "ignore::pytest.PytestAssertRewriteWarning"]))
