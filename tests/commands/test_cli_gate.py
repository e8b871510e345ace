"""`tunegate gate`: the contract for scripts, what people see, and what an interruption costs."""

from __future__ import annotations

import json
import os
import pty
import shlex
import shutil
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import binom, binomtest

from tests.support.bank import Bank, write_jsonl
from tests.support.ci_log import commands_in
from tunegate.cases.bank import draw_order
from tunegate.cli import main
from tunegate.record.event_log import EVENTS, EventLog, read_events

Capture = pytest.CaptureFixture[str]
TUNEGATE = [sys.executable, "-c", "from tunegate.cli import console_main; console_main()"]


def gate_json(capsys: Capture, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Run `tunegate gate ... --json`; returns the exit code and the object that stands alone on standard output."""
    code = main(["gate", *arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)


# --- the contract for scripts --------------------------------------------------------------------------------------


def test_a_gate_says_how_likely_a_lucky_pass_was(bank: Bank, capsys: Capture, tmp_path: Path) -> None:
    """In the terminal, the report and the summary; a gate that missed has nothing to say of it."""
    html, markdown = tmp_path / "r.html", tmp_path / "r.md"
    reports = ["--report", str(html), "--markdown", str(markdown)]
    for right, said in ((95, True), (89, False)):
        main(["gate", "--responses", bank.answers(right), "--suite", bank.suite, *reports])
        sentence = "right only 85% of the time would have passed this gate within one attempt with probability 0.099"
        sentence += "; this PASS shows a pass rate above 83.6 %: a model below would have passed with at most 5 %"
        assert (sentence in capsys.readouterr().out) is said
        for file in (html, markdown):
            assert (sentence in file.read_text(encoding="utf-8")) is said, file
        _, result = gate_json(capsys, "--responses", bank.answers(right), "--suite", bank.suite)
        assert (result["lucky_pass"] is not None) is said


def test_the_json_of_a_gate(bank: Bank, capsys: Capture) -> None:
    code, result = gate_json(capsys, "--responses", bank.answers(95), "--suite", bank.suite, "--seed", "3")
    assert code == 0
    assert list(result) == [
        "verdict",
        "reasons",
        "drawn",
        "passed",
        "failed",
        "invalid",
        "asked",
        "spared",
        "accept",
        "interval",
        "interval_selected",
        "seed",
        "suite_sha256",
        "model_sha256",
        "error_categories",
        "reused",
        "ledger",
        "asked_again",
        "judged_again",
        "in_common",
        "cases",
        "gate_interval",
        "lucky_pass",
        "confirm",
        "record",
        "report",
    ]
    assert Path(result["record"]).name == EVENTS
    assert Path(result["record"]).is_file()
    assert Path(result["report"]).read_text().startswith("<!doctype html>")
    luck = pytest.approx(binom.sf(89, 100, 0.85), abs=1e-9)
    shows = pytest.approx(0.8363, abs=5e-5)
    assert result["lucky_pass"] == {
        "at": 0.85,
        "probability": luck,
        "at_most": None,
        "independent": None,
        "shows": shows,
        "shows_at_least": None,
    }
    expected = binomtest(95, 100).proportion_ci(method="exact")
    assert result["interval"] == pytest.approx([expected.low, expected.high], abs=1e-9)
    counts = {name: result[name] for name in ("verdict", "drawn", "passed", "failed", "invalid", "accept", "seed")}
    assert counts == {
        "verdict": "PASS",
        "drawn": 100,
        "passed": 95,
        "failed": 5,
        "invalid": 0,
        "accept": 90,
        "seed": 3,
    }
    assert len(bytes.fromhex(result["suite_sha256"])) == 32
    assert result["model_sha256"] is None
    assert result["error_categories"] == {}
    assert [case["id"] for case in result["cases"]] == draw_order(bank.ids, 3)
    for case in result["cases"]:
        right = case["id"] in bank.ids[:95]
        asked = ["prompt", "response", "references", "tags"]
        assert list(case) == ["id", *asked, "verdict", "scores", "errors", "reason", "samples"]
        name, answer = case["id"], f"answer {case['id']}"
        assert [case[key] for key in asked] == [f"What is {name}?", answer if right else "?", [answer], []]
        assert case["verdict"] == ("PASS" if right else "FAIL")
        assert case["scores"] == {"exact": right}
        assert case["errors"] == []
        assert bool(case["reason"]) == (not right)


@pytest.mark.parametrize(
    ("right", "code", "verdict"), [(89, 1, "FAIL"), (90, 0, "PASS"), (0, 1, "FAIL"), (100, 0, "PASS")]
)
def test_89_is_not_enough_and_90_is(bank: Bank, capsys: Capture, right: int, code: int, verdict: str) -> None:
    got, result = gate_json(capsys, "--responses", bank.answers(right), "--suite", bank.suite)
    assert (got, result["verdict"], result["passed"], result["drawn"]) == (code, verdict, right, 100)


def test_error_categories_are_counted_by_case(make_bank: Callable[..., Bank], capsys: Capture) -> None:
    pytest.importorskip("py3langid")
    bank = make_bank(checks="[{errors: {forbid: [empty]}}]")
    rows = [{"id": case_id, "response": "" if n < 4 else "fine"} for n, case_id in enumerate(bank.ids)]
    path = write_jsonl(bank.folder / "r.jsonl", rows)
    code, result = gate_json(capsys, "--responses", str(path), "--suite", bank.suite)
    assert (code, result["error_categories"]) == (0, {"empty": 4})
    spans = [case["errors"] for case in result["cases"] if case["errors"]]
    assert spans == [[{"category": "empty", "start": 0, "end": 0, "text": ""}]] * 4


def test_a_metric_that_raises_on_one_case_leaves_the_denominator(
    make_bank: Callable[..., Bank], capsys: Capture
) -> None:
    bank = make_bank(checks="['python: metric:fragile']".replace("'", ""))
    (bank.folder / "metric.py").write_text(
        "def fragile(case, text):\n    return len(text) / (case.id != 'case-007') > 0\n"
    )
    arguments = ["--responses", bank.answers(100), "--suite", bank.suite]
    code, result = gate_json(capsys, *arguments)
    assert code == 3
    assert [result[key] for key in ("verdict", "drawn", "passed", "failed", "invalid")] == ["INVALID", 100, 99, 0, 1]
    [unjudged] = [case for case in result["cases"] if case["verdict"] == "INVALID"]
    assert unjudged["id"] == "case-007"
    assert "ZeroDivisionError" in unjudged["reason"]
    assert len(result["cases"]) == 100
    assert main(["gate", *arguments]) == 3
    out = capsys.readouterr().out
    assert "not judged: case-007: " in out
    assert "INVALID: 99 of 100" in out


@pytest.mark.parametrize("ending", ["sys.exit(0)", "os._exit and sys.exit()", "raise SystemExit"])
def test_a_metric_cannot_end_the_gate_with_0(make_bank: Callable[..., Bank], capsys: Capture, ending: str) -> None:
    bank = make_bank(checks="[{python: 'metric:quit'}]")
    (bank.folder / "metric.py").write_text(f"import os, sys\ndef quit(case, text):\n    {ending}\n")
    code, result = gate_json(capsys, "--responses", bank.answers(100), "--suite", bank.suite)
    assert (code, result["verdict"], result["invalid"]) == (3, "INVALID", 100)


def test_a_module_that_exits_when_it_is_imported_passes_nothing(
    make_bank: Callable[..., Bank], capsys: Capture
) -> None:
    bank = make_bank(checks="[{python: 'metric:m'}]")
    (bank.folder / "metric.py").write_text("raise SystemExit(0)\n")
    assert main(["gate", "--responses", bank.answers(100), "--suite", bank.suite]) not in (0, 1)


def test_fewer_answers_than_cases_are_not_judged(bank: Bank, capsys: Capture) -> None:
    rows = [{"id": case_id, "response": f"answer {case_id}"} for case_id in bank.ids[:95]]
    path = write_jsonl(bank.folder / "some.jsonl", [*rows, {"id": "stranger", "response": "x"}])
    code = main(["gate", "--responses", str(path), "--suite", bank.suite, "--json"])
    captured = capsys.readouterr()
    assert code == 2
    missing = [case_id for case_id in bank.ids if case_id not in {row["id"] for row in rows}]
    assert json.loads(captured.out)["error"] == (
        f"{path}: 5 of 100 cases that may be drawn from the suite 'suite' have no answer; add rows for "
        f"{', '.join(missing[:3])}, …; nothing was drawn, so no case is used up"
    )
    assert "1 of 96 ids belong to no case and are not used, first 'stranger'" in captured.err
    assert "5 of 100 prompts of the bank have no response" in captured.err


def test_draw_accept_and_seed_are_settings(bank: Bank, capsys: Capture) -> None:
    arguments = ["--responses", bank.answers(90), "--suite", bank.suite, "--draw", "20", "--accept", "20"]
    results = [gate_json(capsys, *arguments, "--seed", str(seed))[1] for seed in range(3)]
    assert {(result["drawn"], result["accept"]) for result in results} == {(20, 20)}
    assert len({result["cases"][0]["id"] for result in results}) > 1


@pytest.mark.parametrize(
    "arguments",
    [["--draw", "101", "--accept", "90"], ["--draw", "0"], ["--accept", "0"], ["--accept", "101"]],
)
def test_plans_that_cannot_be_are_usage_errors(bank: Bank, capsys: Capture, arguments: list[str]) -> None:
    assert main(["gate", "--responses", bank.answers(100), "--suite", bank.suite, *arguments, "--json"]) == 2
    captured = capsys.readouterr()
    assert json.loads(captured.out)["verdict"] is None
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize("arguments", [[], ["model", "--responses", "r.jsonl"]])
def test_one_of_model_and_responses(bank: Bank, capsys: Capture, arguments: list[str]) -> None:
    assert main(["gate", *arguments, "--suite", bank.suite]) == 2
    assert "give either a model or --responses FILE" in capsys.readouterr().err


def test_an_unknown_option_names_the_nearest(capsys: Capture) -> None:
    assert main(["gate", "--suite", "s", "--sed", "3", "--jnuit", "x"]) == 2
    assert "did you mean" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("gate --respones x", "gate: unknown argument --respones (did you mean '--responses' or '--report' or "),
        (
            "report A --md",
            "report: unknown argument --md (did you mean '--embed' or '--html' or '--markdown'?); try `tunegate report",
        ),
        ("report A -m", "report: unknown argument -m (did you mean '-h'"),
        (
            "gates",
            ": no command is named 'gates' (did you mean 'gate' or 'attest' or 'generate'?); try `tunegate --help`",
        ),
        ("suite expnd", "suite: no command is named 'expnd' (did you mean 'expand'?); try `tunegate suite --help`"),
        ("suite --json cue-report x", "suite cue-report: the following arguments are required: --positive"),
        ("gate --json", "gate: give either a model or --responses FILE"),
        ("plan --draw -5", "plan: --draw: expected at least 1, got -5"),
        ("init --recipe nope", "init: --recipe nope: no such recipe; known: generalize, journey, "),
        (
            "init --example orpoo",
            "init: --example orpoo: no such example (did you mean 'orpo'?); known: cpt, dpo-misses",
        ),
    ],
)
def test_a_wrong_word_is_held_against_the_words_of_its_command(capsys: Capture, arguments: str, line: str) -> None:
    """On one line, and for scripts as an object where they look for the result."""
    words = arguments.split()
    assert main(words) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith((f"tunegate {line}", f"tunegate{line}"))
    assert captured.err.count("\n") == 1
    if words[0] != "gates":
        assert main([*words, "--json"]) == 2
        said = json.loads(capsys.readouterr().out)
        assert (said["verdict"], said["exit_code"]) == (None, 2)
        assert said["error"] in captured.err


def test_a_gate_is_no_run_that_could_be_promoted(bank: Bank, capsys: Capture) -> None:
    assert main(["gate", "--responses", bank.answers(100), "--suite", bank.suite, "--run", "alone"]) == 0
    capsys.readouterr()
    assert main(["promote", "alone"]) == 2
    assert capsys.readouterr().err == (
        "tunegate promote: alone: a gate, not a run; only a model that `tunegate run` trained and gated can be "
        "promoted; give its run folder\n"
    )


def test_what_begins_with_a_dash_may_be_a_value(bank: Bank, capsys: Capture) -> None:
    responses = bank.answers(100)
    assert main(["gate", "--responses", responses, "--suite", bank.suite, "--see", "-3", "--cur"]) == 0
    assert main(["data", responses, "--prompt", "-- {id} of all", "--completion", "{response}"]) == 0


def test_a_curtailed_gate_says_the_same_and_how_many_it_spared(bank: Bank, capsys: Capture) -> None:
    for right, code, asked in ((50, 1, None), (95, 0, 100)):
        stored = ("--responses", bank.answers(right), "--suite", bank.suite, "--draw", "100", "--accept", "90")
        whole, curtailed = gate_json(capsys, *stored), gate_json(capsys, *stored, "--curtail")
        assert whole[0] == curtailed[0] == code
        assert whole[1]["asked"] == 100
        assert curtailed[1]["asked"] + curtailed[1]["spared"] == 100
        assert curtailed[1]["asked"] == asked or (asked is None and curtailed[1]["asked"] < 60)


# --- what people see -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("right", "verdict"), [(89, "FAIL"), (90, "PASS")])
def test_the_terminal_shows_little_and_ends_with_what_counts(
    bank: Bank, capsys: Capture, right: int, verdict: str
) -> None:
    main(["gate", "--responses", bank.answers(right), "--suite", bank.suite])
    captured = capsys.readouterr()
    lines = (captured.out + captured.err).splitlines()
    assert len(lines) <= 12
    assert lines[-2].startswith(f"{verdict}: {right} of 100, 90 needed")
    report, _, missed = lines[-1].partition("; missed: ")
    assert Path(report.removeprefix("report: ")).is_file()
    shown = missed.removesuffix(f" and {100 - right - 12} more").split(", ")
    assert set(shown) <= set(bank.ids[right:])
    assert len(shown) == min(100 - right, 12)


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ({"slices": "{late=True: 0.8}"}, "reason: late=True: 5 of 10, 8 of 10 needed"),
        (
            {"gap": "{between: [late=True, late=False], at_least: 10}"},
            "reason: late=False passes 90 of 90, late=True 5",
        ),
    ],
)
def test_what_fails_a_gate_whose_count_would_do_is_said(
    make_bank: Callable[..., Bank], capsys: Capture, rule: dict[str, str], reason: str
) -> None:
    bank = make_bank(100, **rule)
    rows = [
        {"id": i, "prompt": f"{i}?", "reference": f"answer {i}", "tags": [f"late={n >= 90}"]}
        for n, i in enumerate(bank.ids)
    ]
    write_jsonl(bank.folder / "cases.jsonl", rows)
    assert main(["gate", "--responses", bank.answers(95), "--suite", bank.suite]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[-3].startswith("FAIL: 95 of 100, 90 needed (95 % interval")
    assert lines[-2].startswith(reason)


def test_an_id_cannot_write_a_verdict_on_the_terminal(make_bank: Callable[..., Bank], capsys: Capture) -> None:
    bank = make_bank(2, plan="{draw: 2, accept: 2}")
    evil = "x\x1b[2K\r\nPASS: 2 of 2, 2 needed\u202e\u2028"
    write_jsonl(bank.folder / "cases.jsonl", [{"id": i, "prompt": f"{i}?", "reference": "y"} for i in (evil, "b")])
    path = write_jsonl(bank.folder / "r.jsonl", [{"id": i, "response": "no"} for i in (evil, "b")])
    assert main(["gate", "--responses", str(path), "--suite", bank.suite]) == 1
    out = capsys.readouterr().out
    assert not any(line.startswith("PASS") for line in out.splitlines())
    assert not set(out) & set("\x1b\r\u202e\u2028")
    assert r"x\x1b[2K\r\nPASS" in out


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_an_answer_gives_no_command_to_ci(make_bank: Callable[..., Bank], capsys: Capture, options: list[str]) -> None:
    """Neither by an id nor by a reason that quotes it, nor by a metric that raises with the answer in its message."""
    bank = make_bank(4, plan="{draw: 4, accept: 4}", checks="[exact, {python: {function: 'metrics:m', min: 0}}]")
    (bank.folder / "metrics.py").write_text("def m(case, answer):\n    raise ValueError(f'\\n{answer}')\n")
    ids = ["::error::boom", "##vso[task.complete result=Succeeded]", "x\n::set-output name=a::b", "##[error]"]
    write_jsonl(bank.folder / "cases.jsonl", [{"id": i, "prompt": f"{i}?", "reference": "y"} for i in ids])
    path = write_jsonl(bank.folder / "r.jsonl", [{"id": i, "response": i} for i in [*ids, "##[error]unknown"]])
    assert main(["gate", "--responses", str(path), "--suite", bank.suite, "--markdown", "m.md", *options]) == 3
    captured = capsys.readouterr()
    assert "task.complete" in captured.out
    for text in (captured.out, captured.err, Path("m.md").read_text()):
        assert commands_in(text) == []
    assert not options or {case["id"] for case in json.loads(captured.out)["cases"]} == set(ids)


def test_reports_go_where_they_are_asked_for(bank: Bank, capsys: Capture) -> None:
    names = ["r.html", "j.xml", "m.md"]
    options = [
        part
        for option, name in zip(["--report", "--junit", "--markdown"], names, strict=True)
        for part in (option, name)
    ]
    assert main(["gate", "--responses", bank.answers(89), "--suite", bank.suite, *options]) == 1
    for name in names:
        assert "89" in (bank.folder / name).read_text(encoding="utf-8")
    assert capsys.readouterr().out.splitlines()[-1].startswith("report: r.html")


def test_output_without_unicode_is_no_reason_to_fail(bank: Bank) -> None:
    rows = [{"id": f"{i} 😀 שלום", "prompt": f"{i}?", "reference": "x"} for i in range(100)]
    write_jsonl(bank.folder / "cases.jsonl", rows)
    path = write_jsonl(bank.folder / "r.jsonl", [{"id": row["id"], "response": "half \ud83d"} for row in rows])
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "LC_ALL": "C"}
    for options in ([], ["--json"]):
        arguments = ["gate", "--responses", str(path), "--suite", bank.suite, *options]
        done = subprocess.run([*TUNEGATE, *arguments], capture_output=True, env=environment, check=False)
        assert (done.returncode, b"Traceback" in done.stderr) == (1, False)
    assert json.loads(done.stdout)["cases"][0]["id"].endswith("😀 שלום")


# --- going on ------------------------------------------------------------------------------------------------------

HELD_METRIC = """
import time
from pathlib import Path
CALLS, HOLD = (Path(__file__).with_name(name) for name in ("calls.txt", "hold"))
def held(case, text):
    with CALLS.open("a") as file:
        file.write(case.id + "\\n")
    while HOLD.exists() and len(CALLS.read_text().split()) == 10:
        time.sleep(0.01)
    return text != "?"
"""


@pytest.fixture
def held(make_bank: Callable[..., Bank]) -> Bank:
    """A metric that tells for which cases it is called; the tenth takes as long as there is a file named `hold`."""
    bank = make_bank(checks="[{python: 'metric:held'}]")
    (bank.folder / "metric.py").write_text(HELD_METRIC)
    return bank


def calls(bank: Bank) -> list[str]:
    path = bank.folder / "calls.txt"
    return path.read_text().split() if path.exists() else []


@contextmanager
def holding(bank: Bank, arguments: list[str], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A gate that is judging its tenth case, until the block ends."""
    hold = bank.folder / "hold"
    hold.touch()
    process = subprocess.Popen(
        [*TUNEGATE, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )
    try:
        while len(calls(bank)) < 10:
            assert process.poll() is None
            time.sleep(0.01)
        yield process
    finally:
        hold.unlink()


def recorded(folder: Path) -> list[str]:
    return [event["outcome"]["case_id"] for event in read_events(folder) if event["event"] == "outcome"]


def start_and_stop(bank: Bank, arguments: list[str], how: signal.Signals) -> subprocess.CompletedProcess[str]:
    def heed_ctrl_c() -> None:  # which is ignored when the tests run in the background
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    with holding(bank, arguments, preexec_fn=heed_ctrl_c) as process:
        process.send_signal(how)
        out, err = process.communicate()
    return subprocess.CompletedProcess(arguments, process.returncode, out, err)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_going_on_recomputes_nothing_and_equals_an_uninterrupted_run(held: Bank, how: signal.Signals) -> None:
    arguments = ["gate", "--responses", held.answers(93), "--suite", held.suite, "--json"]
    stopped = start_and_stop(held, arguments, how)
    assert stopped.stdout == ""
    [folder] = (held.folder / "tunegate-runs").iterdir()
    finished = recorded(folder)
    assert 5 <= len(finished) < 100
    if how is signal.SIGINT:
        assert stopped.returncode == 130
        assert "%" not in stopped.stderr
        assert "Traceback" not in stopped.stderr
        resume = stopped.stderr.strip().splitlines()[-1]
        assert resume == f"interrupted; to go on: {shlex.join(['tunegate', *arguments])}"

    (held.folder / "calls.txt").unlink()
    resumed = subprocess.run([*TUNEGATE, *arguments], capture_output=True, check=False)
    assert resumed.returncode == 0
    again = calls(held)
    assert not set(again) & set(finished)
    assert sorted([*again, *finished]) == sorted(held.ids)
    whole = subprocess.run([*TUNEGATE, *arguments, "--run", "uninterrupted"], capture_output=True, check=False)
    there = json.loads(resumed.stdout)["record"].removesuffix(f"/{EVENTS}")  # the one thing that may differ
    assert whole.stdout == resumed.stdout.replace(there.encode(), b"uninterrupted")
    assert len(calls(held)) == len(again) + 100


def test_an_interruption_of_any_case_costs_that_case_only(bank: Bank, capsys: Capture) -> None:
    arguments = ["gate", "--responses", bank.answers(93), "--suite", bank.suite, "--json"]
    assert main(arguments) == 0
    whole = capsys.readouterr().out
    [folder] = (bank.folder / "tunegate-runs").iterdir()
    lines = (folder / EVENTS).read_bytes().splitlines(keepends=True)
    for kept in (0, 1, 2, 3, 50, 100, 101, 102):
        for torn in (b"", lines[kept][:-7]):
            (folder / EVENTS).write_bytes(b"".join(lines[:kept]) + torn)
            assert main(arguments) == 0
            assert capsys.readouterr().out == whole
            assert len(recorded(folder)) == 100


def test_a_case_that_could_not_be_judged_is_judged_again(make_bank: Callable[..., Bank], capsys: Capture) -> None:
    bank = make_bank(checks="[{python: 'metric:m'}]")
    (bank.folder / "metric.py").write_text(
        "from pathlib import Path\n"
        "def m(case, text):\n"
        "    if case.id == 'case-001' and not Path(__file__).with_name('up').exists():\n"
        "        raise ConnectionError('the judge is down')\n"
        "    return True\n"
    )
    arguments = ["--responses", bank.answers(100), "--suite", bank.suite]
    assert gate_json(capsys, *arguments)[0] == 3
    (bank.folder / "up").write_text("")
    code, result = gate_json(capsys, *arguments)
    assert (code, result["passed"], len(result["cases"])) == (0, 100, 100)
    [folder] = (bank.folder / "tunegate-runs").iterdir()
    assert len(recorded(folder)) == 101


def test_a_second_gate_of_the_same_kind_gets_a_record_of_its_own(bank: Bank, capsys: Capture) -> None:
    arguments = ["--responses", bank.answers(93), "--suite", bank.suite]
    (code, one), (again, other) = gate_json(capsys, *arguments), gate_json(capsys, *arguments)
    places = [{key: result.pop(key) for key in ("record", "report")} for result in (one, other)]
    assert (code, one) == (again, other)
    assert places[0]["record"] != places[1]["record"]
    assert len(list((bank.folder / "tunegate-runs").iterdir())) == 2


def test_a_named_folder_that_holds_another_gate_is_refused(bank: Bank, capsys: Capture) -> None:
    arguments = ["gate", "--responses", bank.answers(93), "--suite", bank.suite, "--run", "here"]
    assert main(arguments) == 0
    assert main([*arguments, "--seed", "1"]) == 2
    assert main([*arguments, "--accept", "80"]) == 2
    bank.answers(92)
    assert main(arguments) == 2
    assert "holds another gate" in capsys.readouterr().err


@pytest.mark.parametrize("old_new", [(b'"verdict": "FAIL"', b'"verdict": "PASS"'), (b'"passed": 89', b'"passed": 90')])
def test_a_verdict_that_was_edited_is_not_believed(bank: Bank, capsys: Capture, old_new: tuple[bytes, bytes]) -> None:
    arguments = ["gate", "--responses", bank.answers(89), "--suite", bank.suite, "--run", "here"]
    assert main(arguments) == 1
    events = bank.folder / "here" / EVENTS
    *before, last = events.read_bytes().splitlines(keepends=True)
    assert old_new[0] in last
    events.write_bytes(b"".join(before) + last.replace(*old_new))
    assert main(arguments) == 5
    assert main(["report", "here", "--recheck"]) == 5


def test_recheck_asks_whether_the_record_agrees_and_not_for_the_verdict(bank: Bank, capsys: Capture) -> None:
    assert main(["gate", "--responses", bank.answers(89), "--suite", bank.suite, "--run", "r"]) == 1
    assert main(["report", "r", "--recheck"]) == 0
    said = capsys.readouterr()
    assert "give the recorded verdict for the one gate" in said.err
    with pytest.raises(SystemExit):
        main(["report", "--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert "The exit code is not the run's verdict" in told
    assert "5: they do not" in told


@pytest.mark.parametrize("command", ["verify r", "report r --recheck"])
def test_a_record_without_a_gate_verifies_nothing(bank: Bank, capsys: Capture, command: str) -> None:
    """A gate that found too few fresh cases leaves such a record: no verdict may follow from it."""
    Path("r").mkdir()
    Path("r", "events.jsonl").touch()
    assert main(command.split()) == 3
    assert "r: it has no gate, so there is nothing to verify" in capsys.readouterr().err


def test_a_verdict_that_was_forged_with_all_hashes_is_not_believed_either(bank: Bank, capsys: Capture) -> None:

    arguments = ["gate", "--responses", bank.answers(89), "--suite", bank.suite, "--run"]
    assert main([*arguments, "honest"]) == 1
    with EventLog.open(bank.folder / "forged") as log:
        for event in read_events(bank.folder / "honest"):
            decided = {"verdict": "PASS", "passed": 90, "failed": 10} if event["event"] == "gate_decided" else {}
            log.append({**event, **decided})
    assert main([*arguments, "forged"]) == 5
    assert main(["report", "forged", "--recheck"]) == 5
    assert "its outcomes give FAIL with 89" in capsys.readouterr().err


def test_two_gates_at_once_in_one_folder_the_second_is_refused(held: Bank) -> None:
    arguments = ["gate", "--responses", held.answers(93), "--suite", held.suite, "--run", "here"]
    with holding(held, arguments) as first:
        second = subprocess.run([*TUNEGATE, *arguments], capture_output=True, text=True, check=False)
    assert (second.returncode, second.stdout) == (2, "")
    assert "another tunegate process is writing" in second.stderr
    first.communicate()
    assert first.returncode == 0
    assert sorted(calls(held)) == sorted(held.ids)


def test_progress_on_a_terminal_shows_no_percentage(held: Bank) -> None:
    main_fd, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 80))
    arguments = ["gate", "--responses", held.answers(93), "--suite", held.suite, "--json"]
    process = subprocess.Popen([*TUNEGATE, *arguments], stdout=subprocess.DEVNULL, stderr=terminal)
    os.close(terminal)
    shown = b""
    while True:
        try:
            shown += os.read(main_fd, 4096)
        except OSError:
            break
    os.close(main_fd)
    assert process.wait() == 0
    assert b"of 100" in shown
    assert b"%" not in shown


def test_a_record_that_is_replaced_while_it_is_written_is_not_believed(held: Bank, tmp_path: Path) -> None:
    """Whoever swaps the file under a running gate gets no verdict from it."""
    good, bad = held.answers(95), held.folder / "bad.jsonl"
    assert main(["gate", "--responses", good, "--suite", held.suite, "--run", str(tmp_path / "good")]) == 0
    (held.folder / "calls.txt").unlink()
    bad.write_text("".join(json.dumps({"id": one, "response": "wrong"}) + "\n" for one in held.ids))
    arguments = ["gate", "--responses", str(bad), "--suite", held.suite, "--run", str(tmp_path / "bad")]
    with holding(held, arguments) as process:
        shutil.copy(tmp_path / "good" / EVENTS, tmp_path / "copy")
        os.replace(tmp_path / "copy", tmp_path / "bad" / EVENTS)
    stdout, _ = process.communicate()
    assert (process.returncode, stdout) == (5, "")


def test_no_report_is_written_over_a_record(bank: Bank, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["gate", "--responses", bank.answers(93), "--suite", bank.suite, "--run", str(tmp_path / "run")]
    assert main([*arguments, "--junit", str(tmp_path / "run" / EVENTS)]) == 2
    assert "a report must not overwrite" in capsys.readouterr().err
    assert main(["report", str(tmp_path / "run")]) == 0
