"""`tunegate report RUN --to every-eval-ever`: the files fit the schemas of that project, and are read again."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.support.elsewhere_files import HELD, Held
from tests.support.fake_pipeline import carry_out, write_pipeline
from tunegate.cli import main
from tunegate.elsewhere.read import read_results
from tunegate.elsewhere.results import Picks

SCHEMAS = {
    name: json.loads((HELD / "every_eval_ever" / f"{name}.schema.json").read_text())
    for name in ("eval", "instance_level_eval")
}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def fits(value: Any, schema: str) -> None:
    jsonschema.Draft7Validator(SCHEMAS[schema]).validate(value)


def exported(run: str, *words: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    assert main(["report", run, "--to", "every-eval-ever", *words]) == 0
    path = Path(words[0]) if words else next(Path(run).glob("*-*-*-*.json"))
    rows = [json.loads(line) for line in path.with_name(f"{path.stem}_samples.jsonl").read_text().splitlines()]
    return json.loads(path.read_text()), rows


def test_the_files_of_the_other_tool_fit_the_copied_schemas() -> None:
    """Except for `evaluation_result_id`, which its converter writes as null although its schema wants a text."""
    for path in (HELD / "every_eval_ever").glob("*_samples.jsonl"):
        for line in path.read_text().splitlines():
            row = json.loads(line)
            assert row.pop("evaluation_result_id") is None
            fits(row, "instance_level_eval")
        fits(json.loads(path.with_name(path.name.replace("_samples.jsonl", ".json")).read_text()), "eval")


def test_a_gate_fits_the_schema_and_is_read_again(capsys: pytest.CaptureFixture[str]) -> None:
    held = Held("inspect/facts.json", "Inspect", 9)
    main(["gate", "--responses", str(held.path), "--draw", "12", "--run", "record"])
    whole, rows = exported("record", "out.json")
    fits(whole, "eval")
    for row in rows:
        fits(row, "instance_level_eval")
    [result] = whole["evaluation_results"]
    assert result["score_details"]["score"] == 9 / 12
    assert result["score_details"]["details"]["verdict"] == "FAIL"
    assert result["score_details"]["details"]["invalid"] == "1"
    assert whole["model_info"]["id"] == "mockllm/model"
    assert whole["eval_library"]["additional_details"]["tool"] == "Inspect"
    assert whole["detailed_evaluation_results"]["total_rows"] == len(rows) == 12
    written = Path("out_samples.jsonl").read_bytes()
    assert whole["detailed_evaluation_results"]["checksum"] == hashlib.sha256(written).hexdigest()
    assert [row["sample_id"] for row in rows if row["error"]] == ["q10"]
    again = read_results(Path("out_samples.jsonl"), Picks())
    before = read_results(held.path, Picks())
    assert again is not None
    assert before is not None
    texts = {one.id: one.response.text for one in before.answers}
    assert {one.id: one.response.text for one in again.answers} == texts
    assert exported("record", "again.json")[1] == rows


def test_a_run_is_written_for_its_last_model(capsys: pytest.CaptureFixture[str]) -> None:
    run = carry_out(write_pipeline(Path("p")))
    whole, rows = exported(str(run.folder))
    fits(whole, "eval")
    for row in rows:
        fits(row, "instance_level_eval")
    assert {result["evaluation_result_id"] for result in whole["evaluation_results"]} >= {"align#1 facts"}
    capsys.readouterr()
    assert main(["report", str(run.folder), "--to", "every-eval-ever", "x.json", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["exported"] == ["x.json", "x_samples.jsonl"]


def test_scores_of_other_tools_are_labelled(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [json.loads(line) for line in (HELD / "questions.jsonl").read_text().splitlines()]
    Path("q.jsonl").write_text("".join(json.dumps({"prompt": row["question"]}) + "\n" for row in rows))
    Path("s.yaml").write_text("cases: q.jsonl\nchecks: [{imported: Exact Match}]\nplan: {draw: 12, accept: 10}\n")
    main(["gate", "--responses", str(HELD / "deepeval" / "test_run.json"), "--suite", "s.yaml", "--run", "record"])
    whole, _ = exported("record", "out.json")
    fits(whole, "eval")
    metric = whole["evaluation_results"][0]["metric_config"]
    assert (metric["metric_name"], metric["additional_details"]) == ("imported pass rate", {"imported": "imported"})


def test_what_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    run = str(carry_out(write_pipeline(Path("p"))).folder)
    assert main(["report", run, "--to", "mlflow"]) == 2
    assert main(["report", run, "--to", "every-eval-ever", "p/run/events.jsonl"]) == 2
