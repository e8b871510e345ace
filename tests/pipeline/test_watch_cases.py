"""What is watched in training is out of every gate's reach, in every stage and suite, and on record."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.bank import write_jsonl
from tests.support.fake_pipeline import PIPELINE, carry_out, load, tools, trainer, write_pipeline
from tests.training.test_run import edit
from tunegate.cli import main
from tunegate.exceptions import ConfigError, Tampered
from tunegate.models.fingerprint import fingerprint
from tunegate.promotion.evidence import check_promotable
from tunegate.record.read_run import read_run
from tunegate.training.trainer import TrainJob, TrainResult

WATCH = "watch: {gate: facts, every_steps: 5, draw: 4}\n    gates: [facts, style]"


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    return write_pipeline(tmp_path / "project", PIPELINE.replace("gates: [facts, style]", WATCH), bank=40)


def test_no_draw_of_any_stage_asks_a_watched_case(pipeline: Path) -> None:
    jobs: list[TrainJob] = []

    def train(job: TrainJob) -> TrainResult:
        jobs.append(job)
        return trainer()(job)

    run = carry_out(pipeline, replace(tools(), train=train))
    watched = run.start["watched"]["sft"]
    assert (watched["gate"], len(watched["case_ids"])) == ("facts", 4)
    assert len(run.all_gates()) == 11
    for gate in run.all_gates():  # style asks the same questions, and align starts from what was chosen
        assert not set(gate.case_ids) & set(watched["reserved"]), gate.key
    assert [job.watch and job.watch["case_ids"] for job in jobs] == [watched["case_ids"]] * 2 + [None]
    assert jobs[0].suites["facts"]["name"] == "facts"
    bank = load(pipeline).suites["facts"].bank
    sealed = {case.id for case in replace(load(pipeline).suites["facts"], reserved=frozenset()).bank.sealed}
    assert not sealed & set(watched["case_ids"])
    assert len(bank.working) + len(bank.sealed) == 40 - 4


def test_every_attempt_watches_the_same_cases_and_a_resumed_run_too(pipeline: Path) -> None:
    first, second = (load(pipeline).watched["sft"] for _ in range(2))
    assert first == second


def test_groups_are_taken_whole(tmp_path: Path) -> None:
    path = write_pipeline(tmp_path / "project", PIPELINE.replace("gates: [facts, style]", WATCH), bank=60)
    rows = [{"id": i, "prompt": f"case {i}?", "reference": f"{i}!", "group": f"g{i // 3}"} for i in range(60)]
    (path.parent / "cases.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    loaded = load(path)
    watched = loaded.watched["sft"]
    assert (len(watched.case_ids), len(watched.reserved)) == (4, 6)
    for suite in loaded.suites.values():
        groups = {case.group for case in suite.cases if case.id in suite.reserved}
        assert len(suite.reserved) == 3 * len(groups) == 6


def test_a_gate_that_asked_a_watched_case_is_not_believed(pipeline: Path) -> None:
    carry_out(pipeline)
    run = read_run(pipeline.parent / "run")
    check_promotable(run, fingerprint, run_day())
    gate = run.stages["align"].attempts[1].gates["facts"]
    watched = json.loads(json.dumps(run.start["watched"]))
    watched["sft"]["reserved"].append(gate.case_ids[0])
    run = replace(run, start={**run.start, "watched": watched})
    with pytest.raises(Tampered, match="asked cases by which a training was chosen"):
        check_promotable(run, fingerprint, run_day())


def run_day() -> Any:
    from datetime import date

    return date.today()


@pytest.mark.parametrize(
    ("watch", "message"),
    [
        ("gate: fact, every_steps: 5", r"stages\[0\]\.watch\.gate: no suite is named 'fact' .did you mean 'facts'"),
        ("gate: facts, every_steps: 0", r"watch\.every_steps"),
        ("gate: facts, every_steps: 2, every_epochs: 1.0", r"watch: give either every_steps or every_epochs"),
    ],
)
def test_a_watch_that_cannot_be_is_refused_before_training(pipeline: Path, watch: str, message: str) -> None:
    edit(pipeline, "gate: facts, every_steps: 5, draw: 4", watch)
    with pytest.raises(ConfigError, match=message):
        load(pipeline)


def test_a_draw_that_leaves_a_gate_too_few_cases_says_how_many_it_may_be(pipeline: Path) -> None:
    pipeline.write_text(pipeline.read_text().partition("  - name: align")[0])  # which compares on cases of its own
    edit(pipeline, "draw: 4", "draw: 30")
    with pytest.raises(ConfigError) as caught:
        load(pipeline)
    assert str(caught.value).partition(": ")[2] == (
        "stages[0].watch.draw: facts: 30 watched cases leave too few for its gates: the bank has 0 cases "
        "(13 more are sealed), but the plan draws 5; add cases or lower `plan.draw`, or watch at most 22"
    )
    edit(pipeline, "draw: 30", "draw: 22")
    assert load(pipeline).suites["facts"].bank.distinct("working") == 5
    edit(pipeline, "draw: 22", "draw: 23")
    with pytest.raises(ConfigError, match="or watch at most 22"):
        load(pipeline)


def test_a_bank_of_one_group_can_not_be_watched(pipeline: Path) -> None:
    rows = [{"id": i, "prompt": f"case {i}?", "reference": f"{i}!", "group": "all"} for i in range(40)]
    write_jsonl(pipeline.parent / "cases.jsonl", rows)
    edit(pipeline, "cases: cases.jsonl", "sealed: 0, cases: cases.jsonl")
    with pytest.raises(ConfigError, match=r"the bank has 0 cases, but the plan draws 5; .*, or watch another suite"):
        load(pipeline)


def test_check_says_what_no_gate_asks(pipeline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(pipeline)]) == 0
    assert (
        "note: stage sft watches 4 cases of facts; no gate draws these and their groups (4)" in capsys.readouterr().out
    )


UNDERSTANDING = """\
name: small
model: base
suites:
  facts: {cases: cases.jsonl, checks: [exact], plan: {draw: 5, accept: 4}}
  groups: {cases: groups.jsonl, checks: [{contrast: {checks: [exact]}}], plan: {draw: 5, accept: 4}}
  texts:
    cases: {path: texts.jsonl, prompt: "", choices: "{text}"}
    checks: [{perplexity: 9}]
    plan: {draw: 5, accept: 4}
