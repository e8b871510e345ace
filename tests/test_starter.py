"""`tunegate init`: what it writes is accepted by `tunegate check`, and nothing that exists is overwritten."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from tunegate.cli import main
from tunegate.json_schema import pipeline_json_schema
from tunegate.yaml_file import load_yaml


def test_starter_project_passes_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", str(tmp_path / "project")]) == 0
    assert main(["check", str(tmp_path / "project" / "tunegate.yaml")]) == 0
    assert "suite facts: 5 cases" in capsys.readouterr().out
    workflow = load_yaml(tmp_path / "project" / ".github" / "workflows" / "gate.yaml").data
    assert any("tunegate run" in step.get("run", "") for step in workflow["jobs"]["gate"]["steps"])


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "tunegate.yaml").write_text("mine")
    assert main(["init", str(tmp_path)]) == 2
    assert "tunegate.yaml: exists already" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["tunegate.yaml"]
    assert (tmp_path / "tunegate.yaml").read_text() == "mine"


def test_unknown_example_names_the_nearest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", str(tmp_path), "--example", "gene-exprt"]) == 2
    assert "did you mean 'gene-expert'" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["init"], ["init", "--example", "gene-expert"]])
def test_shipped_pipelines_fit_the_json_schema(tmp_path: Path, arguments: list[str]) -> None:
    main([*arguments, str(tmp_path)])
    schema = pipeline_json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(load_yaml(tmp_path / "tunegate.yaml").data, schema)


def test_json_schema_refuses_what_check_refuses(tmp_path: Path) -> None:
    main(["init", str(tmp_path)])
    data = load_yaml(tmp_path / "tunegate.yaml").data
    data["stages"][0]["gaets"] = data["stages"][0].pop("gates")
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(data, json.loads((tmp_path / "tunegate.schema.json").read_text()))
