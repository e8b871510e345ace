"""imported: the score of another tool, never promoted on unless the pipeline says so."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from tests.support.bank import write_jsonl
from tests.support.check_helpers import FAIL, INVALID, PASS, ask
from tests.support.elsewhere_files import HELD, Held
from tests.support.fake_pipeline import PIPELINE, carry_out, open_model, tools, write_pipeline
from tunegate.cases.case import Case
from tunegate.checks.outcome import Verdict
from tunegate.cli import main
from tunegate.exceptions import ConfigError
from tunegate.models.fingerprint import fingerprint
from tunegate.models.model import ImportedScore, Response, ScriptedModel
from tunegate.pipeline.pipeline_file import load_pipeline
from tunegate.promotion.evidence import check_promotable
from tunegate.record.answer_log import answers_from_json, answers_to_json
from tunegate.record.recheck import NotPromotable
from tunegate_suites import build_check


def scored(*scores: ImportedScore) -> Response:
    return Response("x", imported=scores)


@pytest.mark.parametrize(
    ("entry", "score", "verdict", "words"),
    [
        ("acc", ImportedScore("acc", 1.0, True), PASS, "imported: acc is 1"),
        ("acc", ImportedScore("acc", 0.0, False), FAIL, "imported: acc is 0"),
        ("f1", ImportedScore("f1", 0.6), INVALID, "imported: f1 is 0.6, and the tool does not say whether that passes"),
        ({"score": "f1", "min": 0.5}, ImportedScore("f1", 0.6), PASS, "imported: f1 0.6 is >= 0.5"),
        ({"score": "f1", "max": 0.5}, ImportedScore("f1", 0.6, True), FAIL, "imported: f1 0.6 is not <= 0.5"),
        ("em", ImportedScore("acc", 1.0, True), INVALID, "imported: the file has no score 'em' here; it has 'acc'"),
    ],
)
def test_the_tools_own_score(entry: object, score: ImportedScore, verdict: Verdict, words: str) -> None:
    finding = ask({"imported": entry}, scored(score))
    assert finding.check == "imported"
    assert finding.verdict is verdict
    assert finding.reason.startswith(words)


def test_an_answer_of_our_own_has_no_such_score() -> None:
    assert ask({"imported": "acc"}, "x").verdict is INVALID
    with pytest.raises(ConfigError, match="imported: nothing passes: min 2 is above max 1"):
        ask({"imported": {"score": "acc", "min": 2.0, "max": 1.0}}, "x")


def test_scores_are_on_record() -> None:
    response = scored(ImportedScore("acc", 1.0, True), ImportedScore("f1", 0.25))
    assert answers_from_json(json.loads(json.dumps(answers_to_json({"a": response})))) == {"a": response}
    assert "imported" not in answers_to_json({"a": Response("x")})[0]


def test_a_gate_by_imported_scores_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [json.loads(line) for line in (HELD / "questions.jsonl").read_text().splitlines()]
    write_jsonl(Path("q.jsonl"), [{"prompt": row["question"], "reference": row["answer"]} for row in rows])
    Path("s.yaml").write_text("cases: q.jsonl\nchecks: [{imported: Exact Match}]\nplan: {draw: 12, accept: 10}\n")
    words = ["gate", "--responses", str(Held("deepeval/test_run.json", "", 0).path), "--suite", "s.yaml", "--run", "r"]
    assert main(words) == 0
    said = capsys.readouterr()
    assert "the scores of `imported` are those of DeepEval, not judged again here" in said.out
    assert "judged again" not in said.err
    assert main([*words[:-1], "r2", "--json"]) == 0
    cases = json.loads(capsys.readouterr().out)["cases"]
    assert {json.dumps(one["scores"]) for one in cases} == {'{"imported": 1.0}', '{"imported": 0.0}'}
    assert {one["reason"] for one in cases if one["verdict"] == "FAIL"} == {"imported: imported: Exact Match is 0"}
    assert "imported: Exact Match is 0" in Path("r/report.html").read_text()


# --- promotion ------------------------------------------------------------------------------------------------------


def pipeline(folder: Path, promote: str) -> Path:
    text = PIPELINE.replace("checks: [exact]", "checks: [exact, {imported: acc}]")
    assert text != PIPELINE
    return write_pipeline(folder, text.replace("promote: {to: production, registry: registry}", promote))


def test_a_pipeline_that_promotes_refuses_scores_of_other_tools(tmp_path: Path) -> None:
    path = pipeline(tmp_path / "a", "promote: {to: production, registry: registry}")
    with pytest.raises(
        ConfigError, match=r"promote: gate 'facts' of stage 'sft' takes over the scores of another tool"
    ):
        load_pipeline(path, build_check)
    assert load_pipeline(pipeline(tmp_path / "b", "promote: {imported: true}"), build_check).promotes_imported


def scoring(path: str) -> ScriptedModel:
    """A model whose answers come with the scores of a tool."""
    model = open_model(path)

    def answer(case: Case) -> Response:
        text = str(model.script(case))
        right = text == case.references[0]
        return Response(text, "stop", imported=(ImportedScore("acc", float(right), right),))

    return replace(model, script=answer)


@pytest.mark.parametrize("says_so", [False, True])
def test_a_run_is_promoted_by_such_scores_only_if_its_pipeline_said_so(says_so: bool, tmp_path: Path) -> None:
    path = pipeline(tmp_path, "promote: {imported: true, registry: registry}" if says_so else "")
    run = carry_out(path, replace(tools(), open_model=scoring))
    assert run.verdict is Verdict.PASS, run.reason
    if says_so:
        assert run.promotions
    with contextlib.nullcontext() if says_so else pytest.raises(NotPromotable, match="uses the scores of another"):
        check_promotable(run, fingerprint, date(2026, 11, 30))
