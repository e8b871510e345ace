"""`tunegate init`: what it writes is accepted by `tunegate check`, and never overwrites a file."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from pathlib import Path

import jsonschema
import pytest

from tests.support.places import ROOT
from tests.support.readme_tree import README
from tunegate.cli import main
from tunegate.command_line import build_parser
from tunegate.commands.starter import STARTER
from tunegate.pipeline.json_schema import pipeline_json_schema, suite_json_schema
from tunegate.reading.yaml_file import load_yaml


def test_starter_project_passes_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", str(tmp_path / "project")]) == 0
    assert main(["check", str(tmp_path / "project" / "tunegate.yaml")]) == 0
    assert "suite facts: 5 cases" in capsys.readouterr().out


@pytest.mark.usefixtures("project_ledger")
def test_the_gate_that_init_names_leaves_the_run_its_cases(capsys: pytest.CaptureFixture[str]) -> None:
    """The three commands are typed one after the other: the first must not make the last INCONCLUSIVE."""
    main(["init", "."])
    assert main(["gate", "--responses", "answers.jsonl", "--suite", "suites/facts.yaml"]) == 0
    assert main(["check"]) == 0
    out = capsys.readouterr().out
    assert "5 of 5 cases were asked before, as the ledger says; a new run may ask them again" in out
    suite = Path("suites/facts.yaml")
    suite.write_text(suite.read_text().replace(", reuse: true", ""))
    assert main(["check"]) == 0
    assert "a new run would end INCONCLUSIVE before it trains: too few are left" in capsys.readouterr().out


def test_a_private_key_in_the_project_is_not_committed(tmp_path: Path) -> None:
    main(["init", str(tmp_path)])
    assert "*.key" in (tmp_path / ".gitignore").read_text().splitlines()  # `tunegate keygen` writes tunegate.key


WHERE = [".", "my expert", "deep/er", "ABSOLUTE"]
EXAMPLE = ["--example", "gene-expert"]


@pytest.mark.parametrize(
    ("where", "example"),
    [*((where, []) for where in WHERE), ("my expert", EXAMPLE)]
    + [pytest.param(where, EXAMPLE, marks=pytest.mark.slow) for where in WHERE if where != "my expert"],
)
def test_it_prints_where_the_files_are_and_commands_that_work_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], where: str, example: list[str]
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert main(["init", str(tmp_path / "elsewhere") if where == "ABSOLUTE" else where, *example]) == 0
    said = capsys.readouterr().out
    files, _, commands = said.partition("next:\n")
    first, *paths = files.splitlines()
    assert first == f"wrote {len(paths)} files:"
    assert all(Path(path.strip()).is_file() for path in paths)
    assert all(Path(path.strip()).is_absolute() == (where == "ABSOLUTE") for path in paths)
    typed = [shlex.split(line) for line in commands.splitlines()]
    assert [words[:2] for words in typed][-2:] == [["tunegate", "check"], ["tunegate", "run"]]
    for words in typed[:-1]:
        assert main(words[1:]) == 0


def test_the_workflow_gates_with_the_core_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It installs nothing from an index that has no Tunegate, nor torch; and what it runs passes as it stands."""
    main(["init", str(tmp_path)])
    monkeypatch.chdir(tmp_path)
    path = tmp_path / ".github" / "workflows" / "gate.yaml"
    workflow = load_yaml(path).data
    runs = [step["run"] for step in workflow["jobs"]["gate"]["steps"] if "run" in step]
    installs = [run for run in runs if run.startswith("pip install")]
    assert installs == ['pip install "tunegate @ $TUNEGATE"']
    assert workflow["env"]["TUNEGATE"].startswith("git+https://git.example.org/")
    [gate] = [shlex.split(run) for run in runs if run.startswith("tunegate")]
    capsys.readouterr()
    assert main([word.replace("$BASE", "") for word in gate[1:]]) == 0
    assert "PASS: 4 of 5, 4 needed" in capsys.readouterr().out
    assert (tmp_path / "tunegate-report" / "facts.html").is_file()
    [show] = [run for run in runs if run.startswith("cat ")]
    shown = {**os.environ, "GITHUB_STEP_SUMMARY": "summary.txt"}
    log = subprocess.run(["bash", "-ec", show], env=shown, capture_output=True, text=True, check=True).stdout
    assert log.startswith("::notice file=suites/facts.yaml,title=gate facts::")
    assert "colour-sky" in (tmp_path / "summary.txt").read_text()
    to_train = re.findall(r"^#     - run: (.*)", path.read_text(), re.M)
    torch = re.search(r"^torch==.*", (ROOT / "constraints.txt").read_text(), re.M)
    assert torch
    assert to_train[0].startswith(f"pip install {torch[0]} "), "before anything that would bring another torch"
    for command in to_train[2:]:
        build_parser().parse_args(command.split()[1:])


