"""The files that CI servers read fit the public schemas, take actions by commit, and ask for few permissions."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.ci_files import ACTION, COMPONENT, HOOKS, WORKFLOWS, read, with_tunegate
from tests.support.places import ROOT
from tests.support.pull_request import git, make_pull_request
from tunegate.command_line import build_parser
from tunegate.commands.starter import STARTER

STARTED = sorted((STARTER / ".github" / "workflows").glob("*.yaml"))
EXAMPLES = sorted((ROOT / "docs" / "deploy").glob("*.yml"))
OF_GITHUB = [*sorted(WORKFLOWS.glob("*.y*ml")), *STARTED, *EXAMPLES]


def check(schema: str, *files: Path) -> None:
    pytest.importorskip("check_jsonschema", reason="check-jsonschema is not installed")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_action_fits_the_schema_of_actions() -> None:
    check("vendor.github-actions", ACTION)


def test_the_workflows_fit_the_schema_of_workflows() -> None:
    assert OF_GITHUB
    check("vendor.github-workflows", *OF_GITHUB)


def test_the_component_fits_the_schema_of_gitlab(tmp_path: Path) -> None:
    """Its two documents, as GitLab reads them: the inputs, and the jobs with the inputs put in."""
    head, body = read(COMPONENT)
    (tmp_path / "head.yml").write_text(json.dumps(head))
    (tmp_path / "body.yml").write_text(json.dumps(body))
    check("vendor.gitlab-ci", tmp_path / "head.yml", tmp_path / "body.yml")


def test_the_hooks_are_a_manifest() -> None:
    pytest.importorskip("pre_commit", reason="pre-commit is not installed")
    done = subprocess.run(
        [sys.executable, "-m", "pre_commit", "validate-manifest", str(HOOKS)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def steps_of(path: Path) -> Iterator[dict[str, Any]]:
    [file] = read(path)
    parts = file["jobs"].values() if "jobs" in file else [file["runs"]]
    for part in parts:
        yield from part["steps"]


@pytest.mark.parametrize("path", [ACTION, *OF_GITHUB], ids=lambda path: path.name)
def test_actions_are_taken_by_commit(path: Path) -> None:
    """With the version as a comment."""
    uses = re.findall(r"uses: (\S+)(.*)", path.read_text(encoding="utf-8"))
    assert uses
    for action, rest in uses:
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action) or action in ("you/tunegate@COMMIT", "./"), action
        assert re.fullmatch(r"  # v\d+\.\d+\.\d+", rest) or "tunegate" in action or action == "./", action


@pytest.mark.parametrize("path", [ACTION, *OF_GITHUB], ids=lambda path: path.name)
def test_no_script_has_an_expression_put_in(path: Path) -> None:
    """What others wrote reaches a script through the environment, never as part of it."""
    for step in steps_of(path):
        assert "${{" not in step.get("run", "")


@pytest.mark.parametrize("path", OF_GITHUB, ids=lambda path: path.name)
def test_workflows_ask_for_few_permissions(path: Path) -> None:
    """Reading alone for the whole file; a job that needs more says so itself."""
    [file] = read(path)
    assert file["permissions"] in ({}, {"contents": "read"})
    for job in file["jobs"].values():
        more = {name: value for name, value in job.get("permissions", {}).items() if value == "write"}
        assert more.keys() <= {"pull-requests", "id-token", "attestations"}


def test_the_action_takes_six_lines() -> None:
    page = (ROOT / "docs" / "howto" / "ci.md").read_text(encoding="utf-8")
    [block] = [text for text in re.findall(r"```yaml\n(.*?)```", page, re.S) if "uses: you/tunegate@COMMIT" in text][:1]
    assert len(block.strip().splitlines()) == 6


# --- GitLab --------------------------------------------------------------------------------------------------------


def test_the_script_of_the_component_runs(tmp_path: Path) -> None:
    """In a merge request it takes the suite from the target branch; otherwise from the commit itself."""
    pull = make_pull_request(tmp_path)
    tunegate = with_tunegate(tmp_path / "temp") / "tunegate"
    _, body = read(COMPONENT)
    job = body["tunegate-gate"]
    gate = job["script"][-1].replace("/tmp/tunegate/bin/tunegate", str(tunegate))
    given = {"SUITE": "suites/facts.yaml", "RESPONSES": "answers.jsonl", "OPTIONS": "--seed-is-no-option"}
    assert subprocess.run(["sh", "-c", gate], cwd=pull.folder, env=given | path(), check=False).returncode == 2
    given["OPTIONS"] = "--ledger=none --out=tunegate-report"
    assert {"SUITE", "RESPONSES", "OPTIONS"} <= job["variables"].keys()
    assert subprocess.run(["sh", "-c", gate], cwd=pull.folder, env=given | path(), check=False).returncode == 0
    target = {"CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main"}
    git(pull.folder, "clean", "--quiet", "-fdx")
    assert subprocess.run(["sh", "-c", gate], cwd=pull.folder, env=given | path() | target, check=False).returncode == 1
    reports = job["artifacts"]["reports"]
    assert [found.name for found in pull.folder.glob(reports["junit"])] == ["facts.xml"]
    assert "tunegate_passed" in (pull.folder / reports["metrics"]).read_text()


def path() -> dict[str, str]:
    import os

    return {"PATH": os.environ["PATH"], "TUNEGATE_LEDGER": "none"}


# --- pre-commit ----------------------------------------------------------------------------------------------------


def test_the_hooks_are_commands() -> None:
    [hooks] = read(HOOKS)
    assert [hook["id"] for hook in hooks] == ["tunegate-check", "tunegate-leakage"]  # type: ignore[index]
    for hook, more in zip(hooks, ([], ["train.jsonl", "--suite", "facts.yaml"]), strict=True):
        build_parser().parse_args([*shlex.split(hook["entry"])[1:], *more])  # type: ignore[index]


@pytest.mark.slow
def test_pre_commit_runs_the_hooks(tmp_path: Path) -> None:
    """In an environment of its own that pre-commit makes from a clone of this repository."""
    pytest.importorskip("pre_commit", reason="pre-commit is not installed")
    import os

    for name in ("project", "hooks"):
        (tmp_path / name).mkdir()
    git(tmp_path, "clone", "--quiet", str(ROOT), "hooks")
    for file in (".pre-commit-hooks.yaml", "pyproject.toml"):
        (tmp_path / "hooks" / file).write_bytes((ROOT / file).read_bytes())
    git(tmp_path / "hooks", "add", "--all")
    git(tmp_path / "hooks", "commit", "--quiet", "--allow-empty", "-m", "x")
    commit = git(tmp_path / "hooks", "rev-parse", "HEAD")
    project = tmp_path / "project"
    git(project, "init", "--quiet")
    (project / "suite.yaml").write_text("cases: cases.jsonl\nchecks: [exact]\nplan: {draw: 1, accept: 1}\n")
    (project / "cases.jsonl").write_text('{"id": "a", "prompt": "What is 1 + 1?", "reference": "the number 2"}\n')
    (project / "train.jsonl").write_text('{"prompt": "What is 1 + 1?", "completion": "the number 2"}\n')
    hooks = [
        {"id": "tunegate-check", "args": ["suite.yaml"]},
        {"id": "tunegate-leakage", "args": ["train.jsonl", "--suite", "suite.yaml"]},
    ]
    config = {"repos": [{"repo": str(tmp_path / "hooks"), "rev": commit, "hooks": hooks}]}
    (project / ".pre-commit-config.yaml").write_text(json.dumps(config))
    git(project, "add", "--all")
    done = subprocess.run(
        [sys.executable, "-m", "pre_commit", "run", "--all-files"],
        cwd=project,
        env={**os.environ, "PRE_COMMIT_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert re.search(r"check the Tunegate pipeline\.+Passed", done.stdout), done.stdout + done.stderr
    assert re.search(r"find leaked tests in the training data\.+Failed", done.stdout), done.stdout
