"""The examples for KubeRay and Slurm: the keys exist, the scripts parse, and their commands are real ones."""

from __future__ import annotations

import copy
import json
import re
import shlex
import subprocess
from collections.abc import Callable
from typing import Any

import jsonschema
import pytest
import yaml

from tests.support.places import ROOT
from tunegate.command_line import build_parser
from tunegate.executors.executor_spec import executor_of
from tunegate.executors.ray_nodes import RayNodes

DEPLOY = ROOT / "docs" / "deploy"
SCHEMA = json.loads((ROOT / "tests/files/deploy/rayjob.schema.json").read_text(encoding="utf-8"))
KUBERAY = (DEPLOY / "kuberay.yaml").read_text(encoding="utf-8")
SLURM = (DEPLOY / "slurm.sh").read_text(encoding="utf-8")


def test_kuberays_own_schema_accepts_the_job() -> None:
    jsonschema.validate(yaml.safe_load(KUBERAY), SCHEMA)


def spec(job: Any) -> Any:
    return job["spec"]


def pods(job: Any) -> Any:
    return job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["template"]["spec"]["containers"][0]


@pytest.mark.parametrize(
    ("where", "key", "value"),
    [
        (spec, "entryPoint", "tunegate"),
        (spec, "backoffLimit", "none"),
        (spec, "submissionMode", 1),
        (pods, "volumeMount", []),
        (pods, "image", 5),
    ],
)
def test_the_schema_would_notice(where: Callable[[Any], Any], key: str, value: Any) -> None:
    job = copy.deepcopy(yaml.safe_load(KUBERAY))
    where(job)[key] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(job, SCHEMA)


def test_the_script_parses() -> None:
    done = subprocess.run(["bash", "-n"], input=SLURM, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("text", [KUBERAY, SLURM])
def test_the_commands_are_ours(text: str) -> None:
    [command] = re.findall(r"^[^#\n]*\b(tunegate gate [^\n]*)", text, flags=re.MULTILINE)
    words = shlex.split(command.rstrip('"') if command.count('"') % 2 else command)[1:]
    options = build_parser().parse_args([word.replace("$address", "10.0.0.1:6379") for word in words])
    assert isinstance(executor_of(options.executor), RayNodes)
