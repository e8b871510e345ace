"""The ledger over pipeline runs: what a run asked is fresh for no other, and every attempt counts."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.bank import write_jsonl
from tests.support.fake_pipeline import PIPELINE, SUITE, carry_out, load, tools, write_pipeline
from tunegate.checks.outcome import Verdict
from tunegate.cli import main
from tunegate.commands import run as run_command
from tunegate.commands.ledger import VARIABLE
from tunegate.exceptions import ConfigError
from tunegate.ledger.ledger import FILE, Ledger
from tunegate.promotion.evidence import attest, check_gates
from tunegate.record.record import RunRecord
from tunegate.training.tools import Tools

ALONE = PIPELINE.partition("  - name: align")[0] + "promote: {to: production, registry: registry}\n"


def with_ledger(folder: Path, skills: dict[str, float]) -> Tools:
    return replace(tools(skills), ledger=Ledger(folder / "ledger"))


def gate_questions(run: RunRecord) -> list[str]:
    """The questions that gates and confirming draws asked; those of gates that share a draw once."""
    draws = {
        (gate.stage, gate.attempt, gate.purpose, gate.questions): gate.asked_questions
        for gate in run.all_gates()
        if gate.purpose in ("gate", "confirm")
    }
    return [question for asked in draws.values() for question in asked]


def test_no_question_is_asked_twice_in_a_run_of_whatever_suite_stage_and_attempt(tmp_path: Path) -> None:
    run = carry_out(write_pipeline(tmp_path / "project"))
    assert run.verdict is Verdict.PASS
    assert {gate.stage for gate in run.all_gates()} == {"sft", "align"}
    assert max(Counter(gate_questions(run)).values()) == 1
    check_gates(run)


def test_another_run_from_the_same_base_asks_other_cases_and_its_attempts_count(tmp_path: Path) -> None:
    """The audit's: a new folder, seed or hyperparameter asked the same 100 cases in the same order."""
    path = write_pipeline(tmp_path / "project", ALONE, bank=80)
    one = carry_out(path, with_ledger(tmp_path, {}), run="one")
    assert one.verdict is Verdict.FAIL
    path.write_text(ALONE.replace("name: small", "name: small\nseed: 7"))
    two = carry_out(path, with_ledger(tmp_path, {"sft#1": 1.0}), run="two")
    assert two.verdict is Verdict.PASS
    assert not set(gate_questions(one)) & set(gate_questions(two))
    assert two.start["attempts_before"] == {"facts": 3, "style": 3}
    first = two.stages["sft"].attempts[1]
    assert "facts (confirm)" in first.gates  # its first attempt is the fourth from this base
    assert first.gates["facts"].ledger is not None
    assert (first.gates["facts"].ledger.before, first.gates["facts"].ledger.failed) == (3, 3)
    luck = two.stages["sft"].luck["facts"]
    assert not isinstance(luck, str)
    assert (luck.attempts, luck.limit) == (4, 6)
    assert attest(two, check_gates(two))["gates"][0]["ledger"]["lineage"] == 3


def test_the_gates_of_one_attempt_say_the_same_number(tmp_path: Path) -> None:
    run = carry_out(write_pipeline(tmp_path / "project", ALONE, bank=80), with_ledger(tmp_path, {"sft#2": 1.0}))
    places = [[gate.ledger for gate in one.gates.values()] for one in run.stages["sft"].attempts.values()]
    assert [{place.before for place in one if place} for one in places] == [{0}, {1}]


def test_the_same_run_in_another_folder_asks_the_same_cases(tmp_path: Path) -> None:
    path = write_pipeline(tmp_path / "project", ALONE, bank=80)
    one, two = (carry_out(path, with_ledger(tmp_path, {"sft#2": 1.0}), run=name) for name in ("one", "two"))
    assert (one.verdict, two.verdict) == (Verdict.PASS, Verdict.PASS)
    for key in ("facts", "facts (confirm)"):
        before, again = (run.stages["sft"].attempts[2].gates[key] for run in (one, two))
        assert before.case_ids == again.case_ids
        assert again.ledger is not None
        assert before.ledger is not None
        assert again.ledger.repeats == before.ledger.entry
    later = carry_out(path, with_ledger(tmp_path, {"sft#1": 0.9}), run="later")
    assert later.stages["sft"].attempts[1].gates["facts"].ledger is not None
    assert later.stages["sft"].attempts[1].gates["facts"].ledger.before == 2


def test_a_run_that_was_stopped_goes_on_with_the_draws_that_it_had_written(tmp_path: Path) -> None:
    path = write_pipeline(tmp_path / "project", ALONE, bank=80)
    carry_out(path, with_ledger(tmp_path, {"sft#2": 1.0}))
    entries = Ledger(tmp_path / "ledger").read().entries
    carry_out(path, with_ledger(tmp_path, {"sft#2": 1.0}))
    assert Ledger(tmp_path / "ledger").read().entries == entries
    assert all(entry.decided for entry in entries if entry.drawn.purpose in ("gate", "confirm"))


