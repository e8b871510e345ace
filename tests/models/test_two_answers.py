"""A model folder with two answers to one question: two sets of weights are refused, two templates told."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from tests.support.bank import write_jsonl
from tests.support.fake_pipeline import PIPELINE, write_pipeline
from tests.support.tiny_model import make_adapter, make_tiny_model
from tunegate.cli import main
from tunegate.exceptions import ConfigError
from tunegate.models.two_answers import INDEX, SINGLE, check_one_set, notes


def fake(folder: Path, *files: str, index: tuple[str, ...] = (), config: object = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in files:
        (folder / name).write_text("weights")
    if index:
        (folder / INDEX).write_text(json.dumps({"weight_map": {f"w{n}": name for n, name in enumerate(index)}}))
    (folder / "config.json").write_text(json.dumps(config or {}))
    return folder


def test_shards_beside_a_single_file_are_refused_naming_both(tmp_path: Path) -> None:
    folder = fake(tmp_path / "m", SINGLE, "model-1.safetensors", index=("model-1.safetensors",))
    with pytest.raises(ConfigError, match=rf"two sets of weights, {SINGLE} and {INDEX}"):
        check_one_set(folder)


def test_an_adapter_beside_a_whole_model_is_refused(tmp_path: Path) -> None:
    folder = fake(tmp_path / "m", SINGLE, "adapter_model.safetensors", "adapter_config.json")
    with pytest.raises(ConfigError, match=r"adapter_model\.safetensors and model\.safetensors"):
        check_one_set(folder)


def test_weights_that_the_configuration_names_beside_others_are_refused(tmp_path: Path) -> None:
    folder = fake(tmp_path / "m", SINGLE, "w.safetensors", config={"transformers_weights": "w.safetensors"})
    with pytest.raises(ConfigError, match=r"transformers_weights: w\.safetensors\) and model\.safetensors"):
        check_one_set(folder)


@pytest.mark.parametrize(
    ("files", "index"),
    [((SINGLE,), ()), (("a.safetensors", "b.safetensors"), ("a.safetensors", "b.safetensors")), ((SINGLE,), (SINGLE,))],
)
def test_one_set_is_no_matter(tmp_path: Path, files: tuple[str, ...], index: tuple[str, ...]) -> None:
    folder = fake(tmp_path / "m", *files, index=index)
    check_one_set(folder)
    assert notes(folder) == []


@pytest.mark.parametrize("spare", ["consolidated.safetensors", "model-00001-of-00003.safetensors"])
def test_weights_that_nothing_names_are_told(tmp_path: Path, spare: str) -> None:
    """Mistral's releases hold `consolidated.safetensors` beside the shards; an earlier save may leave its shards."""
    folder = fake(tmp_path / "m", "a.safetensors", spare, index=("a.safetensors",))
    check_one_set(folder)
    assert [spare in note for note in notes(folder)] == [True]


def test_two_chat_templates_are_told_where_they_differ(tmp_path: Path) -> None:
    folder = fake(tmp_path / "m", SINGLE)
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": "{{ messages }}"}))
    assert notes(folder) == []
    (folder / "chat_template.jinja").write_text("{{ messages }}\n")
    assert notes(folder) == []
    (folder / "chat_template.jinja").write_text("{{ messages[0].content }}")
    assert "chat_template.jinja is used and the template in tokenizer_config.json is ignored" in notes(folder)[0]


def test_check_refuses_a_base_with_two_sets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_pipeline(tmp_path, PIPELINE)
    fake(tmp_path / "base", SINGLE, "a.safetensors", index=("a.safetensors",))
    assert main(["check", str(path)]) == 2
    assert SINGLE in (said := capsys.readouterr().err)
    assert INDEX in said


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    write_jsonl(tmp_path / "cases.jsonl", [{"id": n, "prompt": f"{n}?", "reference": "x"} for n in range(3)])
    spec = {
        "cases": "cases.jsonl",
        "checks": [{"regex": "(?s)^.{0,900}$"}],
        "plan": {"draw": 2, "accept": 2},
        "generate": {"max_new_tokens": 4},
    }
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(spec))
    return tmp_path / "s.yaml"


def test_a_gate_refuses_two_sets_and_tells_two_templates(
    tmp_path: Path, suite: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = make_tiny_model(tmp_path / "model")
    config = json.loads((model / "tokenizer_config.json").read_text())
    (model / "tokenizer_config.json").write_text(json.dumps(config | {"chat_template": "{{ messages }}"}))
    assert main(["gate", str(model), "--suite", str(suite), "--run", str(tmp_path / "out")]) == 0
    assert "two different chat templates" in capsys.readouterr().err
    shutil.copy(model / SINGLE, model / "a.safetensors")
    fake(model, index=("a.safetensors",), config=json.loads((model / "config.json").read_text()))
    assert main(["gate", str(model), "--suite", str(suite), "--run", str(tmp_path / "out2")]) == 2
    assert INDEX in capsys.readouterr().err


def test_a_gate_refuses_an_adapter_in_the_folder_of_a_whole_model(
    tmp_path: Path, suite: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = make_tiny_model(tmp_path / "base")
    mixed = make_adapter(base, tmp_path / "mixed")
    shutil.copy(base / SINGLE, mixed)
    assert main(["gate", str(mixed), "--suite", str(suite), "--run", str(tmp_path / "out")]) == 2
    assert "adapter_model.safetensors" in capsys.readouterr().err
