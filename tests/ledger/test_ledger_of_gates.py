"""What a user sees of the ledger: gates from the command line, one after another, on one bank."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.bank import Bank, write_jsonl
from tunegate.cli import main
from tunegate.command_line import build_parser
from tunegate.commands.bake_off import bake
from tunegate.commands.ledger import VARIABLE
from tunegate.ledger.ledger import FILE, FOLDER, Ledger
from tunegate.models.model_facts import ModelFacts
from tunegate.suites.suite_file import load_suite
from tunegate_suites import build_check

PLAN = "{draw: 10, accept: 9}"


pytestmark = pytest.mark.usefixtures("project_ledger")


@pytest.fixture
def bank(make_bank: Callable[..., Bank]) -> Bank:
    return make_bank(60, plan=PLAN)


def gate(bank: Bank, capsys: pytest.CaptureFixture[str], *arguments: str, answers: str = "") -> dict[str, Any]:
    capsys.readouterr()
    code = main(["gate", "--responses", answers or bank.answers(60), "--suite", bank.suite, *arguments, "--json"])
    return {**json.loads(capsys.readouterr().out), "code": code}


def asked(result: dict[str, Any]) -> set[str]:
    return {case["id"] for case in result["cases"]}


def test_a_second_gate_asks_other_cases_and_says_that_it_is_the_second(
    bank: Bank, capsys: pytest.CaptureFixture[str]
) -> None:
    first = gate(bank, capsys, answers=bank.answers(0))
    second = gate(bank, capsys, answers=bank.answers(1, "other.jsonl"))
    assert (first["code"], second["code"]) == (1, 1)
    assert not asked(first) & asked(second)
    assert (first["ledger"]["before"], second["ledger"]["before"], second["ledger"]["failed"]) == (0, 1, 1)


def test_seeds_cannot_be_tried_until_one_passes(bank: Bank, capsys: pytest.CaptureFixture[str]) -> None:
    """The audit's way: `--seed 0..11` gave 12 FAILs, `--seed 50` a PASS and exit code 0, and nothing said so."""
    answers = bank.answers(0)
    codes = [gate(bank, capsys, "--seed", str(seed), answers=answers)["code"] for seed in range(8)]
    assert codes == [1, 1, 1, 1, 4, 4, 4, 4]  # 40 working cases: four draws, then none is fresh


@pytest.mark.parametrize("more", [(), ("--baseline", "old.jsonl", "--max-drop", "50")])
def test_a_row_that_is_missing_uses_up_no_case_and_no_seed_gets_around_it(
    bank: Bank, capsys: pytest.CaptureFixture[str], more: tuple[str, ...]
) -> None:
    """Refused for the whole bank: the draw alone would let somebody leave out a case and try seeds until it is not
    drawn, or learn which cases come next."""
    bank.answers(60, "old.jsonl")
    rows = Path(bank.answers(60)).read_text().splitlines(keepends=True)
    working = load_suite(Path(bank.suite), build_check).bank.working
    gone, whole = working[0].id, Path("answers.jsonl")
    whole.write_text("".join(row for row in rows if json.loads(row)["id"] != gone))
    words = [*more, "--run", "r"]
    told = {gate(bank, capsys, *words, "--seed", str(n), answers=whole.name)["error"] for n in range(6)}
    assert told == {
        f"answers.jsonl: 1 of {len(working)} cases that may be drawn from the suite 'suite' have no answer; "
        f"add rows for {gone}; nothing was drawn, so no case is used up"
    }
    assert not list(bank.folder.rglob(FILE))
    whole.write_text("".join(rows))
    assert gate(bank, capsys, *words, answers=whole.name)["verdict"] in ("PASS", "INCONCLUSIVE")
    assert list(bank.folder.rglob(FILE))


