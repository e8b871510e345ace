"""`retrain: auto`: which values each method is given, what a file's own lists and arguments change, which rows ship."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.support.bank import write_jsonl
from tests.support.fake_pipeline import PIPELINE, load, write_pipeline
from tunegate.data.spec import DataSpec
from tunegate.data.training_data import load_training_data
from tunegate.exceptions import ConfigError
from tunegate.leaks.leakage import Looking, find_leaks
from tunegate.pipeline.default_ladders import EPOCHS, GENERAL_FORMATS, GENERAL_ROWS, GENERAL_TEXT, LEARNING_RATES
from tunegate.pipeline.json_schema import pipeline_json_schema
from tunegate.pipeline.pipeline import Pipeline, Stage
from tunegate.pipeline.pipeline_file import load_pipeline
from tunegate.suites.suite import Suite
from tunegate.suites.suite_file import load_suite
from tunegate_suites import build_check

SHIPPED = Path(__file__).parents[2] / "suites" / "tunegate_suites" / "data"
GENERAL = {"cases": "cases.jsonl", "checks": ["exact"], "plan": {"draw": 5, "accept": 4}, "retention": {"max_drop": 5}}


def stage(folder: Path, retrain: Any, rows: int = 1471, **changes: Any) -> Stage:
    """The first stage, with these rows and this `retrain`."""
    spec = yaml.safe_load(PIPELINE)
    spec["suites"]["general"] = GENERAL
    spec["stages"][0] |= {"retrain": retrain, **changes}
    if retrain is None:
        del spec["stages"][0]["retrain"]
    path = write_pipeline(folder / "project", json.dumps(spec), bank=60)
    write_jsonl(folder / "project" / "train.jsonl", [row(n) for n in range(rows)])
    return load(path).stages[0]


def row(n: int) -> dict[str, Any]:
    return {
        "prompt": f"train {n}?", "completion": f"{n}!", "chosen": f"{n}!", "rejected": "?", "text": f"{n} is a number",
        "explanation": f"since {n}", "label": n % 2 == 0,
    }  # fmt: skip


def ladders(of: Stage) -> dict[str, Any]:
    return {name: of.retrain.ladder(name) for name in of.filled}


@pytest.mark.parametrize("retrain", ["auto", {"auto": True}, {"max_attempts": 4}, {"auto": True, "max_attempts": 4}])
def test_what_is_not_declared_has_default_values(retrain: Any, tmp_path: Path) -> None:
    found = stage(tmp_path, retrain)
    assert ladders(found) == {
        "rows": [736, 1471],
        "epochs": [3.0, 6.0],
        "learning_rate": [2e-5, 1e-5],
        "replay": [0.0, 0.1, 0.25],
    }
    assert found.retrain.on_noise == "redraw"
    assert found.retrain.max_attempts == (4 if "max_attempts" in retrain else 3)
    assert found.replay is not None
    assert len(found.replay.examples) == 454


UNASKED: list[Any] = [
    None,
    {"max_attempts": 1},
    {"rows": [320, "all"]},
    {"auto": False, "max_attempts": 4},
    {"max_attempts": 4, "rows": [320, "all"]},
]


@pytest.mark.parametrize("retrain", UNASKED)
def test_nothing_is_added_that_was_not_asked_for(retrain: Any, tmp_path: Path) -> None:
    found = stage(tmp_path, retrain)
    assert (found.filled, found.replay, found.retrain.on_noise) == ((), None, "retrain")


def test_declared_lists_and_arguments_stay(tmp_path: Path) -> None:
    own = {"auto": True, "rows": [320, 800, 1400], "epochs": [2.0], "on_noise": "retrain"}
    found = stage(tmp_path, own, args={"learning_rate": 1e-3})
    assert ladders(found) == {"learning_rate": [1e-3, 5e-4], "replay": [0.0, 0.1, 0.25]}
    assert (found.retrain.rows, found.retrain.epochs, found.retrain.on_noise) == ([320, 800, 1400], [2.0], "retrain")


def test_general_rows_of_ones_own_are_mixed_in(tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    write_jsonl(tmp_path / "project" / "general.jsonl", [{"prompt": "what?", "completion": "that"}])
    found = stage(tmp_path, {"auto": True, "replay_data": str(tmp_path / "project" / "general.jsonl")})
    assert found.replay is not None
    assert (len(found.replay.examples), found.retrain.replay) == (1, [0.0, 0.1, 0.25])


@pytest.mark.parametrize(
    ("method", "more", "expected"),
    [
        ("cpt", {}, {"learning_rate": [2e-5, 1e-5], "replay": [0.0, 0.1, 0.25]}),
        ("explain", {}, {"learning_rate": [2e-5, 1e-5]}),
        ("dpo", {}, {"learning_rate": [1e-6, 5e-7]}),
        ("kto", {}, {"learning_rate": [1e-6, 5e-7]}),
        ("orpo", {}, {"learning_rate": [1e-6, 5e-7]}),
    ],
)
def test_each_method_has_the_values_of_its_own_config(
    method: str, more: dict[str, Any], expected: dict[str, Any], tmp_path: Path
) -> None:
    found = stage(tmp_path, "auto", method=method, **more)
    assert ladders(found) == {"rows": [736, 1471], "epochs": [3.0, 6.0], **expected}


def test_an_own_trainer_is_given_only_what_it_declares(tmp_path: Path) -> None:
    command = {"method": "command", "command": "python train.py {rows}"}
    assert ladders(stage(tmp_path / "a", "auto", **command)) == {"rows": [736, 1471], "replay": [0.0, 0.1, 0.25]}
    found = stage(tmp_path / "b", "auto", **command, args={"learning_rate": 1e-4, "num_train_epochs": 1})
    assert ladders(found)["learning_rate"] == [1e-4, 5e-5]
    assert ladders(found)["epochs"] == [1, 2]


def test_a_training_that_ends_after_some_steps_has_no_epochs(tmp_path: Path) -> None:
    assert "epochs" not in ladders(stage(tmp_path, "auto", args={"max_steps": 100}))


def test_few_rows_are_all_used_at_once(tmp_path: Path) -> None:
    assert "rows" not in ladders(stage(tmp_path, "auto", rows=199))


def test_no_general_rows_where_nothing_is_compared_with_an_earlier_model(tmp_path: Path) -> None:
    path = write_pipeline(tmp_path, PIPELINE.replace("retrain: {max_attempts: 3, rows: [2, 4, 8]}", "retrain: auto"))
    pipeline = load(path)
    assert ladders(pipeline.stages[0]) == {"epochs": [3.0, 6.0], "learning_rate": [2e-5, 1e-5]}
    assert pipeline.stages[0].replay is None


def test_no_share_that_the_general_rows_are_too_few_for(tmp_path: Path) -> None:
    """105,000 characters are a tenth of 945,000 more, not of four million; then the most that there is, once."""
    found = stage(tmp_path, "auto", rows=9000)  # 9,000 rows of about 45 characters
    assert ladders(found)["replay"] == [0.0, 0.1]
    rows = [{"prompt": f"train {n}? {'word ' * 80}", "completion": f"{n}!"} for n in range(6000)]
    spec = yaml.safe_load(PIPELINE)
    spec["suites"]["general"] = GENERAL
    spec["stages"][0]["retrain"] = "auto"
    path = write_pipeline(tmp_path / "large", json.dumps(spec), bank=60)
    write_jsonl(path.parent / "train.jsonl", rows)
    assert ladders(load(path).stages[0])["replay"] == [0.0, 0.03]


@pytest.mark.parametrize(
    ("retrain", "match"),
    [
        ("all", r"retrain: expected auto, or a mapping such as \{max_attempts: 3\}, got 'all'"),
        ({"auto": "yes"}, r"retrain\.auto: "),
    ],
)
def test_another_word_is_refused_in_one_line(retrain: Any, match: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=match):
        stage(tmp_path, retrain)


def test_editors_know_the_word() -> None:
    spec = yaml.safe_load(PIPELINE)
    spec["stages"][0]["retrain"] = "auto"
    jsonschema.validate(spec, pipeline_json_schema())
    spec["stages"][0]["retrain"] = "all"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(spec, pipeline_json_schema())


# --- the general rows that ship ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", GENERAL_FORMATS)
def test_the_general_rows_have_the_text_that_is_counted_on(method: str) -> None:
    rows = load_training_data(general(method), method, SHIPPED)
    text = sum(len(example.to_json()) for example in rows.examples)
    assert GENERAL_TEXT <= text < 1.1 * GENERAL_TEXT
    assert len({example.to_json() for example in rows.examples}) == len(rows.examples)


def general(method: str = "sft") -> DataSpec:
    return DataSpec(path=GENERAL_ROWS, **GENERAL_FORMATS[method])


def leaking(suites: list[Suite]) -> list[str]:
    rows = load_training_data(general(), "sft", SHIPPED)
    return [f"{leak.suite}/{leak.case_id}" for leak in find_leaks("sft", rows, suites, Looking())]


def test_no_general_row_is_a_case_of_a_builtin_suite() -> None:
    suites = [load_suite(path, build_check) for path in sorted(SHIPPED.glob("*.yaml"))]
    assert {suite.name for suite in suites} == {"blimp", "dolly", "mmlu", "piqa", "stereotypes"}
    assert leaking(suites) == []


@pytest.mark.slow
def test_no_general_row_is_a_case_of_any_suite_that_ships() -> None:
    pipelines: list[Pipeline] = [load_pipeline(path, build_check) for path in sorted(SHIPPED.rglob("tunegate.yaml"))]
    suites = {suite.sha256: suite for one in pipelines for suite in one.suites.values()}
    assert len(suites) > 15
    assert leaking(list(suites.values())) == []


def test_the_values_are_those_of_trl(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    trl = pytest.importorskip("trl")
    from trl.experimental.orpo import ORPOConfig

    configs = {"sft": trl.SFTConfig, "dpo": trl.DPOConfig, "kto": trl.KTOConfig, "reward": trl.RewardConfig}
    configs |= {"cpt": trl.SFTConfig, "explain": trl.SFTConfig, "orpo": ORPOConfig}
    fields = {method: config.__dataclass_fields__ for method, config in configs.items()}
    assert {method: field["learning_rate"].default for method, field in fields.items()} == LEARNING_RATES
    assert {field["num_train_epochs"].default for field in fields.values()} == {EPOCHS}