stages:
  - {name: sft, method: sft, data: train.jsonl, gates: [facts], watch: {gate: WATCHED, every_steps: 2, draw: 4}}
"""


@pytest.fixture
def understanding(tmp_path: Path) -> Path:
    path = write_pipeline(tmp_path / "project", UNDERSTANDING, bank=20)
    variants = [{"rule": "plain", "kind": "minimum", "prompt": f"Case {i}", "references": [f"{i}!"]} for i in range(20)]
    groups = [
        {"id": f"g{i}", "prompt": f"so, {i}?", "references": [f"{i}!"], "members": [variants[i]]} for i in range(20)
    ]
    write_jsonl(path.parent / "groups.jsonl", groups)
    write_jsonl(path.parent / "texts.jsonl", [{"id": f"t{i}", "text": f"This is text number {i}."} for i in range(20)])
    return path


def test_what_a_check_asks_beside_a_watched_case_is_asked_by_no_gate(understanding: Path) -> None:
    """A look at a group asks its members too, and letters and marks make no other question of them."""
    understanding.write_text(UNDERSTANDING.replace("WATCHED", "groups"))
    loaded = load(understanding)
    watched = {case_id.removeprefix("g") for case_id in loaded.watched["sft"].case_ids}
    assert len(watched) == 4
    assert loaded.suites["facts"].reserved == watched


def test_a_watched_case_takes_the_groups_that_ask_it_too(understanding: Path) -> None:
    understanding.write_text(UNDERSTANDING.replace("WATCHED", "facts"))
    loaded = load(understanding)
    assert loaded.suites["groups"].reserved == {f"g{case_id}" for case_id in loaded.watched["sft"].case_ids}


def test_texts_that_are_only_scored_are_not_all_one_case(understanding: Path) -> None:
    """Their prompts are all empty; what tells them apart is the text."""
    understanding.write_text(UNDERSTANDING.replace("WATCHED", "texts"))
    loaded = load(understanding)
    assert loaded.suites["texts"].reserved == set(loaded.watched["sft"].case_ids)