def test_the_workflow_and_the_readme_agree() -> None:
    readme = README.read_text(encoding="utf-8").partition("## In CI")[2].partition("\n## ")[0]
    workflow = (STARTER / ".github" / "workflows" / "gate.yaml").read_text(encoding="utf-8")
    commands = re.findall(r"^ *- run: (.*?)(?:  #.*)?$", readme, re.M)
    assert len(commands) >= 2
    for command in commands:
        assert command in workflow, command


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "tunegate.yaml").write_text("mine")
    assert main(["init", str(tmp_path)]) == 2
    assert "tunegate.yaml: already exists" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["tunegate.yaml"]
    assert (tmp_path / "tunegate.yaml").read_text() == "mine"


@pytest.mark.parametrize("below", ["", "/project"])
def test_a_file_in_place_of_the_folder_is_wrong_usage(
    below: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    assert main(["init", str(tmp_path / "notes.txt") + below]) == 2
    assert capsys.readouterr().err.endswith("notes.txt: a folder was expected, got a file; choose another folder\n")


def test_unknown_example_names_the_nearest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", str(tmp_path), "--example", "gene-exprt"]) == 2
    assert "did you mean 'gene-expert'" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["init"], ["init", "--example", "gene-expert"]])
def test_shipped_pipelines_fit_the_json_schema(tmp_path: Path, arguments: list[str]) -> None:
    main([*arguments, str(tmp_path)])
    schema = pipeline_json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(load_yaml(tmp_path / "tunegate.yaml").data, schema)


@pytest.mark.parametrize(
    "arguments", [[], ["--example", "gene-expert"], ["--example", "spurious-cue"], ["--recipe", "journey"]]
)
def test_every_yaml_file_names_a_schema_that_it_fits(tmp_path: Path, arguments: list[str]) -> None:
    main(["init", str(tmp_path / "project"), *arguments])
    files = sorted((tmp_path / "project").rglob("*.yaml"))
    assert files
    for path in files:
        first, _, rest = path.read_text(encoding="utf-8").partition("\n")
        named = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", first)
        assert named, path
        assert "yaml-language-server" not in rest
        if named[1].startswith("https://"):
            assert path.parent.name == "workflows"
            continue
        schema = json.loads((path.parent / named[1]).read_text(encoding="utf-8"))
        assert schema == (pipeline_json_schema() if "stages" in load_yaml(path).data else suite_json_schema())
        jsonschema.Draft202012Validator.check_schema(schema)
        jsonschema.validate(load_yaml(path).data, schema)


def test_the_shipped_suites_fit_the_json_schema() -> None:
    for path in (ROOT / "suites" / "tunegate_suites" / "data").glob("*.yaml"):
        jsonschema.validate(load_yaml(path).data, suite_json_schema())


def test_the_suite_schema_refuses_what_check_refuses(tmp_path: Path) -> None:
    main(["init", str(tmp_path)])
    data = load_yaml(tmp_path / "suites" / "facts.yaml").data
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(data | {"plan": {"draw": 5, "acept": 4}}, suite_json_schema())
    jsonschema.validate(data | {"slices": {"task=gene": 0.8}, "answer": "boxed"}, suite_json_schema())


def test_json_schema_refuses_what_check_refuses(tmp_path: Path) -> None:
    main(["init", str(tmp_path)])
    data = load_yaml(tmp_path / "tunegate.yaml").data
    data["stages"][0]["gaets"] = data["stages"][0].pop("gates")
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(data, json.loads((tmp_path / "tunegate.schema.json").read_text()))
