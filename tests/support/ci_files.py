"""The files that CI servers read, and their shell steps, run here as the server would run them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.support.places import ROOT

ACTION = ROOT / "action.yml"
COMPONENT = ROOT / "templates" / "gate.yml"
HOOKS = ROOT / ".pre-commit-hooks.yaml"
WORKFLOWS = ROOT / ".github" / "workflows"
_EXPRESSION = re.compile(r"\$\{\{ *(.*?) *\}\}")


def read(path: Path) -> list[dict[str, Any]]:
    """The documents of a YAML file; a key `on` is a text, as CI servers read it."""
    return list(yaml.load_all(path.read_text(encoding="utf-8"), Loader=_Loader))


class _Loader(yaml.SafeLoader):
    """YAML 1.2's booleans: `on` is a word."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool" or first in "tTfF"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def with_tunegate(place: Path) -> Path:
    """A folder `tunegate/bin`, as the step `install` makes it, with the Tunegate of these tests."""
    script = place / "tunegate" / "bin" / "tunegate"
    script.parent.mkdir(parents=True)
    script.write_text(
        f'#!/bin/sh\nexec {sys.executable} -c "from tunegate.cli import console_main; console_main()" "$@"\n'
    )
    script.chmod(0o755)
    return script.parent


@dataclass(frozen=True)
class Step:
    """What a step came to: its exit code, its log, and what it wrote for the server."""

    code: int
    log: str
    output: str
    summary: str


def run_step(step: Mapping[str, Any], values: Mapping[str, str], folder: Path, temp: Path, **more: str) -> Step:
    """Run a step of a composite action in bash, with `${{ … }}` in its `env` replaced by these values."""
    assert step["shell"] == "bash"
    output, summary = temp / "output.txt", temp / "summary.txt"
    output.write_text("")
    summary.write_text("")
    given = {name: _EXPRESSION.sub(lambda found: values[found[1]], text) for name, text in step.get("env", {}).items()}
    runner = {"RUNNER_TEMP": str(temp), "GITHUB_OUTPUT": str(output), "GITHUB_STEP_SUMMARY": str(summary)}
    place = {"GITHUB_ACTION_PATH": str(ROOT), "GITHUB_WORKSPACE": str(folder)}
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
        cwd=folder,
        env={**os.environ, **runner, **place, **given, **more},
        capture_output=True,
        text=True,
        check=False,
    )
    return Step(done.returncode, done.stdout + done.stderr, output.read_text(), summary.read_text())
