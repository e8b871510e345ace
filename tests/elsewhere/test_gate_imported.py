"""`tunegate gate --responses FILE` on files of other tools: from the file to a verdict, with and without a suite."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.bank import write_jsonl
from tests.support.elsewhere_files import EVERY_OPEN, FILES, HELD, LM_CHOICE, LM_OPEN, Held, named
from tests.support.record_edits import events_of, write
from tunegate.cli import main
from tunegate.record.read_run import read_run

QUESTIONS = [json.loads(line) for line in (HELD / "questions.jsonl").read_text().splitlines()]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def gate(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any], str]:
    capsys.readouterr()
    code = main(["gate", *words, "--json"])
    said = capsys.readouterr()
    return code, json.loads(said.out), said.err


def copied(held: Held) -> str:
    if held.path.suffix == ".eval":
        pytest.importorskip("zstandard")
    return str(shutil.copy(held.path, Path.cwd()))


@pytest.mark.parametrize("held", FILES, ids=named)
def test_one_command_from_a_file_to_a_verdict(held: Held, capsys: pytest.CaptureFixture[str]) -> None:
    accept = max(held.right, 1)
    code, said, told = gate(capsys, "--responses", copied(held), *held.words, "--draw", "12", "--accept", str(accept))
    counts = (held.right, 12 - held.right - len(held.without), len(held.without))
    assert (said["passed"], said["failed"], said["invalid"]) == counts
    assert code == (3 if held.without else 0 if held.right else 1)
    assert f"12 answers of {held.tool}; according to the file: " in told
    assert "judged again by the suite's checks" in told
    assert f"12 questions and targets of {held.tool}, judged by {held.check}; {accept} of 12 must pass" in told


def test_fewer_rows_than_the_draw_is_invalid_with_the_number_that_is_missing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, said, _ = gate(capsys, "--responses", copied(Held(LM_CHOICE, "", 0)))
    assert code == 3
    assert "INVALID" in said["error"]
    assert "has 12 questions, and the plan draws 100: 88 rows are missing" in said["error"]


def test_a_hundred_rows_need_no_flag(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [json.loads(line) for line in Held(LM_CHOICE, "", 0).path.read_text().splitlines()]
    many: list[dict[str, Any]] = []
    for number in range(100):
        row = json.loads(json.dumps(rows[number % 12]))
        for one in row["arguments"].values():
            one["arg_0"] = (
                one["arg_0"].replace("Q: W", f"Q: For reader {number}: w").replace("Q: H", f"Q: For reader {number}: h")
            )
        many.append({**row, "doc_id": number, "doc_hash": f"{number:064x}"[::-1]})
    code, said, told = gate(capsys, "--responses", str(write_jsonl(Path("samples_many.jsonl"), many)))
    assert (code, said["drawn"], said["accept"]) == (1, 100, 90)
    assert "90 of 100 must pass" in told


def test_the_suite_depends_on_the_questions_alone(capsys: pytest.CaptureFixture[str]) -> None:
    path = copied(Held(LM_OPEN, "", 0))
    made = {
        gate(capsys, "--responses", path, "--filter", name, "--draw", "12", "--run", name)[1]["suite_sha256"]
        for name in ("first_word", "none")
    }
    assert len(made) == 1


def test_the_record_and_the_report_say_where_the_answers_come_from(capsys: pytest.CaptureFixture[str]) -> None:
    held = Held("inspect/facts.json", "Inspect", 9)
    gate(capsys, "--responses", copied(held), "--draw", "12", "--run", "record")
    run = read_run(Path("record"))
    told = run.start["imported"]
    assert told["tool"] == "Inspect"
    assert told["told.model"] == "mockllm/model"
    assert told["told.version"] == "0.3.285"
    assert told["suite"] == "made from the file"
    page = Path("record/report.html").read_text()
    assert "facts.json (Inspect)" in page
    assert "the suite was made from" in page
    assert main(["report", "record", "--recheck"]) == 0


# --- judged again ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("held", FILES, ids=named)
@pytest.mark.parametrize("command", [["verify"], ["report", "--recheck"]], ids=["verify", "report"])
def test_a_made_suite_is_made_again_and_judges_again(
    held: Held, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--responses", copied(held), *held.words, "--draw", "12", "--accept", "1", "--run", "record"]
    code, _, _ = gate(capsys, *words)
    assert main([command[0], "record", *command[1:]]) == (0 if command[0] == "report" else code)
    said = capsys.readouterr()
    assert "the outcomes on record give the recorded verdict for the one gate; 12 answers judged again" in (
        said.out + said.err
    )


def made_gate(capsys: pytest.CaptureFixture[str]) -> Path:
    path = copied(
        next(one for one in FILES if one.path.suffix == ".jsonl" and one.right and not one.without and not one.words)
    )
    gate(capsys, "--responses", path, "--draw", "12", "--accept", "1", "--run", "record")
    return Path(path)


def verified(capsys: pytest.CaptureFixture[str], code: int, record: str = "record") -> str:
    capsys.readouterr()
    assert main(["verify", record]) == code
    said = capsys.readouterr()
    return said.out + said.err


def test_a_results_file_that_changed_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    path = made_gate(capsys)
    verified(capsys, 0)
    whole = path.read_bytes()
    path.write_bytes(whole + b"\n")
    said = verified(capsys, 5)
    assert "the file changed since the suite was made from it: it is " in said
    assert said.count("\n") == 1
    path.write_bytes(whole)
    verified(capsys, 0)
    path.unlink()
    assert f"{path.name}' is gone" in verified(capsys, 3)


def test_an_answer_on_record_that_the_file_does_not_have_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    """A record that somebody wrote by hand and sealed again: its own verdicts agree with each other."""
    path = made_gate(capsys)
    [made] = read_run(Path("record")).gates.values()
    passed = next(one.case_id for one in made.outcomes if one.verdict == "PASS")
    events = events_of(Path("record"))
    rows = [row for event in events if event["event"] == "answered" for row in event["answers"]]
    [answer] = [row for row in rows if row["id"] == passed]
    answer["response"] += " "  # the check passes it as before
    write(Path("forged"), events)
    assert f"the answer to {passed!r} on record is not that of the file" in verified(capsys, 5, "forged")
    assert path.is_file()


def test_the_part_of_the_file_that_was_chosen_is_chosen_again(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--responses", copied(Held(LM_OPEN, "", 0)), "--filter", "first_word", "--draw", "12", "--accept", "3"]
    gate(capsys, *words, "--run", "record")
    assert "12 answers judged again" in verified(capsys, 0)
    events = events_of(Path("record"))
    events[0]["suites"][next(iter(events[0]["suites"]))]["made"]["picks"]["filter"] = "none"
    write(Path("other"), events)
    assert "on record is not that of the file" in verified(capsys, 5, "other")
    del events[0]["suites"][next(iter(events[0]["suites"]))]["made"]["sha256"]
    write(Path("torn"), events)
    assert "the record does not say how the suite was made" in verified(capsys, 5, "torn")


# --- with a suite ---------------------------------------------------------------------------------------------------


def suite(**changes: Any) -> str:
    rows = [{"id": f"c{n}", "q": row["question"], **row} for n, row in enumerate(QUESTIONS)]
    write_jsonl(Path("questions.jsonl"), rows)
    spec = {
        "cases": {"path": "questions.jsonl", "id": "{id}", "prompt": "{q}", "reference": "{answer}"},
        "checks": ["exact"],
        "plan": {"draw": 12, "accept": 9},
    }
    Path("suite.yaml").write_text(json.dumps({**spec, **changes}))
    return "suite.yaml"


@pytest.mark.parametrize(
    "held",
    [one for one in FILES if one.file in ("inspect/facts.json", "deepeval/test_run.json", "openai_evals/facts.jsonl")],
    ids=named,
)
def test_answers_are_matched_by_the_question_whatever_the_ids(held: Held, capsys: pytest.CaptureFixture[str]) -> None:
    code, said, told = gate(capsys, "--responses", copied(held), "--suite", suite())
    assert said["passed"] == held.right
    assert code == (3 if held.without else 0)
    assert "belong to no case" not in told


def test_answers_to_a_longer_prompt_are_matched_by_the_id(capsys: pytest.CaptureFixture[str]) -> None:
    ids = {"path": "questions.jsonl", "id": "{number}", "prompt": "{q}", "reference": "{answer}"}
    name = suite(cases=ids)
    write_jsonl(
        Path("questions.jsonl"), [{"number": n, "q": row["question"], **row} for n, row in enumerate(QUESTIONS)]
    )
    path = copied(Held("nemo/results.jsonl", "", 0))
    code, said, told = gate(capsys, "--responses", path, "--suite", name)
    assert (code, said["passed"], said["invalid"]) == (3, 9, 1)
    assert "12 prompts have more text around the case's question, and were matched by their ids" in told
    write_jsonl(
        Path("questions.jsonl"), [{"number": n, "q": row["question"], **row} for n, row in enumerate(QUESTIONS[::-1])]
    )
    code, said, _ = gate(capsys, "--responses", path, "--suite", name)
    assert code == 2
    assert "no answer in this file of NeMo Evaluator belongs to a case of the suite: first '0', asked" in said["error"]


def test_likelihoods_come_in_the_order_of_the_cases_choices(capsys: pytest.CaptureFixture[str]) -> None:
    prompt = "Q: Which colour is the sky?\nA: blue\n\nQ: {question}\nA:"
    cases = {"path": "questions.jsonl", "prompt": prompt, "reference": "{answer}", "choices": "{shuffled}"}
    name = suite(cases=cases, checks=["choice"])
    write_jsonl(Path("questions.jsonl"), [{"shuffled": row["choices"][::-1], **row} for row in QUESTIONS])
    path = copied(Held(LM_CHOICE, "", 0))
    code, said, _ = gate(capsys, "--responses", path, "--suite", name)
    assert (code, said["passed"]) == (0, 9)
    write_jsonl(Path("questions.jsonl"), [{"shuffled": [row["answer"], "x", "y"], **row} for row in QUESTIONS])
    code, said, _ = gate(capsys, "--responses", path, "--suite", name)
    assert code == 2
    assert "the choices of '073ae7bd3611' are not those of case" in said["error"]


def test_answers_to_no_case_are_counted_and_missing_ones_are_invalid(capsys: pytest.CaptureFixture[str]) -> None:
    name = suite(plan={"draw": 6, "accept": 5})
    rows = [json.loads(line) for line in Path("questions.jsonl").read_text().splitlines()]
    write_jsonl(Path("questions.jsonl"), rows[:6])
    path = copied(Held("deepeval/test_run.json", "", 0))
    code, said, told = gate(capsys, "--responses", path, "--suite", name)
    assert (code, said["passed"]) == (0, 5)
    assert "6 of 12 answers belong to no case and are not used, first 'q6'" in told
    write_jsonl(Path("questions.jsonl"), [*rows, *({**rows[0], "id": f"n{n}", "q": f"Number {n}?"} for n in range(9))])
    suite_text = json.loads(Path(name).read_text())
    Path(name).write_text(json.dumps({**suite_text, "plan": {"draw": 15, "accept": 9}}))
    code, said, _ = gate(capsys, "--responses", path, "--suite", name)
    assert code == 2
    assert (
        "9 of 21 cases that may be drawn from the suite 'suite' have no answer; add rows for n0, n1," in said["error"]
    )


def test_a_suite_that_says_how_rows_are_read_reads_them_itself(capsys: pytest.CaptureFixture[str]) -> None:
    cases = {"path": "questions.jsonl", "id": "{n}", "prompt": "{q}", "reference": "{answer}"}
    name = suite(cases=cases, responses={"id": "{doc_id}", "response": "{filtered_resps.0}"})
    rows = [{"n": n, "q": row["question"], **row} for n, row in enumerate(QUESTIONS)]
    write_jsonl(Path("questions.jsonl"), rows)
    lines = Held(LM_OPEN, "", 0).path.read_text().splitlines()
    Path("first.jsonl").write_text("\n".join(line for line in lines if '"filter": "first_word"' in line))
    code, said, told = gate(capsys, "--responses", "first.jsonl", "--suite", name)
    assert (code, said["passed"]) == (1, 3)
    assert "lm-evaluation-harness" not in told
    code, said, _ = gate(capsys, "--responses", "first.jsonl", "--suite", name, "--filter", "first_word")
    assert code == 2
    assert "--filter: has no effect: the suite's `responses` says how the rows are read" in said["error"]


def test_two_files_of_other_tools_are_compared(capsys: pytest.CaptureFixture[str]) -> None:
    inspect, deepeval = copied(Held("inspect/facts.json", "", 0)), copied(Held("deepeval/test_run.json", "", 0))
    words = ["--responses", deepeval, "--baseline", inspect, "--suite", suite(), "--max-drop", "100"]
    code, said, _ = gate(capsys, *words)
    assert code in (0, 3, 4)
    assert said["baseline"]["model"].endswith("facts.json (Inspect)")


# --- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["m", "--suite", "suite.yaml", "--filter", "x"],
            "--filter: only for --responses with the file of another tool",
        ),
        (["m"], "the following arguments are required: --suite"),
        (
            ["--responses", "own.jsonl"],
            "own.jsonl: give the suite of these answers: --suite FILE; without it, only files of",
        ),
        (["--responses", "cut.json"], "cut.json: not valid JSON"),
        (["--responses", "missing.jsonl"], "missing.jsonl: no such file"),
        (
            ["--responses", "own.jsonl", "--suite", "suite.yaml", "--epoch", "1"],
            "--epoch: has no effect: own.jsonl is not",
        ),
        (
            ["--responses", "bare.jsonl"],
            "bare.jsonl:1: the file has no prompt for '0', so no suite can be made from it",
        ),
        (["--responses", "free.jsonl"], "free.jsonl: this file of NeMo Evaluator has no targets"),
    ],
)
def test_what_is_refused_in_one_line(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    suite()
    write_jsonl(Path("own.jsonl"), [{"id": "c0", "response": "x"}])
    Path("cut.json").write_text('{"results": {')
    bare = {"problem_idx": 0, "reward": 1.0, "model_response": "x", "expected_answer": "x"}
    write_jsonl(Path("bare.jsonl"), [bare])
    write_jsonl(
        Path("free.jsonl"), [{**bare, "problem_idx": n, "prompt": f"{n}?", "expected_answer": None} for n in range(100)]
    )
    code, said, _ = gate(capsys, *words)
    assert code == 2
    assert message in said["error"]
    assert "\n" not in said["error"]


def test_letters_are_taken_out_of_answers_in_sentences(capsys: pytest.CaptureFixture[str]) -> None:
    log = json.loads((HELD / "inspect" / "facts.json").read_text())
    for sample in log["samples"]:
        sample.pop("error", None)
        sample["choices"], sample["target"] = ["one", "two"], "B"
        sample["output"] = {"completion": "Let me think.\n\nANSWER: B", "choices": [{"stop_reason": "stop"}]}
    Path("log.json").write_text(json.dumps(log))
    code, said, _ = gate(capsys, "--responses", "log.json", "--draw", "12")
    assert (code, said["passed"]) == (0, 12)


def test_every_eval_ever_names_its_evaluations(capsys: pytest.CaptureFixture[str]) -> None:
    code, said, _ = gate(capsys, "--responses", copied(Held(EVERY_OPEN, "", 0)), "--draw", "12")
    assert code == 2
    assert "choose one: --filter facts_open/first_word or --filter facts_open" in said["error"]


def test_pytest_reads_the_same_files() -> None:
    suite()
    shutil.copy("suite.yaml", "facts.gate.yaml")
    path = copied(Held("deepeval/test_run.json", "", 0))
    words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--tunegate-responses", path, "facts.gate.yaml"]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "12 answers of DeepEval" in done.stdout
