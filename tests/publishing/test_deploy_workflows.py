"""The example workflows: their steps run here; one job has the credential, and deploy refuses what changed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.ci_files import read, with_tunegate
from tests.support.places import ROOT
from tests.support.published import QUIET, finished_project

pytest.importorskip("mlflow", reason="the extra 'mlflow' is not installed")

[PROMOTE] = read(ROOT / "docs" / "deploy" / "promote.yml")
[DEPLOY] = read(ROOT / "docs" / "deploy" / "deploy.yml")


def command(workflow: dict[str, Any], job: str, word: str) -> str:
    [found] = [
        step["run"] for step in workflow["jobs"][job]["steps"] if step.get("run", "").startswith(f"tunegate {word}")
    ]
    return found


def test_only_the_job_that_needs_promote_has_the_credential() -> None:
    with_secrets = [name for name, job in PROMOTE["jobs"].items() if "secrets." in str(job)]
    assert with_secrets == ["alias"]
    assert PROMOTE["jobs"]["alias"]["needs"] == "run"
    assert command(PROMOTE, "run", "promote") == "tunegate promote run --registry registry", (
        "it ends with 0, or `alias` is not run"
    )
    assert PROMOTE["jobs"]["alias"]["environment"] == "production"
    moves = [step for step in PROMOTE["jobs"]["alias"]["steps"] if "secrets." in str(step)]
    assert len(moves) == 1, "one step alone has it"


def test_the_job_that_moves_the_alias_has_the_pipeline_and_its_suites() -> None:
    """`promote` reads them again; a checkout after the download would remove the run."""
    uses = [step.get("uses", "").partition("@")[0] for step in PROMOTE["jobs"]["alias"]["steps"]]
    assert uses.index("actions/checkout") < uses.index("actions/download-artifact")


def test_the_ledger_goes_along_with_the_run() -> None:
    """`promote` compares them; a checkout has the ledger from before the run."""
    [upload] = [step for step in PROMOTE["jobs"]["run"]["steps"] if "upload-artifact" in step.get("uses", "")]
    assert upload["with"]["path"].split() == ["run", "tunegate-ledger"]


def test_deploy_verifies_by_a_policy_of_its_own_repository() -> None:
    steps = DEPLOY["jobs"]["verify"]["steps"]
    assert command(DEPLOY, "verify", "verify").endswith(" --policy policy.yaml")
    assert "actions/checkout" in steps[0]["uses"], "it is in the repository"
    assert any("tunegate[mlflow,sign]" in step.get("run", "") for step in steps), "it may name keys"


def test_deploy_takes_the_verified_bytes_and_nothing_else() -> None:
    assert DEPLOY["jobs"]["deploy"]["needs"] == "verify"
    assert "secrets." not in str(DEPLOY["jobs"]["deploy"])
    assert "models:/" not in str(DEPLOY["jobs"]["deploy"])


@pytest.mark.slow
def test_both_halves_run(tmp_path: Path) -> None:
    """As written, on a run that passed; then a byte of the published model changes, and `verify` refuses it."""
    project = finished_project(tmp_path / "project")
    shutil.rmtree(project / "registry")
    bin_folder = with_tunegate(tmp_path)
    path = f"{bin_folder}:{os.environ['PATH']}"
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    env = {**os.environ, **QUIET, "PATH": path, "NAME": "my-expert", "MLFLOW_TRACKING_URI": uri}

    def bash(line: str) -> int:
        return subprocess.run(["bash", "-ec", line], cwd=project, env=env, check=False).returncode

    assert bash(command(PROMOTE, "run", "promote")) == 0
    assert bash(command(PROMOTE, "alias", "promote")) == 0
    assert bash(command(DEPLOY, "verify", "verify")) == 2, "no policy was written"
    for policy, code in (("draw: 6", 1), ("aliases: {production: {pipeline: other}}", 1), ("keys: [gone.pub]", 2)):
        (project / "policy.yaml").write_text(policy)
        assert bash(command(DEPLOY, "verify", "verify")) == code, policy
    assert not (project / "verified").exists()
    (project / "policy.yaml").write_text("draw: 5\naliases: {production: {pipeline: small}}\n")
    assert bash(command(DEPLOY, "verify", "verify")) == 0
    assert (project / "verified" / "model" / "weights.txt").is_file()
    shutil.rmtree(project / "verified")
    [weights] = (project / "mlruns").rglob("weights.txt")
    weights.write_text("1.0")
    assert bash(command(DEPLOY, "verify", "verify")) == 5
    assert not (project / "verified").exists()