def test_cases_that_were_asked_before_need_no_row(bank: Bank, capsys: pytest.CaptureFixture[str]) -> None:
    """A bank that grew: the old cases are used up, and nobody asks the model these again for nothing."""
    before = asked(gate(bank, capsys))
    rows = Path(bank.answers(60, "next.jsonl")).read_text().splitlines(keepends=True)
    Path("next.jsonl").write_text("".join(row for row in rows if json.loads(row)["id"] not in before))
    second = gate(bank, capsys, answers="next.jsonl")
    assert second["verdict"] == "PASS"
    assert not asked(second) & before


def test_a_sealed_case_without_a_row_is_found_before_the_first_draw(
    bank: Bank, capsys: pytest.CaptureFixture[str]
) -> None:
    sealed = load_suite(Path(bank.suite), build_check).bank.sealed
    gate(bank, capsys, answers=bank.answers(0))  # a second attempt that passes is confirmed on sealed cases
    rows = Path(bank.answers(60, "next.jsonl")).read_text().splitlines(keepends=True)
    Path("next.jsonl").write_text("".join(row for row in rows if json.loads(row)["id"] != sealed[0].id))
    second = gate(bank, capsys, answers="next.jsonl")
    assert second["code"] == 2
    lacks = (
        f"1 of {len(sealed)} cases that may be drawn from the suite 'suite' have no answer; add rows for {sealed[0].id}"
    )
    assert lacks in second["error"]