def test_a_bank_that_other_runs_used_up_is_inconclusive_before_anything_is_trained(tmp_path: Path) -> None:
    path = write_pipeline(tmp_path / "project", ALONE, bank=20)
    verdicts = [carry_out(path, with_ledger(tmp_path, {"sft#1": 0.5 + n / 100}), run=str(n)).verdict for n in range(4)]
    assert verdicts[0] is not Verdict.INCONCLUSIVE
    assert verdicts[-1] is Verdict.INCONCLUSIVE
    path.write_text(ALONE.replace("name: small", "name: small\nseed: 7"))  # a new draw, whatever the weights will be
    last = carry_out(path, with_ledger(tmp_path, {}), run="last")
    assert last.verdict is Verdict.INCONCLUSIVE
    assert not last.stages["sft"].attempts[1].trained


@pytest.mark.parametrize(
    ("flags", "written"),
    [([], "shared"), (["--ledger", "none"], None), (["--ledger", "own"], "own")],
)
def test_the_command_line_writes_the_ledger_of_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: list[str], written: str | None
) -> None:
    """The pipeline names its ledger; the flag replaces it. The model and its training are scripted."""
    monkeypatch.delenv(VARIABLE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run_command, "_tools", lambda bar, executor, train: tools())
    monkeypatch.setattr(run_command, "check_model", lambda pipeline: [])
    path = write_pipeline(tmp_path / "project", ALONE + "ledger: shared\n")
    assert load(path).ledger == str(path.parent / "shared")
    main(["run", str(path), *flags])
    found = {place.parent for place in tmp_path.rglob(FILE)}
    expected = {None: set(), "shared": {path.parent / "shared"}, "own": {tmp_path / "own"}}
    assert found == expected[written]


# --- one seal, and the supply over all stages -----------------------------------------------------------------------


def test_what_one_suite_seals_no_other_asks_in_a_working_draw(tmp_path: Path) -> None:
    """The audit's: a third suite asked 28 of another's sealed cases in working draws."""
    text = PIPELINE.replace(
        f"style: {SUITE}", "style: {cases: cases.jsonl, sealed: 0, checks: [exact], plan: {draw: 5, confirm: never}}"
    )
    assert text != PIPELINE
    pipeline = load(write_pipeline(tmp_path / "project", text))
    facts, style = pipeline.suites["facts"].bank, pipeline.suites["style"].bank
    sealed = {case.id for case in facts.sealed}
    assert sealed
    assert not sealed & {case.id for case in style.working}
    assert {case.id for case in style.working} == {case.id for case in facts.working}
    assert pipeline.sharing_a_draw(pipeline.stages[0], "facts") == ["facts", "style"]


def test_a_suite_that_the_seals_of_others_leave_too_few_cases_is_refused(tmp_path: Path) -> None:
    text = PIPELINE.replace(
        f"style: {SUITE}", "style: {cases: cases.jsonl, sealed: 0, checks: [exact], plan: {draw: 39, confirm: never}}"
    )
    path = write_pipeline(tmp_path / "project", text)
    with pytest.raises(ConfigError, match="other suites seal 13 of its cases"):
        load(path)


def test_check_says_what_the_stages_before_leave(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_pipeline(tmp_path / "project", PIPELINE.replace("accept: 4}", "accept: 4, confirm: never}"), bank=18)
    main(["check", str(path)])
    said = capsys.readouterr().out
    assert (
        "note: stage align: the stages before it leave fresh cases for 1 attempt if they pass at once, for none" in said
    )


def test_a_stage_for_which_no_case_is_left_is_refused(tmp_path: Path) -> None:
    path = write_pipeline(
        tmp_path / "project", PIPELINE.replace("draw: 5, accept: 4", "draw: 21, accept: 19, confirm: never"), bank=40
    )
    with pytest.raises(
        ConfigError, match="too few fresh cases are left for gate 'facts' at the first attempt of 'align'"
    ):
        load(path)


def test_a_question_under_another_id_in_another_suite_is_the_same_question(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    text = PIPELINE.replace(f"style: {SUITE}", f"style: {SUITE.replace('cases.jsonl', 'others.jsonl')}")
    path = write_pipeline(folder, text, bank=60)
    rows = [json.loads(line) for line in (folder / "cases.jsonl").read_text().splitlines()]
    write_jsonl(folder / "others.jsonl", [{**row, "id": f"s{row['id']}"} for row in rows])
    run = carry_out(path)
    gates = run.stages["sft"].attempts[2].gates
    assert not gates["facts"].asked_questions & gates["style"].asked_questions
    assert max(Counter(gate_questions(run)).values()) == 1
