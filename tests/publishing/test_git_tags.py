"""Git tags in GTO's form: versions and assignments, which GTO itself reads."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.published import finished_project
from tests.support.pull_request import git
from tunegate.cli import main

Capture = pytest.CaptureFixture[str]
PROMOTE = ["promote", "run", "--registry", "registry", "--to"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_project(tmp_path_factory.mktemp("finished") / "project")


@pytest.fixture
def project(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = Path(shutil.copytree(finished, tmp_path / "project"))
    monkeypatch.chdir(folder)
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "t")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "t@example.org")
    git(folder, "init", "--quiet")
    commit(folder)
    return folder


def commit(folder: Path) -> None:
    git(folder, "add", "tunegate.yaml")
    git(folder, "commit", "--quiet", "--allow-empty", "-m", "x")


def tags(folder: Path) -> list[str]:
    return git(folder, "tag", "--list").split()


def test_a_promotion_is_a_version_and_an_assignment(project: Path, capsys: Capture) -> None:
    assert main([*PROMOTE, "git:genes@production"]) == 0
    assert "push with `git push origin genes@v0.0.1 genes#production#1`" in capsys.readouterr().out
    assert tags(project) == ["genes#production#1", "genes@v0.0.1"]
    told = git(project, "tag", "--list", "-n9", "genes@v0.0.1")
    assert (
        json.loads((next((project / "registry/models").iterdir()) / "attestation.json").read_text())["model_sha256"]
        in told
    )
    assert main([*PROMOTE, "git:genes@production"]) == 0
    assert len(tags(project)) == 2, "nothing new"
    assert main([*PROMOTE, "git:genes@staging"]) == 0
    commit(project)
    assert main([*PROMOTE, "git:genes@production"]) == 0
    assert tags(project) == [
        "genes#production#1", "genes#production#3", "genes#staging#2", "genes@v0.0.1", "genes@v0.0.2",
    ]  # fmt: skip


def test_one_commit_registers_one_model(project: Path, capsys: Capture) -> None:
    git(project, "tag", "-a", "-m", "model_sha256: 0", "genes@v1.0.0")
    assert main([*PROMOTE, "git:genes@production"]) == 2
    assert "genes@v1.0.0 registers another model at this commit; make a new commit first" in capsys.readouterr().err


def test_a_name_that_gto_refuses_is_refused(project: Path, capsys: Capture) -> None:
    assert main([*PROMOTE, "git:Genes@production"]) == 2
    assert "as GTO requires" in capsys.readouterr().err
    assert tags(project) == []


def test_without_a_repository_there_is_no_tag(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shutil.copytree(finished, tmp_path / "project"))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    assert main([*PROMOTE, "git:genes@production"]) == 3


@pytest.mark.skipif(shutil.which("gto") is None, reason="gto is not installed")
def test_gto_reads_them(project: Path) -> None:
    assert main([*PROMOTE, "git:genes@production"]) == 0
    done = subprocess.run(["gto", "show", "genes", "--json"], cwd=project, capture_output=True, text=True, check=True)
    [version] = json.loads(done.stdout)
    assert (version["version"], [one["stage"] for one in version["stages"]]) == ("v0.0.1", ["production"])
