"""The command of a user's own trainer: what of it is refused before anything is trained, and what is filled in."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.bank import write_jsonl
from tests.support.fake_pipeline import PIPELINE, write_pipeline
from tests.support.option_proofs import changed
from tunegate.cli import main
from tunegate.exceptions import ConfigError
from tunegate.pipeline.own_command import as_word, fill
from tunegate.pipeline.pipeline import Pipeline
from tunegate.pipeline.pipeline_file import load_pipeline
from tunegate_suites import build_check
from tunegate_trainers import validate

OWN: dict[str, Any] = {
    "stages.0.method": "command",
    "stages.0.command": f"{sys.executable} train.py {{model}} {{rows}} {{output}}",
}
"""The first stage of the small pipeline, trained by a script beside the file."""


def write(folder: Path, changes: dict[str, Any]) -> Path:
    spec = changed(changed(yaml.safe_load(PIPELINE), OWN), changes)
    return write_pipeline(folder, yaml.safe_dump(spec, sort_keys=False))


def load(folder: Path, changes: dict[str, Any]) -> Pipeline:
    path = write(folder, changes)
    (folder / "train.py").write_text("")
    (folder / "plain.yaml").write_text("base: {model}\n")
    (folder / "mine.yaml").write_text("base: {model}\nlr: {args.learning_rate}\n")
    (folder / "wrong.yaml").write_text("format: '[INST] {instruction} {{x}}'\nbase: {modle}\n")
    (folder / "rates.yaml").write_text("rate: {args.rate}\n")
    return load_pipeline(path, build_check, validate)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"stages.0.command": None}, "stages[0].command: this key is required; write how your trainer is started"),
        ({"stages.0.command": ""}, "stages[0].command: a program and its arguments were expected, got ''"),
        ({"stages.0.command": []}, "stages[0].command: a program and its arguments were expected, got []"),
        ({"stages.0.command": "python 'train"}, 'stages[0].command: "python \'train": cannot be split into words'),
        ({"stages.0.command": "no-such-trainer {rows}"}, "command: 'no-such-trainer' is not on PATH; install it"),
        ({"stages.0.command": "./no-such.sh {rows}"}, "command: './no-such.sh': no such program; paths start from"),
        ({"stages.0.command": "python {modle}"}, "command: {modle}: no such placeholder (did you mean 'model'"),
        ({"stages.0.command": "python ${HOME}/t.py"}, "so it cannot read variables"),
        ({"stages.0.command": "python {args.lr}"}, "{args.lr}: no such placeholder: the stage's `args` have no such"),
        ({"stages.0.command": "python {config}"}, "{config}: no such placeholder: name the file in `options.config`"),
        ({"stages.0.command": "python {eval_rows}"}, "keep rows for it with `data.prepare.split.validation`"),
        ({"stages.0.command": {"run": "python"}}, "stages[0].command: "),
        (
            {"stages.0.options": {"config": "plain.yaml"}},
            "options.config: the command does not read it; write {config}",
        ),
        (
            {"stages.0.options": {"config": "wrong.yaml"}, "stages.0.command": "python {config}"},
            "options.config: {modle} in wrong.yaml: no such placeholder (did you mean 'model'",
        ),
        (
            {"stages.0.options": {"config": "rates.yaml"}, "stages.0.command": "python {config}"},
            "options.config: {args.rate} in rates.yaml: no such placeholder: the stage's `args` have no such setting",
        ),
        (
            {"stages.0.options": {"config": "none.yaml"}, "stages.0.command": "python {config}"},
            "options.config: ",
        ),
        ({"stages.0.options": {"rows": "fewshot"}}, "options.rows: "),
        ({"stages.0.options": {"rows": "kto", "form": "messages"}}, "options.form: 'messages' is for rows of sft"),
        ({"stages.0.options": {"row": "sft"}}, "options.row: not an option of command (did you mean 'rows'?)"),
        ({"stages.0.peft": {"r": 4}}, "peft: method command cannot heed it; leave it out, and say it to your trainer"),
        ({"stages.0.train": "full"}, "train: method command cannot heed it"),
        ({"stages.0.launcher": {"num_processes": 2}}, "launcher: method command cannot heed it"),
        ({"stages.0.curriculum": {"by": "tokens"}}, "curriculum: method command cannot heed it"),
        ({"stages.0.watch": {"gate": "facts", "every_steps": 1, "draw": 3}}, "give your trainer a tunegate.Trainer"),
        ({"stages.0.save": "adapter"}, "save: method command keeps what its trainer leaves"),
        ({"stages.1.command": "python x"}, "stages[1].command: method dpo trains by itself; leave it out"),
        ({"stages.0.method": "comand"}, "got 'comand' (did you mean 'command'?)"),
        ({"stages.0.data": {"path": "train.jsonl", "chosen": "{completion}"}}, "chosen: method sft does not use it"),
    ],
)
def test_what_cannot_be_run_is_one_line(tmp_path: Path, changes: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load(tmp_path / "project", changes)
    told = str(refused.value)
    assert line in told
    assert told.startswith(f"{tmp_path / 'project' / 'tunegate.yaml'}:")
    assert "\n" not in told


def test_the_check_command_refuses_it_with_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError):
        load(tmp_path / "project", {"stages.0.command": "no-such-trainer"})
    assert main(["check", str(tmp_path / "project" / "tunegate.yaml")]) == 2
    told = capsys.readouterr().err
    assert "tunegate.yaml:31: stages[0].command: 'no-such-trainer' is not on PATH" in told
    assert told.count("\n") == 1


def test_a_program_beside_the_file_is_found(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "own.sh").write_text("#!/bin/sh\n")
    (folder / "own.sh").chmod(0o755)
    path = write(folder, {"stages.0.command": "./own.sh {rows}"})
    assert load_pipeline(path, build_check, validate).stages[0].spec.command == "./own.sh {rows}"


def test_any_settings_are_the_trainers_own(tmp_path: Path) -> None:
    args = {"load_best_model_at_end": True, "optimizer": {"name": "lion"}, "learning_rate": -1}
    assert load(tmp_path / "project", {"stages.0.args": args}).stages[0].spec.args == args


def test_settings_of_ladders_can_be_named(tmp_path: Path) -> None:
    changes = {
        "stages.0.command": "python train.py {args.learning_rate} {args.num_train_epochs}",
        "stages.0.retrain.learning_rate": [1e-3, 1e-4],
        "stages.0.retrain.epochs": [1.0, 2.0],
    }
    load(tmp_path / "project", changes)


@pytest.mark.parametrize(
    ("rows", "first"),
    [
        ("sft", '{"prompt": "train 0?", "completion": "0!"}'),
        ("dpo", '{"prompt": "train 0?", "chosen": "0!", "rejected": "?"}'),
        ("cpt", '{"text": "a document"}'),
        ("rlhf", '{"prompt": "train 0?", "completion": "0!"}'),
        ("kto", '{"prompt": "train 0?", "completion": "0!", "label": true}'),
    ],
)
def test_rows_are_those_of_the_method_that_is_named(tmp_path: Path, rows: str, first: str) -> None:
    folder = tmp_path / "project"
    path = write(folder, {"stages.0.options": {"rows": rows}})
    row = {"chosen": "0!", "rejected": "?", "text": "a document", "label": True}
    pair = [{"prompt": f"train {n}?", "completion": f"{n}!", **row, "label": n == 0} for n in range(8)]
    write_jsonl(folder / "train.jsonl", pair)
    data = load_pipeline(path, build_check, validate).stages[0].data
    assert data.examples[0].to_json() == first


@pytest.mark.parametrize("file", ["train.py", "mine.yaml"])
def test_the_hash_of_the_pipeline_covers_the_files_of_the_command(tmp_path: Path, file: str) -> None:
    folder = tmp_path / "project"
    named = {
        "stages.0.options": {"config": "mine.yaml"},
        "stages.0.command": "python train.py {config}",
        "stages.0.args": {"learning_rate": 1e-3},
    }
    before = load(folder, named)
    (folder / file).write_text("# changed\n")
    assert load_pipeline(before.path, build_check, validate).sha256 != before.sha256


def test_a_leak_among_the_rows_to_validate_by_is_found_and_dropped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "project"
    split = {"path": "train.jsonl", "prepare": {"split": {"train": 0.5, "validation": 0.5, "test": 0.0}}}
    path = write(folder, {"stages.0.data": split, "stages.0.retrain": {}})
    rows = [{"prompt": f"train {n}?", "completion": f"{n}!"} for n in range(8)]
    held = load_pipeline(path, build_check, validate).stages[0].data.held_out["validation"]
    rows[held[0].number - 1] = {"prompt": "case 3?", "completion": "3!"}
    write_jsonl(folder / "train.jsonl", rows)
    assert main(["check", str(path), "--json"]) == 3
    assert '"leaks"' in capsys.readouterr().out


# --- placeholders ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("{model}/x", "/a b/x"),
        ("--lr={args.lr}", "--lr=1.0e-05"),
        ('{"r": 8, "of": "{seed}"}', '{"r": 8, "of": "7"}'),
        ("{{model}} {% if model %} { model }", "{{model}} {% if model %} { model }"),
        ("{args.flag} {args.list} {args.none}", 'true [1, "a"] null'),
    ],
)
def test_only_placeholders_are_filled(text: str, filled: str) -> None:
    values = {"model": "/a b", "seed": 7, "args.lr": 1e-5, "args.flag": True, "args.list": [1, "a"], "args.none": None}
    assert fill(text, values) == filled


@pytest.mark.parametrize("number", [1e-5, 2.5e-7, 1e22, -3e-9, 0.001, 3.0, 17])
def test_a_number_reads_back_as_itself_from_yaml_too(number: float) -> None:
    """YAML 1.1, which most trainers read, takes `1e-05` for a text."""
    assert yaml.safe_load(as_word(number)) == float(as_word(number)) == number
