"""`tunegate init`: a starter project that `tunegate check` accepts, or a copy of a shipped example."""

from __future__ import annotations

import json
import os
import shutil
from argparse import Namespace
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

from tunegate.commands import console
from tunegate.exceptions import CannotJudge, ConfigError, nearest
from tunegate.pipeline.json_schema import pipeline_json_schema, suite_json_schema
from tunegate.reading.files import resolve
from tunegate.reading.yaml_file import load_yaml

STARTER = Path(__file__).parent / "starter_files"
SHIPPED = "package:tunegate_suites/data"
SCHEMAS = {"tunegate.schema.json": pipeline_json_schema, "suite.schema.json": suite_json_schema}
WORKFLOW_SCHEMA = "https://json.schemastore.org/github-workflow.json"


def write_starter(folder: Path) -> list[Path]:
    """Write the starter project; returns the files written."""
    return _copy(STARTER, folder)


def write_example(name: str, folder: Path) -> list[Path]:
    """Copy a shipped example; returns the files written."""
    return _copy_named(examples(), "example", name, folder)


def write_recipe(name: str, folder: Path) -> list[Path]:
    """Copy a recipe, a commented pipeline file; returns the files written."""
    return _copy_named(recipes(), "recipe", name, folder)


def examples() -> dict[str, Path]:
    """The shipped examples, by name."""
    return {"gene-expert": resolve(SHIPPED, Path()) / "gene_expert", **_pipelines("examples")}


def recipes() -> dict[str, Path]:
    """The recipes, by name."""
    return _pipelines("recipes")


def _pipelines(folder: str) -> dict[str, Path]:
    """Most are a single pipeline file, whose data are in the package."""
    files = sorted(resolve(SHIPPED, Path()).glob(f"{folder}/*/tunegate.yaml"))
    return {path.parent.name: path.parent for path in files}


def _copy_named(known: Mapping[str, Path], kind: str, name: str, folder: Path) -> list[Path]:
    if name not in known:
        near = nearest(name, known) if get_close_matches(name, known) else ""
        raise ConfigError(f"--{kind} {name}: no such {kind}{near}; known: {', '.join(sorted(known))}")
    return _copy(known[name], folder)


def next_commands(written: Sequence[Path]) -> list[list[str]]:
    """The commands to type next, from the user's folder: gate the answers that came with it, check, run."""
    places = {path.name: str(path) for path in written}
    gate = ["tunegate", "gate", "--responses", places.get("answers.jsonl", ""), "--suite", places.get("facts.yaml", "")]
    pipeline = places["tunegate.yaml"]
    return [*([gate] if "" not in gate else []), ["tunegate", "check", pipeline], ["tunegate", "run", pipeline]]


def from_here(path: Path) -> Path:
    """The path as a user would type it: relative where it leads down from the working folder."""
    path, here = Path(os.path.abspath(path)), Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _copy(source: Path, folder: Path) -> list[Path]:
    files = [path for path in sorted(source.rglob("*")) if path.is_file() and path.suffix not in {".py", ".pyc"}]
    targets = {path: folder / path.relative_to(source) for path in files}
    if taken := [place for place in (folder, *folder.parents) if place.is_file()]:
        raise ConfigError(f"{taken[0]}: a folder was expected, got a file; choose another folder")
    schemas = {folder / name: make for name, make in SCHEMAS.items()}
    for target in (*targets.values(), *schemas):
        if target.exists():
            raise ConfigError(f"{target}: already exists and is not overwritten; choose an empty folder")
    try:
        for path, target in targets.items():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
            if target.suffix == ".yaml":
                text = target.read_text(encoding="utf-8")
                target.write_text(_schema_line(target, folder) + text, encoding="utf-8")
        for target, make in schemas.items():
            target.write_text(json.dumps(make(), indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise CannotJudge(f"{folder}: cannot be written: {error.strerror}") from error
    return [*targets.values(), *schemas]


def _schema_line(file: Path, folder: Path) -> str:
    """The comment that tells an editor the schema of a YAML file."""
    keys = load_yaml(file).data
    schema = "tunegate.schema.json" if "stages" in keys else "suite.schema.json"
    where = WORKFLOW_SCHEMA if "jobs" in keys else "../" * (len(file.relative_to(folder).parts) - 1) + schema
    return f"# yaml-language-server: $schema={where}\n"


def init(options: Namespace) -> int:
    """Write a starter project, or copy a shipped example or recipe; never overwrites a file."""
    folder = from_here(Path(options.folder))
    if options.example and options.recipe:
        raise ConfigError("--example and --recipe: give only one of them")
    if options.recipe:
        written = write_recipe(options.recipe, folder)
    else:
        written = write_example(options.example, folder) if options.example else write_starter(folder)
    if options.json:
        console.show_json({"written": [str(path) for path in written]})
    else:
        console.print_written(written, next_commands(written))
    return 0
