"""The pipeline file: all of it, with all it names, is validated before anything is trained."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.bank import write_jsonl
from tests.support.fake_pipeline import PIPELINE, write_pipeline
from tunegate.cli import main
from tunegate.exceptions import ConfigError, SettingError
from tunegate.pipeline.pipeline_file import load_pipeline
from tunegate.pipeline.stage_spec import StageSpec
from tunegate.reading.files import model_place
from tunegate.suites.places import suite_place
from tunegate_suites import build_check


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_pipeline(tmp_path / "project", bank=20)


def test_a_pipeline_is_loaded_whole(path: Path) -> None:
    pipeline = load_pipeline(path, build_check)
    assert [stage.name for stage in pipeline.stages] == ["sft", "align"]
    assert list(pipeline.gates(pipeline.stages[0])) == ["facts", "style"]
    assert [len(stage.data.examples) for stage in pipeline.stages] == [8, 8]
    assert (pipeline.promote_to, pipeline.registry) == ("production", path.parent / "registry")
    assert pipeline.model == str(path.parent / "base")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("model: base", "modle: base", "tunegate.yaml:2: modle: unknown key (did you mean 'model'"),
        ("gates: [facts, style]", "gates: [facts, stile]", "stages[0].gates[1]: no suite is named 'stile'"),
        ("gates: [facts, style]", "gates: []", "stages[0].gates: "),
        ("method: sft", "method: stf", "stages[0].method: "),
        ("method: sft", "method: stf", "got 'stf' (did you mean 'sft'?)"),
        ("gates: [facts, style]", "gates: []", "stages[0].gates: at least 1 expected, got none"),
        ("gates: [facts, style]", "gates: facts", "stages[0].gates: a list was expected, got 'facts'"),
        ("data: train.jsonl", "data: 16", "stages[0].data: a mapping was expected, got 16"),
        ("method: sft", "method: sft\n    args: 16", "tunegate.yaml:9: stages[0].args: a mapping was expected, got 16"),
        ("name: align", "name: sft", "two stages have the name 'sft'"),
        ("name: align", "name: ../align", "stages[1].name: "),
        ("rows: [2, 4, 8]", "rows: [2, 4, 9]", "retrain.rows: expected at most 8 (rows of train.jsonl), got 9"),
        ("rows: [2, 4, 8]", "rows: [4, 2]", "rows: expected rising values"),
        ("rows: [2, 4, 8]", "rows: [all, 8]", "stages[0].retrain: rows: expected rising values"),
        ("rows: [2, 4, 8]", "rows: [2, most]", "stages[0].retrain.rows"),
        ("rows: [2, 4, 8]", "rows: []", "stages[0].retrain.rows: "),
        ("rows: [2, 4, 8]", "epochs: [1, 1]", "epochs: expected rising values"),
        ("rows: [2, 4, 8]", "learning_rate: [1e-3, 1e-3]", "learning_rate: expected different values"),
        ("rows: [2, 4, 8]", "learning_rate: [.nan]", "learning_rate"),
        ("rows: [2, 4, 8]", "learning_rate: [.inf]", "learning_rate"),
        ("max_attempts: 3", "max_attempts: 0", "stages[0].retrain.max_attempts: "),
        ("data: train.jsonl", "data: trian.jsonl", "trian.jsonl: no such file (did you mean 'train.jsonl'"),
        ("data: train.jsonl", "data: trian.jsonl", "tunegate.yaml:9: stages[0].data.path: "),
        ("data: train.jsonl", "data: {path: trian.jsonl}", "tunegate.yaml:9: stages[0].data.path: "),
        ("data: train.jsonl", "data: package:nothing_here/x.jsonl", "tunegate.yaml:9: stages[0].data.path: "),
        ("data: train.jsonl", "data: .", "tunegate.yaml:9: stages[0].data.path: "),
        ("{cases: cases.jsonl, ", "{cases: nowhere.jsonl, ", "tunegate.yaml:4: suites.facts.cases.path: "),
        ("max_attempts: 3", "max_attempts: 3, replay: [0.5], replay_data: n.jsonl", "retrain.replay_data.path: "),
        ("stages:", "waivers: no.yaml\nstages:", "tunegate.yaml:6: waivers: "),
        ("  facts:", "  other: no.yaml\n  facts:", "tunegate.yaml:4: suites.other: "),
        ("  facts:", "  other: builtin:facts\n  facts:", "suites.other: builtin:facts: Tunegate ships no suite"),
        ("data: pairs.jsonl", "data: train.jsonl", "train.jsonl:1: the row has no field 'chosen'"),
        ("plan: {draw: 5, accept: 4}", "plan: {draw: 21, accept: 4}", "suites.facts.cases: the bank has 20 cases"),
        ("checks: [exact]", "checks: [exakt]", "tunegate.yaml:4: suites.facts.checks[0]: check 'exakt': unknown"),
        ("cases: cases.jsonl", "cases: nowhere.jsonl", "nowhere.jsonl: no such file"),
        ("registry: registry", "regstry: registry", "promote.regstry: unknown key (did you mean 'registry'"),
        ("to: production", "to: ../up", "promote.to: "),
        ("stages:", "steps:", "tunegate.yaml:6: steps: unknown key"),
    ],
)  # fmt: skip
def test_faults_are_found_before_anything_is_trained(path: Path, old: str, new: str, message: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(ConfigError) as raised:
        load_pipeline(path, build_check)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_setting_stands_in_args_or_on_a_ladder_not_in_both(path: Path) -> None:
    for ladder, name in (("epochs: [1, 2]", "num_train_epochs"), ("learning_rate: [1e-3]", "learning_rate")):
        changed = PIPELINE.replace("rows: [2, 4, 8]}", ladder + "}\n" + f"    args: {{{name}: 1}}", 1)
        path.write_text(changed)
        with pytest.raises(ConfigError, match=rf"stages\[0\]\.args\.{name}: also set by `retrain"):
            load_pipeline(path, build_check)


def test_arguments_are_validated_by_the_trainers_and_point_at_the_stage(path: Path) -> None:
    seen: list[str] = []

    def validate(stage: StageSpec) -> None:
        seen.append(stage.method)
        if stage.method == "dpo":
            raise SettingError("args.bta", "unknown")

    with pytest.raises(ConfigError, match=r"tunegate\.yaml:12: stages\[1\]\.args\.bta: unknown"):
        load_pipeline(path, build_check, validate)
    assert seen == ["sft", "dpo"]


@pytest.mark.parametrize(
    ("fault", "line"),
    [
        (SettingError("args.bta", "unknown"), "16: stages[1].args.bta: unknown"),
        (SettingError("peft.r", "too large"), "18: stages[1].peft.r: too large"),
        (SettingError("peft.type", "missing"), "17: stages[1].peft.type: missing"),
        (SettingError("args.betas.1", "not a number"), "15: stages[1].args.betas[1]: not a number"),
        (ConfigError("args.bta: is a sentence"), "12: stages[1]: args.bta: is a sentence"),
        (ConfigError("no key: at all"), "12: stages[1]: no key: at all"),
    ],
)
def test_what_the_trainers_refuse_is_pointed_at_by_the_line_of_its_key(
    path: Path, fault: ConfigError, line: str
) -> None:
    def validate(stage: StageSpec) -> None:
        if stage.method == "dpo":
            raise fault

    settings = "    args:\n      betas: [1, x]\n      bta: 1\n    peft:\n      r: 9\n"
    path.write_text(PIPELINE.replace("    data: pairs.jsonl\n", settings + "    data: pairs.jsonl\n"))
    with pytest.raises(ConfigError, match=rf"tunegate\.yaml:{re.escape(line)}$"):
        load_pipeline(path, build_check, validate)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prompt": "?", "completion": " "}, "the completion is empty"),
        ({"prompt": "?", "completion": None}, "null"),
        ({"prompt": "?"}, "no field 'completion'"),
        ({"completion": "x"}, "no field 'prompt'"),
    ],
)
def test_training_rows_that_do_not_fit_are_named(path: Path, row: object, message: str) -> None:
    write_jsonl(path.parent / "train.jsonl", [{"prompt": "?", "completion": "x"}, row])
    with pytest.raises(ConfigError, match=r"train\.jsonl:2: ") as raised:
        load_pipeline(path, build_check)
    assert message in str(raised.value)


def test_a_pair_without_a_difference_is_refused(path: Path) -> None:
    write_jsonl(path.parent / "pairs.jsonl", [{"prompt": "?", "chosen": "x", "rejected": "x"}])
    with pytest.raises(ConfigError, match="they must differ"):
        load_pipeline(path, build_check)


def test_the_hash_covers_file_suites_and_data_and_not_the_place(path: Path, tmp_path: Path) -> None:
    other = write_pipeline(tmp_path / "elsewhere", bank=20)
    base = load_pipeline(path, build_check).sha256
    assert load_pipeline(other, build_check).sha256 == base
    for name in ("cases.jsonl", "train.jsonl", "pairs.jsonl"):
        before = (path.parent / name).read_text()
        (path.parent / name).write_text(before.replace("5!", "five!"))
        assert load_pipeline(path, build_check).sha256 != base
        (path.parent / name).write_text(before)
    path.write_text(path.read_text().replace("name: small", "name: small\nseed: 2"))
    assert load_pipeline(path, build_check).sha256 != base


def test_a_larger_budget_trains_on_the_same_rows_and_more(path: Path) -> None:
    data = load_pipeline(path, build_check).stages[0].data
    two, four = data.take(2, seed=5), data.take(4, seed=5)
    assert four[:2] == two
    assert len(data.take(None, seed=5)) == 8
    assert data.take(4, seed=6) != four


def test_places(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    assert model_place("base", tmp_path) == str(tmp_path / "base")
    assert model_place("./gone", tmp_path) == str(tmp_path / "gone")
    for other in ("org/name", "package:llm/file.gguf", "http://127.0.0.1:1/v1#m"):
        assert model_place(other, tmp_path) == other
    assert suite_place("a/b.yaml", tmp_path) == tmp_path / "a" / "b.yaml"
    assert suite_place("builtin:blimp", tmp_path).name == "blimp.yaml"


def test_check_says_which_gates_the_promoted_weights_do_not_take(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_pipeline(tmp_path / "p", bank=60)  # its last stage lists facts, not style
    assert main(["check", str(path)]) == 0
    assert "note: the last stage does not list style" in capsys.readouterr().out
    path.write_text(path.read_text().replace("gates: [facts]", "gates: [facts, style]"))
    assert main(["check", str(path)]) == 0
    assert "note: the last stage" not in capsys.readouterr().out