def test_a_bank_without_fresh_cases_says_who_asked_them_and_is_inconclusive_for_scripts_too(
    bank: Bank, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(4):
        gate(bank, capsys, answers=Path(bank.answers(number, f"answers{number}.jsonl")).name)
    words = ["gate", "--responses", bank.answers(9, "last.jsonl"), "--suite", bank.suite]
    capsys.readouterr()
    assert main(words) == 4
    said = capsys.readouterr().err
    asked = "asked before: answers0.jsonl 10, answers1.jsonl 10, answers2.jsonl 10, answers3.jsonl 10"
    assert said.startswith("tunegate gate: INCONCLUSIVE: gate suite: the draw needs 10 fresh cases, but only ")
    assert said.endswith(f"; {asked}\n")
    assert main([*words, "--json"]) == 4
    result = json.loads(capsys.readouterr().out)
    assert (result["verdict"], result["exit_code"]) == ("INCONCLUSIVE", 4)
    assert main([*words, "--baseline", bank.answers(60), "--json"]) == 4
    assert json.loads(capsys.readouterr().out)["error"].startswith("comparison suite: the draw needs 10 fresh cases")


def test_a_pass_after_failures_needs_sealed_cases_and_tells_its_chance_over_all_attempts(
    bank: Bank, capsys: pytest.CaptureFixture[str]
) -> None:
    gate(bank, capsys, answers=bank.answers(0))
    gate(bank, capsys, answers=bank.answers(1, "other.jsonl"))
    third = gate(bank, capsys, answers=bank.answers(60, "good.jsonl"))
    assert (third["verdict"], third["confirm"]["verdict"], third["ledger"]["lineage"]) == ("PASS", "PASS", 2)
    alone = 0.5443  # 9 or 10 of 10 at .85
    assert third["lucky_pass"]["probability"] == pytest.approx(1 - (1 - alone) * (1 - alone**2) ** 2, abs=2e-3)


def test_the_same_answers_again_are_no_new_attempt(bank: Bank, capsys: pytest.CaptureFixture[str]) -> None:
    first = gate(bank, capsys)
    again = gate(bank, capsys, "--run", "elsewhere")
    assert asked(first) == asked(again)
    assert (again["ledger"]["repeats"], again["ledger"]["before"]) == (first["ledger"]["entry"], 0)
    later = gate(bank, capsys, answers=bank.answers(0, "other.jsonl"))
    assert later["ledger"]["before"] == 1


def test_a_rule_that_was_reworded_after_the_answers_asks_other_cases(
    bank: Bank, capsys: pytest.CaptureFixture[str]
) -> None:
    first = gate(bank, capsys, answers=bank.answers(0))
    suite = Path(bank.suite)
    suite.write_text(re.sub("checks:.*", "checks: [{rougeL: {min: 0.5}}]", suite.read_text()))
    second = gate(bank, capsys, answers=bank.answers(0))
    assert first["suite_sha256"] != second["suite_sha256"]
    assert not asked(first) & asked(second)
    assert second["ledger"]["failed"] == 1


def test_reuse_asks_again_is_marked_and_gives_no_figure_of_luck(
    make_bank: Callable[..., Bank], capsys: pytest.CaptureFixture[str]
) -> None:
    bank = make_bank(16, plan="{draw: 10, accept: 9, reuse: true, confirm: never}")
    gate(bank, capsys, answers=bank.answers(0))
    main(["gate", "--responses", bank.answers(16, "good.jsonl"), "--suite", bank.suite])
    told = capsys.readouterr().out
    assert "luck: unknown: 4 of 10 cases were asked before" in told
    assert "with probability" not in told
    assert "ledger: the 2nd attempt on this bank; of the 1 before, 1 failed" in told
    [report] = re.findall("report: (.*report.html)", told)
    page = Path(report).read_text()
    assert "unknown: 4 of 10 cases were asked before" in page
    assert "the 2nd attempt on this bank" in page


def test_half_a_line_is_dropped_and_said_once(bank: Bank, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["gate", "--suite", bank.suite, "--responses"]
    assert main([*words, bank.answers(60)]) == 0
    with (Path(FOLDER) / FILE).open("ab") as file:
        file.write(b'{"event": "dra')
    capsys.readouterr()
    assert main([*words, bank.answers(59, "other.jsonl")]) == 0
    said = capsys.readouterr().err
    assert (
        said.count(f"{FILE}: the last line is incomplete and was dropped: its writer was killed, or the disk was") == 1
    )
    main([*words, bank.answers(1, "third.jsonl")])
    assert "incomplete" not in capsys.readouterr().err


def test_without_a_ledger_every_report_says_so(bank: Bank, capsys: pytest.CaptureFixture[str]) -> None:
    answers = bank.answers(60)
    assert main(["gate", "--responses", answers, "--suite", bank.suite, "--ledger", "none", "--markdown", "m.md"]) == 0
    said = "no ledger: attempts of other runs on this bank are not counted (the user asked for none when it began)"
    assert said in capsys.readouterr().out
    assert said in Path("m.md").read_text()
    assert not (bank.folder / FOLDER).exists()


def test_a_ledger_that_cannot_be_written_is_named(bank: Bank, capsys: pytest.CaptureFixture[str]) -> None:
    result = gate(bank, capsys, "--ledger", "/proc/1/nothing")
    assert result["ledger"]["why_not"] == f"/proc/1/nothing/{FILE} cannot be written"


def test_a_ledger_that_exists_and_cannot_be_written_stops_the_gate(
    bank: Bank, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the next gate would ask the same cases again, as if nobody had seen them."""
    assert gate(bank, capsys, answers=bank.answers(0))["code"] == 1
    monkeypatch.setattr(Ledger, "can_be_written", False)
    assert main(["gate", "--responses", bank.answers(60, "new.jsonl"), "--suite", bank.suite]) == 3
    said = capsys.readouterr().err
    assert "the ledger cannot be written, so nobody would know what this gate asked" in said
    assert said.count("\n") == 1
    assert gate(bank, capsys, "--ledger", "none", answers=bank.answers(60, "new.jsonl"))["code"] == 0


@pytest.mark.parametrize(("rule", "code"), [("max_drop: 5", 4), ("max_drop: 5, reuse: true", 0)])
def test_a_comparison_asks_cases_again_where_its_retention_allows_it(
    make_bank: Callable[..., Bank], capsys: pytest.CaptureFixture[str], rule: str, code: int
) -> None:
    bank = make_bank(20, plan=PLAN)
    Path(bank.suite).write_text(Path(bank.suite).read_text() + f"sealed: 0\nretention: {{{rule}}}\n")
    old = bank.answers(20, "old.jsonl")
    words = ["gate", "--suite", bank.suite, "--baseline", old, "--draw", "15", "--max-drop", "50", "--responses"]
    assert main([*words, bank.answers(20, "new.jsonl")]) == 0
    capsys.readouterr()
    assert main([*words, bank.answers(19, "newer.jsonl")]) == code
    assert code or "15 cases drawn with seed 0, 10 of which were asked before" in capsys.readouterr().out


def test_the_environment_names_a_ledger_for_commands_that_name_none(
    bank: Bank, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "elsewhere")
    gate(bank, capsys)
    assert (Path("elsewhere") / FILE).is_file()
    monkeypatch.setenv(VARIABLE, "none")
    assert gate(bank, capsys, answers=bank.answers(3))["ledger"]["why_not"] == f"{VARIABLE} was none when it began"


def test_teams_share_a_folder(make_bank: Callable[..., Bank], capsys: pytest.CaptureFixture[str]) -> None:
    bank = make_bank(60, plan=PLAN)
    first = gate(bank, capsys, "--ledger", "shared", answers=bank.answers(0))
    Path("copy.jsonl").write_text((bank.folder / "cases.jsonl").read_text())
    Path("copy.yaml").write_text(Path(bank.suite).read_text().replace("cases.jsonl", "copy.jsonl"))
    main(["gate", "--responses", bank.answers(1, "o.jsonl"), "--suite", "copy.yaml", "--ledger", "shared", "--json"])
    second = json.loads(capsys.readouterr().out)
    assert not asked(first) & asked(second)
    assert second["ledger"]["before"] == 1


def test_a_bake_off_asks_every_model_the_same_cases(bank: Bank, capsys: pytest.CaptureFixture[str]) -> None:
    """Its gates are processes of their own; here as they are started, one after another."""
    one, two = (
        gate(bank, capsys, "--together", "b1", "--draw", "10", "--run", name, answers=bank.answers(n, f"{name}.jsonl"))
        for name, n in (("one", 60), ("two", 50))
    )
    assert asked(one) == asked(two)
    assert (two["ledger"]["repeats"], two["ledger"]["lineage"]) == ("", 1)  # the best of two is chosen: each counts
    other = gate(bank, capsys, answers=bank.answers(0, "later.jsonl"))
    assert not asked(one) & asked(other)


def test_an_id_of_a_bake_off_gives_no_free_tries(bank: Bank, capsys: pytest.CaptureFixture[str]) -> None:
    answers = bank.answers(0)
    tries = [gate(bank, capsys, "--together", "b1", "--seed", str(seed), answers=answers) for seed in range(3)]
    assert [one["ledger"]["lineage"] for one in tries] == [0, 1, 2]
    assert len(set().union(*map(asked, tries))) == 30


def test_a_bake_off_hands_its_ledger_and_its_id_to_its_gates(bank: Bank) -> None:
    Path("m").mkdir()
    Path("m/config.json").write_text("{}")
    options = build_parser().parse_args(["bake-off", "m", "--suite", bank.suite, "--ledger", "shared"])
    script = "import json, sys; json.dump(sys.argv, open('words.json', 'w')); print(json.dumps({'error': 'none'}))"
    suite = load_suite(Path(bank.suite), build_check)
    bake(options, suite, lambda model: ModelFacts(), lambda line: None, command=(sys.executable, "-c", script))
    words = json.loads(Path("words.json").read_text())
    assert words[words.index("--ledger") + 1] == "shared"
    assert len(words[words.index("--together") + 1]) == 32


# --- an attacker's ways ----------------------------------------------------------------------------------------------


def test_other_answers_under_the_name_and_bake_off_of_earlier_ones_are_an_attempt(
    bank: Bank, capsys: pytest.CaptureFixture[str]
) -> None:
    first = gate(bank, capsys, "--together", "b1", "--draw", "10", "--run", "one", answers=bank.answers(0))
    second = gate(bank, capsys, "--together", "b1", "--draw", "10", "--run", "two", answers=bank.answers(60))
    assert (first["verdict"], second["verdict"]) == ("FAIL", "PASS")
    assert (second["ledger"]["before"], second["ledger"]["failed"], second["reused"]) == (1, 1, 10)
    assert second["lucky_pass"] is None  # the same cases were asked before
    third = gate(bank, capsys, answers=bank.answers(1, "third.jsonl"))
    assert (third["ledger"]["before"], third["ledger"]["failed"]) == (2, 1)


def test_an_easier_rule_in_the_same_bake_off_is_another_attempt(bank: Bank, capsys: pytest.CaptureFixture[str]) -> None:
    answers = bank.answers(30)
    gate(bank, capsys, "--together", "b1", "--draw", "10", answers=answers)
    easier = gate(bank, capsys, "--together", "b1", "--draw", "10", "--accept", "2", answers=answers)
    assert easier["ledger"]["before"] == 1


def test_the_id_of_an_ordinary_gate_is_no_bake_off(bank: Bank, capsys: pytest.CaptureFixture[str]) -> None:
    first = gate(bank, capsys, answers=bank.answers(0))
    run = json.loads((bank.folder / FOLDER / FILE).read_text().splitlines()[0])["run"]
    second = gate(bank, capsys, "--together", run, "--draw", "10", answers=bank.answers(60))
    assert not asked(first) & asked(second)
    assert second["ledger"]["failed"] == 1


def test_the_same_question_as_a_chat_message_or_with_a_context_is_the_same_question(
    bank: Bank, capsys: pytest.CaptureFixture[str]
) -> None:
    first = gate(bank, capsys, answers=bank.answers(0))
    rows = [json.loads(line) for line in (bank.folder / "cases.jsonl").read_text().splitlines()]
    chats = [{**row, "prompt": [{"role": "user", "content": row["prompt"]}], "context": "n/a"} for row in rows]
    write_jsonl(bank.folder / "cases.jsonl", chats)
    second = gate(bank, capsys, answers=bank.answers(0, "again.jsonl"))
    assert not asked(first) & asked(second)
    assert second["ledger"]["failed"] == 1


def test_a_confirmed_gate_is_one_attempt(make_bank: Callable[..., Bank], capsys: pytest.CaptureFixture[str]) -> None:
    bank = make_bank(90, plan="{kind: double, draw: 10, accept: 9, confirm: {draw: 10, accept: 9}}")
    assert gate(bank, capsys, answers=bank.answers(90))["confirm"]["verdict"] == "PASS"
    assert gate(bank, capsys, answers=bank.answers(0, "later.jsonl"))["ledger"]["before"] == 1


def test_a_repeated_draw_tells_its_number_too(bank: Bank, capsys: pytest.CaptureFixture[str]) -> None:
    gate(bank, capsys, answers=bank.answers(0))
    good = bank.answers(60, "good.jsonl")
    gate(bank, capsys, answers=good)
    capsys.readouterr()
    main(["gate", "--responses", good, "--suite", bank.suite, "--run", "again"])
    said = capsys.readouterr().out
    assert "the 2nd attempt on this bank; of the 1 before, 1 failed, repeated: these answers were asked" in said


def test_another_line_end_in_the_ledger_is_tampering(bank: Bank, capsys: pytest.CaptureFixture[str]) -> None:
    gate(bank, capsys, answers=bank.answers(0))
    path = bank.folder / FOLDER / FILE
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r", 1))
    assert main(["gate", "--responses", bank.answers(60), "--suite", bank.suite]) == 5
