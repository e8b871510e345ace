"""`inspect:` in a pipeline: missed cases are explained while the model is loaded, and no failure changes a verdict."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.explanations import made_explanation
from tests.support.fake_pipeline import PIPELINE, carry_out, tools, write_pipeline
from tunegate.attribution.explained_file import read_explained
from tunegate.attribution.explanation import QUICK, Explanation, Method
from tunegate.attribution.stored_case import StoredCase
from tunegate.cases.case import Case
from tunegate.checks.outcome import Verdict
from tunegate.exceptions import ConfigError, Tampered
from tunegate.models.fingerprint import fingerprint
from tunegate.models.model import ChoiceScore, Model, Response, ScriptedModel
from tunegate.pipeline.pipeline_file import load_pipeline
from tunegate.progress import Progress
from tunegate.record.event_log import EVENTS
from tunegate.record.read_run import read_run
from tunegate.record.record import RunRecord
from tunegate.training.tools import Tools
from tunegate_reports import write_html
from tunegate_suites import build_check

pytest.importorskip("captum", reason="the extra attribution is not installed")
INSPECT = "\ninspect: {cases: 3}\n"


class Explainer:
    """Explains with made numbers, and remembers what it was asked."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.asked: list[tuple[str, StoredCase, Sequence[Method]]] = []
        self.fault = fault

    def __call__(
        self, model: Model, stored: StoredCase, methods: Sequence[Method], seed: int, progress: Progress, /
    ) -> Explanation:
        self.asked.append((model.name, stored, methods))
        if self.fault is not None:
            raise self.fault
        where = {"gate": stored.gate, "stage": stored.stage, "attempt": stored.attempt}
        return made_explanation(stored.case.id, methods=QUICK, flipped=stored.flipped, **where)

    @property
    def tools(self) -> Tools:
        return replace(tools(), explain=self)


def carried_out(folder: Path, explain: Explainer, text: str = PIPELINE + INSPECT) -> RunRecord:
    return carry_out(write_pipeline(folder / "project", text), explain.tools)


def test_the_first_misses_of_each_attempt_are_explained_by_its_model(tmp_path: Path) -> None:
    explain = Explainer()
    run = carried_out(tmp_path, explain)
    [recorded] = run.explained
    assert (recorded.stage, recorded.attempt) == ("sft", 1)
    assert len(recorded.cases) == 2  # of the misses, those that decided a draw that stopped early
    assert {(Path(name).parent.name, case.verdict, tuple(methods)) for name, case, methods in explain.asked} == {
        ("attempt-1", Verdict.FAIL, QUICK)
    }
    found = read_explained(run.folder, recorded)
    assert tuple(one.case_id for one in found) == recorded.cases
    assert (run.folder / recorded.file).parent == run.folder / "sft" / "attempt-1"


def test_the_methods_are_those_of_the_file(tmp_path: Path) -> None:
    explain = Explainer()
    carried_out(tmp_path, explain, f"{PIPELINE}\ninspect: {{cases: 1, methods: [lime, logit_lens]}}\n")
    assert [methods for _, _, methods in explain.asked] == [["lime", "logit_lens"]]


def test_a_case_without_a_prompt_is_left_out(tmp_path: Path) -> None:
    """A pair of sentences has no text that the choice could be based on."""

    def chooses(path: str) -> ScriptedModel:
        def answer(case: Case) -> Response:
            return Response(case.choices[1], choice_scores=(ChoiceScore(-2.0, 1), ChoiceScore(-1.0, 1)))

        return ScriptedModel(answer, name=path, sha256=fingerprint(Path(path)))

    explain = Explainer()
    pairs = '{path: cases.jsonl, id: "{id}", prompt: "", choices: ["{prompt}", "no"], reference: "{prompt}"}'
    text = PIPELINE.replace("cases: cases.jsonl, checks: [exact]", f"cases: {pairs}, checks: [choice]")
    path = write_pipeline(tmp_path / "project", text + INSPECT)
    run = carry_out(path, replace(explain.tools, open_model=chooses))
    assert run.stages["sft"].attempts[1].gates["facts"].failed > 0
    assert (explain.asked, run.explained) == ([], ())


