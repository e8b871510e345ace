"""The base of an adapter that Tunegate trained: known by its fingerprint, found from anywhere, never another one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from tests.support.tiny_model import make_adapter, make_tiny_model
from tunegate.exceptions import CannotJudge, Tampered
from tunegate.models.adapter_base import place_of_base, write_base
from tunegate.models.open_model import find_model
from tunegate.promotion.entry import keep_base
from tunegate.record.record import RunRecord


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with `base`, another model `other`, and an adapter on `base` that names it by its fingerprint."""
    root = tmp_path_factory.mktemp("made") / "project"
    base = make_tiny_model(root / "base")
    make_tiny_model(root / "other", seed=7)
    make_adapter(base, root / "runs" / "sft" / "model")
    write_base(root / "runs" / "sft" / "model", find_model(str(base)).sha256)
    return root


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Path:
    """A copy, whose adapter names the base of the copy."""
    copy = Path(shutil.copytree(made, tmp_path / "project"))
    config = copy / "runs" / "sft" / "model" / "adapter_config.json"
    said = json.loads(config.read_text()) | {"base_model_name_or_path": str(copy / "base")}
    config.write_text(json.dumps(said))
    return copy


def adapter_of(project: Path) -> Path:
    return project / "runs" / "sft" / "model"


def test_it_is_found_from_any_folder(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = find_model(str(adapter_of(project)))
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(project / "other", elsewhere / "base")  # another model of the same name, where one stands
    monkeypatch.chdir(elsewhere)
    assert find_model(str(adapter_of(project))) == found
    assert found.folder == project / "base"


def test_a_relative_path_counts_from_the_adapter_and_not_from_where_one_stands(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = adapter_of(project) / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"base_model_name_or_path": "base"}))
    shutil.copytree(project / "other", tmp_path / "elsewhere" / "base")
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert find_model(str(adapter_of(project))).folder == project / "base"


def test_a_project_may_be_moved(project: Path, tmp_path: Path) -> None:
    before = find_model(str(adapter_of(project))).sha256
    project.rename(tmp_path / "moved")
    found = find_model(str(adapter_of(tmp_path / "moved")))
    assert (found.folder, found.sha256) == (tmp_path / "moved" / "base", before)


def test_another_model_in_its_place_is_told_as_such(project: Path) -> None:
    shutil.rmtree(project / "base")
    shutil.copytree(project / "other", project / "base")
    with pytest.raises(Tampered, match="the base model was replaced"):
        find_model(str(adapter_of(project)))


def test_a_base_that_is_gone_is_told_with_what_to_do(project: Path) -> None:
    shutil.rmtree(project / "base")
    with pytest.raises(CannotJudge, match=r"the base model is missing: .*; restore the base with the fingerprint"):
        find_model(str(adapter_of(project)))


def test_a_promoted_base_is_found_in_the_registry(project: Path) -> None:
    sha256 = find_model(str(project / "base")).sha256
    promoted = project / "registry" / "models" / sha256 / "model"
    shutil.copytree(project / "base", promoted)
    adapter = project / "registry" / "models" / ("0" * 64) / "model"
    shutil.copytree(adapter_of(project), adapter)
    shutil.rmtree(project / "base")
    assert place_of_base(adapter, lambda path: find_model(str(path)).sha256) == str(promoted)


def test_a_base_that_the_run_trained_is_promoted_with_its_adapter(project: Path) -> None:
    """Who clears the run folder keeps a model that answers; a base of the user's own is not copied."""
    run = SimpleNamespace(folder=project / "runs")
    sha256_of = lambda path: find_model(str(path)).sha256  # noqa: E731
    keep_base(cast("RunRecord", run), adapter_of(project), project / "registry", sha256_of)
    assert not (project / "registry").exists()
    shutil.move(project / "base", project / "runs" / "cpt")
    config = adapter_of(project) / "adapter_config.json"
    said = json.loads(config.read_text()) | {"base_model_name_or_path": str(project / "runs" / "cpt")}
    config.write_text(json.dumps(said))
    before = sha256_of(adapter_of(project))
    keep_base(cast("RunRecord", run), adapter_of(project), project / "registry", sha256_of)
    adapter = project / "registry" / "models" / before / "model"
    shutil.copytree(adapter_of(project), adapter)
    shutil.rmtree(project / "runs")
    assert sha256_of(adapter) == before
