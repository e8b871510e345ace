"""Replay: general data mixed in when retention fails, seen by the leakage guard, and the same after a kill."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.bank import write_jsonl
from tests.support.fake_pipeline import carry_out, load, open_model, tools, trainer, write_pipeline
from tests.training.test_run import Killed, edit, essence, killed_after
from tunegate.cases.case import Case
from tunegate.checks.outcome import Verdict
from tunegate.exceptions import ConfigError
from tunegate.models.model import ScriptedModel
from tunegate.record.event_log import read_events
from tunegate.training.repair import size

REPLAY = """\
name: small
model: base
suites:
  facts: {cases: cases.jsonl, checks: [exact], plan: {draw: 5, accept: 4}}
  general: {cases: general_cases.jsonl, checks: [exact], plan: {draw: 10, accept: 9}, retention: {max_drop: 5}}
stages:
  - {name: sft, method: sft, data: train.jsonl, gates: [facts],
     retrain: {max_attempts: 2, replay: [0.0, 0.4], replay_data: general.jsonl}}
"""


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    path = write_pipeline(tmp_path / "project", REPLAY, bank=40)
    general = [{"id": n, "prompt": f"what is thing {n}?", "reference": f"thing {n}!"} for n in range(20)]
    write_jsonl(path.parent / "general_cases.jsonl", general)
    rows = [{"prompt": f"tell me of matter {n}?", "completion": f"{n}."} for n in range(30)]
    write_jsonl(path.parent / "general.jsonl", rows)
    return path


def forgetting(path: str) -> ScriptedModel:
    """It knows its domain as soon as it is trained, and then the general things only if they were in its data."""
    data = Path(path).parent / "data.jsonl"
    trained = data.read_text() if data.exists() else ""

    def answer(case: Case) -> str:
        general = "thing" in case.prompt_text
        knows = (not trained or "matter" in trained) if general else bool(trained)
        return case.references[0] if knows else "?"

    return replace(open_model(path), script=answer)


TOOLS = replace(tools(), train=trainer({}), open_model=forgetting)


def test_general_data_are_mixed_in_when_retention_fails(pipeline: Path) -> None:
    run = carry_out(pipeline, TOOLS)
    assert run.verdict is Verdict.PASS, run.reason
    first, second = run.stages["sft"].attempts.values()
    assert first.gates["general (retention)"].verdict is Verdict.FAIL
    assert first.diagnosis is not None
    assert (first.diagnosis.cause, first.diagnosis.changes) == ("forgetting", {"replay": (0.0, 0.4)})
    assert first.diagnosis.action == "mix in general data: replay 0.0 -> 0.4"
    [note] = second.summary["data"]["notes"]
    assert note.endswith("rows of general data mixed in (40% of the text)")
    rows = (pipeline.parent / "run" / "sft" / "attempt-2" / "data.jsonl").read_text().splitlines()
    general = [row for row in rows if "matter" in row]
    assert len(rows) - len(general) == 8  # all of the domain's rows are still there
    assert sum(map(len, general)) / sum(map(len, rows)) == pytest.approx(0.4, abs=0.05)
    assert run.start["data"]["sft"]["replay"]["rows"] == 30


def test_a_killed_replay_goes_on_with_the_same_rows(pipeline: Path) -> None:
    whole = carry_out(pipeline, TOOLS, run="whole")
    total = len(list(read_events(pipeline.parent / "whole")))
    for n in range(3, total, 11):
        with pytest.raises(Killed):
            carry_out(pipeline, TOOLS, run=f"run-{n}", open_log=killed_after(n))
        assert essence(carry_out(pipeline, TOOLS, run=f"run-{n}")) == essence(whole)


@pytest.mark.parametrize("action", ["refuse", "drop_from_train"])
def test_the_leakage_guard_sees_replayed_rows(pipeline: Path, action: str) -> None:
    """Rows of a retention suite's own cases would make it a test of memory."""
    edit(pipeline, "name: small", f"leakage: {action}\nname: small")
    cases = (pipeline.parent / "general_cases.jsonl").read_text().replace('"reference"', '"completion"')
    general = pipeline.parent / "general.jsonl"
    general.write_text(general.read_text() + cases)
    run = carry_out(pipeline, TOOLS)
    if action == "refuse":
        assert run.verdict is Verdict.INVALID
        assert "general.jsonl:31 = general/0" in run.reason
        assert run.stages == {}
        return
    assert run.verdict is Verdict.PASS
    [dropped] = run.dropped
    assert (dropped["rows"], dropped["replay_rows"]) == ([], list(range(31, 51)))
    assert "thing" not in (pipeline.parent / "run" / "sft" / "attempt-2" / "data.jsonl").read_text()


def test_a_changed_replay_file_is_another_pipeline(pipeline: Path) -> None:
    before = load(pipeline).sha256
    edit(pipeline.parent / "general.jsonl", "tell me of matter 3?", "tell me of matter three?")
    assert load(pipeline).sha256 != before


def test_replayed_rows_are_of_the_stages_method(pipeline: Path) -> None:
    edit(pipeline.parent / "general.jsonl", '"completion"', '"answer"')
    with pytest.raises(ConfigError, match=r"general\.jsonl:1: .*completion"):
        load(pipeline)


def test_a_row_is_weighed_as_it_is_trained_on(pipeline: Path) -> None:
    example = load(pipeline).stages[0].data.examples[0]
    assert size(example) == len('{"prompt": "train 0?", "completion": "0!"}')


def test_nobody_is_asked_general_data(pipeline: Path) -> None:
    """Rows of two files have the same numbers: one would be given the answer to the other."""
    edit(
        pipeline,
        "method: sft, data: train.jsonl,",
        "method: dpo, data: {path: train.jsonl, own_answers: {judged_by: facts}},",
    )
    edit(pipeline, "replay_data: general.jsonl", "replay_data: {path: general.jsonl, own_answers: {judged_by: facts}}")
    with pytest.raises(ConfigError, match=r"replay_data\.own_answers: general data are used unchanged"):
        load(pipeline)