def test_a_run_without_the_key_explains_nothing(tmp_path: Path) -> None:
    explain = Explainer()
    assert carried_out(tmp_path, explain, PIPELINE).explained == ()
    assert explain.asked == []


@pytest.mark.parametrize("fault", [RuntimeError("out of memory"), ValueError(), ConfigError("no weights")])
def test_a_failure_is_noted_and_changes_no_verdict(tmp_path: Path, fault: Exception) -> None:
    plain = carried_out(tmp_path / "plain", Explainer(), PIPELINE)
    run = carried_out(tmp_path / "failing", Explainer(fault))
    [recorded] = run.explained
    assert recorded.cases == ()
    assert set(recorded.faults.values()) == {str(fault) or "ValueError"}
    assert len(recorded.faults) == 2
    assert (run.verdict, len(run.promotions)) == (plain.verdict, len(plain.promotions)) == (Verdict.PASS, 1)
    assert [gate.verdict for gate in run.all_gates()] == [gate.verdict for gate in plain.all_gates()]


def test_a_full_disk_is_noted_too(tmp_path: Path) -> None:
    class Blocking(Explainer):
        """Something is at the place of the file."""

        def __call__(self, model: Model, stored: StoredCase, *rest: Any) -> Explanation:
            (Path(model.name).parent / "explanations-1.json").mkdir(exist_ok=True)
            return super().__call__(model, stored, *rest)

    run = carried_out(tmp_path, Blocking())
    [recorded] = run.explained
    assert recorded.cases == ()
    assert all(reason.startswith("could not be written") for reason in recorded.faults.values())
    assert run.verdict is Verdict.PASS
    write_html(run, tmp_path / "report.html")
    assert "could not be written" in (tmp_path / "report.html").read_text()


def test_a_resumed_run_explains_what_is_missing_and_nothing_twice(tmp_path: Path) -> None:
    first, again = Explainer(), Explainer()
    path = write_pipeline(tmp_path / "project", PIPELINE + INSPECT)
    carry_out(path, first.tools)
    assert carry_out(path, again.tools).explained == read_run(path.parent / "run").explained
    assert again.asked == []


def test_the_report_shows_them_only_while_the_file_is_the_one_on_record(tmp_path: Path) -> None:
    run = carried_out(tmp_path, Explainer())
    page = tmp_path / "report.html"
    write_html(run, page)
    assert "first differ at token 2" in page.read_text()
    file = run.folder / run.explained[0].file
    rows = json.loads(file.read_text())
    file.write_text(json.dumps([{**rows[0], "answer": "another"}, *rows[1:]]))
    with pytest.raises(Tampered, match="its hash is not the one on record"):
        read_explained(run.folder, run.explained[0])
    write_html(run, page)
    assert "first differ at token 2" not in page.read_text()


def test_a_missing_extra_is_named_before_any_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file and the key are named too; a record can be read without the extra."""
    run = carried_out(tmp_path, Explainer())
    monkeypatch.setitem(sys.modules, "captum", None)  # as if it were not installed
    with pytest.raises(ConfigError) as caught:
        carried_out(tmp_path / "again", Explainer())
    told = str(caught.value)
    assert re.search(r"tunegate\.yaml:\d+: inspect: explaining missed cases needs the extra 'attribution'", told), told
    assert told.endswith("pip install 'tunegate[attribution]'")
    load_pipeline(run.folder.parent / "tunegate.yaml", build_check, of_record=True)


def test_the_record_of_an_older_version_has_none(tmp_path: Path) -> None:
    run = carried_out(tmp_path, Explainer(), PIPELINE)
    assert "cases_explained" not in (run.folder / EVENTS).read_text()


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("{cases: 0}", "inspect.cases"),
        ("{cases: 101}", "inspect.cases"),
        ("{methods: [shap]}", "inspect.methods"),
        ("{methods: []}", "inspect.methods"),
        ("{case: 3}", "did you mean 'cases'"),
    ],
)
def test_a_wrong_value_is_named(tmp_path: Path, spec: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        carried_out(tmp_path, Explainer(), f"{PIPELINE}\ninspect: {spec}\n")
