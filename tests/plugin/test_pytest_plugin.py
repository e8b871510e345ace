"""The pytest plugin, by real runs of pytest in a process of their own, on stored answers and on a real tiny model."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from tests.support.bank import Bank, write_jsonl
from tests.support.ci_log import commands_in
from tests.support.judge_server import Reply, judge_server
from tests.support.pytest_server import PytestServer
from tests.support.record_edits import events_of, write
from tests.support.tiny_model import make_tiny_model
from tunegate.checks.outcome import Verdict
from tunegate.cli import main
from tunegate.record.read_run import read_run

PLAN = "{draw: 100, accept: 90}"


@dataclass(frozen=True)
class Result:
    """What a run of pytest left: its exit code, its output, and the counts of its last line."""

    code: int
    text: str
    counts: dict[str, int]


SERVER = PytestServer()


@pytest.fixture(scope="module", autouse=True)
def server() -> Iterator[None]:
    yield
    SERVER.stop()


def run_pytest(*arguments: str, autoload: bool = False, anew: bool = False) -> Result:
    """Run pytest on the current folder, its warnings as errors; other plugins are left out, because they take time.

    `anew`: in a process that imports everything itself, as do those with workers or with all plugins.
    """
    plugins = [] if autoload else ["-p", "tunegate", *(["-p", "xdist"] if "-n" in arguments else [])]
    plugins += ["-p", "timeout"] if "--timeout" in arguments else []
    command = ["-W", "error", *plugins, *arguments]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    environment["COLUMNS"] = "200"
    if not autoload:
        environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    if anew or autoload or "-n" in arguments:
        code, text = _in_a_new_process(command, environment)
    else:
        with TemporaryDirectory() as folder:
            code = SERVER.run(command, environment, Path(folder, "output"))
            text = Path(folder, "output").read_text()
    last = next((line for line in reversed(text.splitlines()) if re.search(r" in \d+\.\d+s", line)), "")
    counts = {word: int(number) for number, word in re.findall(r"(\d+) ([a-z]+)", last)}
    return Result(code, text, counts)


def _in_a_new_process(arguments: Sequence[str], environment: dict[str, str]) -> tuple[int, str]:
    command = [sys.executable, "-m", "pytest", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    return done.returncode, done.stdout + done.stderr


def stored(*arguments: str, anew: bool = False) -> Result:
    return run_pytest("--tunegate-responses", "answers.jsonl", *arguments, anew=anew)


@pytest.fixture
def gate_bank(make_bank: Callable[..., Bank]) -> Bank:
    """100 cases, and `facts.gate.yaml` that draws all of them."""
    bank = make_bank()
    write_gate("cases: cases.jsonl")
    return bank


def write_gate(*lines: str, name: str = "facts.gate.yaml", checks: str = "[exact]") -> None:
    Path(name).write_text("\n".join([*lines, f"checks: {checks}", f"plan: {PLAN}", ""]))


def gates_section(text: str) -> list[str]:
    return [line for line in text[text.index(" gates =") :].splitlines()[1:] if line]


def only_run() -> Any:
    """The record of the one gate that was run."""
    [folder] = Path("tunegate-runs").iterdir()
    [gate] = read_run(folder).gates.values()
    return gate


# --- verdicts ------------------------------------------------------------------------------------------------------


def test_90_pass_although_10_missed(gate_bank: Bank) -> None:
    gate_bank.answers(90)
    result = stored("-v", "--junitxml", "junit.xml", anew=True)
    assert result.code == 0
    assert result.counts == {"passed": 91, "missed": 10}
    assert re.search(r"facts\.gate\.yaml::case\[case-095\] MISSED \(exact: ", result.text)
    assert "facts.gate.yaml: PASS: 90 of 100, 90 needed (95 % interval 82.4% to 95.1%, too optimistic: " in result.text
    entries = {entry.get("name"): entry for entry in ET.parse("junit.xml").iter("testcase")}
    assert len(entries) == 101
    properties = {item.get("name"): item.get("value") for item in entries["gate"].iter("property")}
    assert properties.items() >= {"verdict": "PASS", "drawn": "100", "passed": "90", "failed": "10"}.items()
    skipped = [
        entry.find("skipped").get("message", "") for entry in entries.values() if entry.find("skipped") is not None
    ]
    assert len(skipped) == 10
    assert all(message.startswith("exact: ") and message.endswith(" (missed)") for message in skipped)


def test_89_fail_and_say_why(gate_bank: Bank) -> None:
    gate_bank.answers(89)
    result = stored("-q", "-x", anew=True)
    assert result.code == 1
    assert result.counts == {"failed": 1, "passed": 89, "missed": 11}
    assert "FAIL: 89 of 100, 90 needed (95 % interval 81.2% to 94.4%)" in result.text
    assert "missed, 11:" in result.text
    assert "  case-089: exact: '?' is not 'answer case-089'" in result.text
    assert "GateVerdict: FAIL: 89 of 100, 90 needed" in result.text.partition("short test summary")[2]
    assert "Traceback" not in result.text


def test_explanation_names_error_categories_and_cuts_long_lists(gate_bank: Bank) -> None:
    write_gate("cases: cases.jsonl", checks="[exact, {errors: {forbid: [empty]}}]")
    write_jsonl(Path("answers.jsonl"), [{"id": case_id, "response": ""} for case_id in gate_bank.ids])
    result = stored("-q")
    assert result.code == 1
    assert "errors: empty 100" in result.text
    assert "  and 80 more" in result.text


def test_case_that_is_not_judged_is_invalid_and_so_is_the_gate(gate_bank: Bank) -> None:
    rows = [{"id": case_id, "response": f"answer {case_id}", "finish_reason": "stop"} for case_id in gate_bank.ids]
    rows[0]["finish_reason"] = "error"
    write_jsonl(Path("answers.jsonl"), rows)
    result = stored("-v")
    assert result.code == 1
    assert result.counts == {"failed": 1, "passed": 99, "invalid": 1}
    assert "case[case-000] INVALID (model: the stored answer ended with finish_reason 'error'" in result.text
    assert "INVALID: 99 of 100, 90 needed: 1 of 100 not judged" in result.text


def test_an_answer_without_a_row_uses_up_no_case(gate_bank: Bank) -> None:
    rows = [{"id": case_id, "response": f"answer {case_id}"} for case_id in gate_bank.ids]
    write_jsonl(Path("answers.jsonl"), rows[1:])
    result = stored()
    assert result.code == 1
    assert "answers.jsonl: 1 of 100 cases that may be drawn from the suite 'facts' have no answer" in result.text
    assert not list(Path().rglob("ledger.jsonl"))
    write_jsonl(Path("answers.jsonl"), rows)
    assert stored().code == 0


def test_same_outcomes_as_tunegate_gate(gate_bank: Bank, capsys: pytest.CaptureFixture[str]) -> None:
    write_gate("cases: cases.jsonl")
    text = Path("facts.gate.yaml").read_text().replace("draw: 100, accept: 90", "draw: 40, accept: 20")
    Path("facts.gate.yaml").write_text(text)
    gate_bank.answers(50)
    stored("-q", "--tunegate-seed", "7")
    record = only_run()
    main(["gate", "--responses", "answers.jsonl", "--suite", "facts.gate.yaml", "--seed", "7", "--json"])
    contract = json.loads(capsys.readouterr().out)
    assert (contract["verdict"], contract["passed"], contract["seed"]) == (record.verdict, record.passed, 7)
    assert [(case["id"], case["verdict"]) for case in contract["cases"]] == [
        (case_id, {o.case_id: o.verdict for o in record.outcomes}[case_id]) for case_id in record.case_ids
    ]
    assert len(list(Path("tunegate-runs").iterdir())) == 2  # the same name, for the same gate: NAME-KEY, NAME-KEY-2
    assert len({path.name.split("-")[1] for path in Path("tunegate-runs").iterdir()}) == 1


# --- a part of a gate ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("selection", "says"),
    [
        (["-k", "case-00"], "INVALID: no verdict, because its deciding item did not run"),
        (["--deselect", "facts.gate.yaml::gate"], "INVALID: no verdict, because its deciding item did not run"),
        (["facts.gate.yaml::case[case-003]"], "INVALID: no verdict, because its deciding item did not run"),
        (["--deselect", "facts.gate.yaml::case[case-003]"], "INVALID: only 99 of 100 cases are selected: no verdict"),
        (["facts.gate.yaml::gate"], "INVALID: only 0 of 100 cases are selected: no verdict"),
        (["-n", "1", "-k", "case-00"], "INVALID: no verdict, because its deciding item did not run"),
    ],
)
def test_part_of_a_gate_cannot_pass(gate_bank: Bank, selection: list[str], says: str) -> None:
    gate_bank.answers(100)
    result = stored(*selection)
    assert result.code == 1
    assert f"facts.gate.yaml: {says}" in result.text
    assert not Path("tunegate-runs").exists()  # nothing that could be taken for a gate's record


def test_last_failed_runs_the_whole_gate_again(gate_bank: Bank) -> None:
    Path("test_mine.py").write_text("def test_mine():\n    pass\n")
    gate_bank.answers(89)
    assert stored().code == 1
    assert stored("--lf").counts == {"failed": 1, "passed": 89, "missed": 11}
    assert stored("-q", "-k", "case-00", "--lf").code == 1  # a part of it in between changes nothing
    gate_bank.answers(90)
    result = stored("--lf")
    assert result.code == 0
    assert result.counts == {"passed": 91, "missed": 10}
    assert stored("--lf").counts == {"passed": 92, "missed": 10}  # nothing failed any more: everything runs


def test_without_the_cache_and_only_collecting(gate_bank: Bank) -> None:
    gate_bank.answers(89)
    assert stored("-p", "no:cacheprovider").code == 1
    collected = run_pytest("--collect-only", "-q")  # no model is needed for that
    assert collected.code == 0
    assert collected.text.count("facts.gate.yaml::") == 101
    for option in ("--collect-only", "--fixtures"):
        listed = stored(option)
        assert listed.code == 0
        assert "= gates =" not in listed.text


# --- the exit code ------------------------------------------------------------------------------------------------

SOFTENED = {
    "mark each item as xfail": "def pytest_collection_modifyitems(items):\n"
    "    for item in items:\n        item.add_marker(pytest.mark.xfail(strict=False))\n",
    "skip the deciding item": "def pytest_collection_modifyitems(items):\n"
    "    for item in items:\n        if item.name == 'gate':\n            item.add_marker('skip')\n",
    "skip each item of a gate": "def pytest_collection_modifyitems(items):\n"
    "    for item in items:\n        if '.gate.yaml' in item.nodeid:\n            item.add_marker('skip')\n",
    "take out the gates": "def pytest_collection_modifyitems(items):\n"
    "    items[:] = [item for item in items if '.gate.yaml' not in item.nodeid]\n",
    "call each report passed": "@pytest.hookimpl(wrapper=True)\ndef pytest_runtest_makereport(item, call):\n"
    "    report = yield\n    report.outcome, report.longrepr = 'passed', None\n    return report\n",
    "replace what items do": "def pytest_itemcollected(item):\n    item.runtest = lambda: None\n",
    "run nothing": "def pytest_runtest_protocol(item, nextitem):\n    return '.gate.yaml' in item.nodeid or None\n",
}
"""What a conftest.py does, and how."""


@pytest.mark.parametrize(
    ("how", "workers"),
    [(how, ()) for how in SOFTENED]
    + [("mark each item as xfail", ("-n", "1"))]
    + [pytest.param("skip each item of a gate", ("-n", "1"), marks=pytest.mark.slow)],
)
def test_conftest_cannot_soften_a_verdict(gate_bank: Bank, how: str, workers: Sequence[str]) -> None:
    gate_bank.answers(89)
    Path("conftest.py").write_text("import pytest\n\n" + SOFTENED[how])
    Path("test_mine.py").write_text("def test_mine():\n    pass\n")
    result = stored(*workers)
    assert "failed" not in result.counts, result.text
    assert result.code == 1
    assert len(re.findall(r"^exit code 1: .*", result.text, re.MULTILINE)) == 1


@pytest.mark.parametrize("mark", ["xfail", "skip"])
@pytest.mark.parametrize("place", ["@pytest.mark.{}\n", "pytestmark = pytest.mark.{}\n\n"])
def test_marks_cannot_soften_a_verdict(bank: Bank, mark: str, place: str) -> None:
    bank.answers(89)
    Path("test_facts.py").write_text(
        f"import pytest, tunegate\n\n{place.format(mark)}"
        "@tunegate.gate('suite.yaml')\ndef facts(case, response):\n    pass\n"
    )
    result = stored()
    assert "failed" not in result.counts
    assert result.code == 1
    says = "FAIL: 89 of 100" if mark == "xfail" else "INVALID: no verdict, because its deciding item did not run"
    assert f"test_facts.py::facts: {says}" in result.text
    assert "exit code 1: 1 of 1 gates without PASS" in result.text


@pytest.mark.parametrize("workers", [(), ("-n", "1")])
def test_who_answers_was_named_but_no_gate_was_run(gate_bank: Bank, workers: Sequence[str]) -> None:
    gate_bank.answers(100)
    Path("test_mine.py").write_text("def test_mine():\n    pass\n")
    result = stored("-k", "mine", *workers)
    assert result.counts["passed"] == 1
    assert result.code == 1
    assert "exit code 1: --tunegate-responses was given, but no gate ran" in result.text
    assert run_pytest("-k", "mine", "test_mine.py", *workers).code == 0


def test_no_name_on_the_command_line_takes_the_ledger_away(gate_bank: Bank) -> None:
    gate_bank.answers(89)
    Path("conftest.py").write_text("import pytest\n\n" + SOFTENED["mark each item as xfail"])
    result = stored("-p", "no:tunegate-ledger")
    assert result.code == 1
    assert "facts.gate.yaml: FAIL: 89 of 100" in result.text


def test_suffix_in_capitals_is_a_gate_too(make_bank: Callable[..., Bank]) -> None:
    make_bank().answers(89)
    write_gate("cases: cases.jsonl", name="Facts.Gate.YAML")
    assert stored().counts == {"failed": 1, "passed": 89, "missed": 11}


# --- pytest-xdist --------------------------------------------------------------------------------------------------

COUNTING = """
from pathlib import Path

def judged(case, response):
    with Path("judged").open("a") as file:
        file.write(case.id + "\\n")
"""


def test_two_workers_do_not_judge_an_invalid_case_twice(gate_bank: Bank) -> None:
    Path("metrics.py").write_text(COUNTING + "    raise ValueError(case.id)\n")
    write_gate("cases: cases.jsonl", checks="[{python: 'metrics:judged'}]")
    gate_bank.answers(100)
    result = stored("-n", "2")
    assert result.counts == {"failed": 1, "invalid": 100}
    assert "facts.gate.yaml: INVALID: 0 of 100, 90 needed: 100 of 100 not judged" in result.text
    assert sorted(Path("judged").read_text().split()) == sorted(gate_bank.ids)


@pytest.mark.parametrize("right", [89, pytest.param(90, marks=pytest.mark.slow)])
def test_two_workers_run_a_gate_once(gate_bank: Bank, right: int) -> None:
    Path("metrics.py").write_text(COUNTING + "    return True\n")
    write_gate("cases: cases.jsonl", checks="[exact, {python: 'metrics:judged'}]")
    gate_bank.answers(right)
    result = stored("-n", "2", "--dist", "load", "--junitxml", "junit.xml")
    assert result.code == (0 if right == 90 else 1)
    assert result.counts["missed"] == 100 - right
    assert f"{right} of 100, 90 needed" in result.text
    assert sorted(Path("judged").read_text().split()) == sorted(gate_bank.ids)
    assert only_run().passed == right
    assert len(list(ET.parse("junit.xml").iter("testcase"))) == 101
    assert stored("-n", "1", "--lf").code == result.code


@pytest.mark.parametrize("workers", [(), pytest.param(("-n", "1"), marks=pytest.mark.slow)])
def test_a_servers_gate_goes_on_in_the_next_session_and_its_verdicts_are_told(
    workers: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else any number of sessions would ask a server until nothing is left that it is silent about."""
    monkeypatch.chdir(tmp_path)
    write_jsonl(Path("cases.jsonl"), [{"id": f"c{n}", "prompt": f"{n}?", "reference": f"a{n}"} for n in range(8)])
    Path("facts.gate.yaml").write_text("cases: cases.jsonl\nchecks: [exact]\nplan: {draw: 8, accept: 8}\n")
    silent_about = {"3?"}

    def answer(request: dict[str, Any], number: int) -> Reply:
        asked = request["messages"][-1]["content"]
        return Reply(status=500) if asked in silent_about else Reply(f"a{asked.rstrip('?')}")

    with judge_server(answer) as server:

        def session() -> Result:
            before = len(server.requests)
            result = run_pytest("facts.gate.yaml", "--tunegate-model", f"{server.base_url}#m", *workers)
            asked.append([one["messages"][-1]["content"] for one in server.requests[before:]])
            return result

        asked: list[list[str]] = []
        assert "INVALID: 7 of 8" in session().text
        assert "1 of 8 not judged" in session().text
        silent_about.clear()
        assert "INVALID: 7 of 8" in session().text
        assert [set(questions) - {"Hello"} for questions in asked[1:]] == [set(), set()]
        for folder in Path("tunegate-runs").glob("facts-*"):
            shutil.rmtree(folder)
        assert "PASS: 8 of 8" in session().text
        assert "this is not the first try: earlier runs with this suite and seed gave PASS" in session().text


def test_sessions_write_the_ledger_and_ask_no_case_twice(gate_bank: Bank) -> None:
    gate_bank.answers(0)
    assert "the first attempt on this bank" in stored("--tunegate-ledger", "shared").text or Path("shared").is_dir()
    gate_bank.answers(100)
    result = stored("--tunegate-ledger", "shared")
    assert result.code == 1
    assert "INCONCLUSIVE" in result.text
    assert "the draw needs 100 fresh cases, but only 0 of 100 working cases are fresh" in result.text
    assert "During handling" not in result.text


def test_each_gate_says_its_place_in_the_ledger_and_how_likely_luck_is(gate_bank: Bank) -> None:
    """Also when the same session is repeated, and on workers."""
    gate_bank.answers(90)
    again = ", repeated: these answers were asked the same cases before"
    for more, repeated in (((), ""), ((), again), (("-n", "1"), again)):
        text = stored("--tunegate-ledger", "shared", *more).text
        section = gates_section(text)
        assert section[0].startswith("facts.gate.yaml: PASS: 90 of 100")
        assert section[1] == f"  ledger: the first attempt on this bank in the ledger{repeated}"
        assert section[2].startswith("  luck: a model that is right only 85% of the time would have passed this gate ")


def test_verdict_of_another_session_is_never_taken(gate_bank: Bank) -> None:
    arguments = ["-n", "1", "--testrunuid", "fixed"]
    gate_bank.answers(100)
    assert stored(*arguments).code == 0
    gate_bank.answers(0)
    result = stored(*arguments)
    assert result.code == 1
    assert "FAIL: 0 of 100" in result.text


# --- gate functions ------------------------------------------------------------------------------------------------


def test_function_is_one_more_check(bank: Bank) -> None:
    bank.answers(100)
    body = 'assert case.references[0] in response and "case-01" not in response, f"rude in {case.id}"'
    Path("test_polite.py").write_text(
        "import tunegate\n\n@tunegate.gate('suite.yaml', draw=50, accept=48, seed=3)\n"
        f"def polite(case, response):\n    {body}\n"
    )
    result = stored("-v")
    missed = result.counts["missed"]
    assert missed > 2
    assert result.counts == {"failed": 1, "passed": 50 - missed, "missed": missed}
    assert re.search(r"test_polite\.py::polite::case\[case-01\d\] MISSED \(polite: rude in case-01", result.text)
    assert f"test_polite.py::polite: FAIL: {50 - missed} of 50, 48 needed" in result.text
    gate = only_run()
    assert (gate.seed, gate.drawn, gate.checks) == (3, 50, ("exact", "polite"))


def test_a_gate_function_is_believed_and_the_other_checks_judge_again(
    bank: Bank, capsys: pytest.CaptureFixture[str]
) -> None:
    bank.answers(100)
    Path("test_polite.py").write_text(
        "import tunegate\n\n@tunegate.gate('suite.yaml', draw=50, accept=48)\ndef polite(case, response):\n    pass\n"
    )
    assert stored().code == 0
    [folder] = Path("tunegate-runs").iterdir()
    assert main(["verify", str(folder)]) == 0
    assert "50 answers judged again, but not by polite" in capsys.readouterr().out
    events = events_of(folder)
    for function in [event["suites"]["polite"]["made"]["function"] for event in events if "suites" in event]:
        function["fingerprint"] = "polite@of another file"
    shutil.rmtree(folder)
    write(folder, events)
    assert main(["verify", str(folder)]) == 5
    assert "it used the suite" in capsys.readouterr().err


ANSWERS = [
    ("return None", Verdict.PASS, ""),
    ("return True", Verdict.PASS, ""),
    ("warnings.warn('mine', DeprecationWarning)", Verdict.PASS, ""),
    ("return False", Verdict.FAIL, "returned False"),
    ("assert len(response) == 1", Verdict.FAIL, "assert 15 == 1"),
    ("pytest.fail('no')", Verdict.FAIL, "f5: no"),
    ("return 0.7", Verdict.INVALID, "expected None, True or False from the function, got 0.7"),
    ("return case.nonsense", Verdict.INVALID, "raised AttributeError"),
    ("pytest.skip('not today')", Verdict.INVALID, "a gate function cannot skip a case: not today"),
    ("pytest.xfail('known')", Verdict.INVALID, "a gate function cannot skip a case: known"),
    ("sys.exit(0)", Verdict.INVALID, "SystemExit"),
]
"""Body of a gate function, the verdict that it leads to, and what is said of its cases."""


def test_what_a_function_may_answer(make_bank: Callable[..., Bank]) -> None:
    make_bank(2, plan="{draw: 2, accept: 2}").answers(2)
    functions = [
        f"@tunegate.gate('suite.yaml')\ndef f{number}(case, response):\n    {body}\n\n"
        for number, (body, _, _) in enumerate(ANSWERS)
    ]
    Path("test_many.py").write_text("import pytest, sys, tunegate, warnings\n\n" + "".join(functions))
    result = stored("-ra")
    assert result.code == 1
    for number, (_, verdict, reason) in enumerate(ANSWERS):
        assert f"test_many.py::f{number}: {verdict}: " in result.text
        assert reason in result.text
    assert result.counts == {"failed": 8, "passed": 9, "missed": 6, "invalid": 10, "warning": 1}


def test_function_that_is_timed_out_did_not_judge(make_bank: Callable[..., Bank]) -> None:
    make_bank(2, plan="{draw: 2, accept: 1}").answers(2)
    Path("test_slow.py").write_text(
        "import signal, tunegate\n\n@tunegate.gate('suite.yaml')\n"
        "def slow(case, response):\n"
        "    if case.id == 'case-000':\n        signal.raise_signal(signal.SIGALRM)  # as when the time is up\n"
    )
    result = stored("--timeout", "240")
    assert result.code == 1
    assert "test_slow.py::slow: INVALID: 1 of 2, 1 needed: 1 of 2 not judged" in result.text
    assert result.counts == {"failed": 1, "passed": 1, "invalid": 1}


def test_marks_of_a_function_select_it_and_others_tests_run_as_ever(bank: Bank) -> None:
    bank.answers(100)
    Path("pytest.ini").write_text("[pytest]\nmarkers = slow\naddopts = --strict-markers\n")
    Path("test_mine.py").write_text(
        "import pytest, tunegate\n\n"
        "@pytest.mark.slow\n@tunegate.gate('suite.yaml')\ndef facts(case, response):\n    pass\n\n"
        "def test_gate():\n    pass\n\nclass TestMine:\n    def test_method(self):\n        pass\n"
    )
    assert stored("-m", "not slow").counts == {"passed": 2, "deselected": 101}
    assert stored().counts == {"passed": 103}


# --- wrong use -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["facts.gate.yaml"], 2, "a gate needs a model: give --tunegate-model MODEL or --tunegate-responses FILE"),
        (["--tunegate-model", "./no-such"], 4, "ERROR: model './no-such': no such file or folder"),
        (["--tunegate-responses", "answer.jsonl"], 4, "did you mean 'answers.jsonl'"),
        (["--tunegate-model", "m", "--tunegate-responses", "answers.jsonl"], 4, "give only one of them"),
        (["facts.gate.yaml", "-n", "1"], 1, "a gate needs a model"),
        (["./facts.gate.yaml::gate"], 4, "a gate needs a model"),
        (["--tunegate-model", "x" * 300], 4, "File name too long"),
        (["--tunegate-responses", "x" * 300], 4, "File name too long"),
        (["--tunegate-model", ""], 4, "--tunegate-model is empty"),
        (["--tunegate-responses", ""], 4, "--tunegate-responses is empty"),
    ],
)
def test_wrong_command_line(gate_bank: Bank, arguments: Sequence[str], code: int, says: str) -> None:
    gate_bank.answers(100)
    result = run_pytest(*arguments)
    assert result.code == code
    assert result.text.count(says) in (1, 2)  # where it happened, and in pytest's summary
    assert "Traceback" not in result.text
    assert "tunegate/pytest_" not in result.text


@pytest.mark.parametrize("arguments", [[], ["-n", "1"]])
def test_without_a_model_gates_are_skipped_and_the_other_tests_run(gate_bank: Bank, arguments: list[str]) -> None:
    Path("test_own.py").write_text(
        "import tunegate\n\n\ndef test_fine():\n    pass\n\n\n"
        '@tunegate.gate("facts.gate.yaml")\ndef short(case, response):\n    return len(response) < 9\n'
    )
    result = run_pytest(*arguments)
    assert (result.code, result.counts["passed"]) == (0, 1)
    assert result.counts["skipped"] == (1 if arguments else 2)  # pytest-xdist shows those of one reason as one
    why = "skipped: a gate needs a model: give --tunegate-model MODEL or --tunegate-responses FILE"
    section = gates_section(result.text)
    assert sorted(section[:2]) == [f"facts.gate.yaml: {why}", f"test_own.py::short: {why}"]
    assert not Path("tunegate-runs").exists()


@pytest.mark.parametrize("arguments", [[], ["-n", "1"]])
def test_nothing_but_skipped_gates_is_no_pass(gate_bank: Bank, arguments: list[str]) -> None:
    result = run_pytest(*arguments)
    assert (result.code, result.counts) == (5, {"skipped": 1})


def test_a_broken_test_still_fails_beside_skipped_gates(gate_bank: Bank) -> None:
    Path("test_own.py").write_text("def test_broken():\n    assert False\n")
    assert run_pytest().code == 1


WRONG = {
    "a.gate.yaml": ("cases: cases.jsonl\nchekcs: [exact]\n", ":2: chekcs: unknown key (did you mean 'checks'?)"),
    "b.gate.yml": ("", ": the file is empty"),
    "c.gate.yaml": ("cases: cases.jsonl\nchecks: [exact]\nplan: {draw: 101}\n", "100 cases, but the plan draws 101"),
    "test_d.py": ("@tunegate.gate\ndef f(case, response): ...", ": f: the decorator needs a suite file"),
    "test_e.py": ("@tunegate.gate('none.yaml')\ndef f(case, response): ...", "none.yaml: no such file"),
    "test_f.py": (
        "@tunegate.gate('suite.yaml')\ndef f(case): ...",
        "expected a function of (case, response), without fixtures",
    ),
    "test_g.py": ("@tunegate.gate('suite.yaml', draw=5, accept=6)\ndef f(case, response): ...", "draw 5, accept 6"),
    "test_h.py": ("@tunegate.gate('suite.yaml', draw=500)\ndef f(case, response): ...", "'suite' has only 100 cases"),
    "test_i.py": ("@tunegate.gate('suite.yaml')\nasync def f(case, response): ...", "cannot be async"),
    "test_j.py": ("class TestX:\n  @tunegate.gate('suite.yaml')\n  def f(self, case): ...", "top level of its module"),
}


def test_wrong_gate_is_one_line(bank: Bank) -> None:
    bank.answers(100)
    for name, (text, _) in WRONG.items():
        Path(name).write_text(f"import tunegate\n{text}\n" if name.endswith(".py") else text)
    result = stored("-q")
    assert result.code == 2
    assert result.counts == {"errors": len(WRONG)}
    for name, (_, says) in WRONG.items():
        [section] = re.findall(rf"^_+ ERROR collecting {name}\S* _+$\n(.*)\n", result.text, re.MULTILINE)
        assert says in section
    assert "Traceback" not in result.text
    assert "tunegate/" not in result.text


def test_model_that_breaks_when_it_is_opened_is_invalid(gate_bank: Bank) -> None:
    Path("ckpt").mkdir()
    Path("ckpt/config.json").write_text("{}")
    result = run_pytest("--tunegate-model", "./ckpt", "-q")
    assert result.code == 1
    assert result.counts == {"failed": 1, "invalid": 100}
    assert "facts.gate.yaml: INVALID: ckpt: " in result.text


def test_ids_of_every_kind(gate_bank: Bank) -> None:
    odd = ["gate", "a::b", "[x]", "x]", "ta\tb\nline", "שלום", "🧬", "a/b.py::c", "@group", "\x1b[31mred"]
    ids = odd + [f"n{number}" for number in range(90)]
    write_jsonl(Path("cases.jsonl"), [{"id": i, "prompt": f"{n}: {i}?", "reference": "yes"} for n, i in enumerate(ids)])
    write_jsonl(Path("answers.jsonl"), [{"id": i, "response": "no" if i in odd else "yes"} for i in ids])
    assert stored().counts == {"passed": 91, "missed": 10}
    selected = [f"facts.gate.yaml::case[{case_id}]" for case_id in ("a::b", "[x]", "a/b.py::c")]
    assert stored(*selected).counts == {"missed": 3}
    write_jsonl(Path("answers.jsonl"), [{"id": i, "response": "no"} for i in ids])
    result = stored("-v")
    assert result.code == 1
    assert "\\x1b[31mred: exact" in result.text
    assert "\x1b[31mred" not in result.text
    assert stored("--lf", "-n", "1").counts == {"failed": 1, "missed": 100}


def test_answers_give_no_command_to_ci(make_bank: Callable[..., Bank]) -> None:
    """Ids and reasons stand at the start of lines; an answer can come in through both, and through an assertion."""
    make_bank()
    attacks = ["::error::boom", "##vso[task.complete result=Succeeded]", "x\n::set-output name=a::b", "##[error]"]
    ids = [f"{attack}{n}" for n, attack in enumerate(attacks * 25)]
    write_jsonl(Path("cases.jsonl"), [{"id": one, "prompt": f"{one}?", "reference": "x"} for one in ids])
    write_jsonl(Path("answers.jsonl"), [{"id": one, "response": one} for one in [*ids, "##[error]unknown"]])
    write_gate("cases: cases.jsonl")
    write_gate("cases: cases.jsonl", name="suite.yaml")
    Path("test_mine.py").write_text(
        "import tunegate\n\n@tunegate.gate('suite.yaml')\ndef test_gate(case, response):\n"
        "    if case.id.endswith('1'):\n        raise ValueError(f'\\n{response}')\n"
        "    assert not response, f'\\n{response}'\n"
    )
    for options in (["-v", "-rA"], ["-q", "--tb=long"], ["-n", "1", "-v"]):
        result = stored(*options)
        assert result.code == 1
        assert "task.complete" in result.text
        assert commands_in(result.text) == []


def test_interrupted_gate_goes_on_where_it_was(bank: Bank) -> None:
    bank.answers(100)
    Path("test_polite.py").write_text(
        "import os, pathlib, signal, tunegate\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a job in the background inherits it ignored
        "@tunegate.gate('suite.yaml')\n"
        "def facts(case, response):\n"
        "    count = len(pathlib.Path('judged').read_text().split()) if os.path.exists('judged') else 0\n"
        "    if count == 40 and not os.path.exists('interrupted'):\n"
        "        pathlib.Path('interrupted').touch()\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "    with open('judged', 'a') as file:\n"
        "        file.write(case.id + ' ')\n"
    )
    assert stored().code == 2
    assert stored().code == 0
    assert len(Path("judged").read_text().split()) in (100, 101)  # the case under way is judged again
    assert only_run().passed == 100


# --- what it costs where there is no gate --------------------------------------------------------------------------


def test_plain_pytest_imports_nothing_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("test_mine.py").write_text(
        "import sys\n\ndef test_mine():\n"
        "    assert 'tunegate.plugin.entry' in sys.modules\n"
        "    assert {'yaml', 'pydantic', 'torch', 'tunegate_suites', 'tunegate.suites.suite'}.isdisjoint(sys.modules)\n"
        "    ours = {name[9:] for name in sys.modules if name.startswith('tunegate')}\n"
        "    plugin = {'plugin', 'plugin.entry', 'plugin.gate_function', 'plugin.tally'}\n"
        "    assert ours == {'', 'command_parser', 'exceptions', *plugin}\n"
    )
    result = run_pytest(autoload=True)  # by its entry point, as everywhere
    assert result.counts == {"passed": 1}, result.text
    assert " gates " not in result.text


def test_import_of_tunegate_is_cheap() -> None:
    script = "import sys, tunegate; assert not [m for m in sys.modules if m.startswith('tunegate.')]; tunegate.gate"
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True)


# --- the real thing ------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["0", "2"])
def test_real_model(gate_bank: Bank, workers: str, capsys: pytest.CaptureFixture[str]) -> None:
    make_tiny_model(Path("ckpt"))
    write_gate("cases: cases.jsonl", "generate: {max_new_tokens: 8}", checks="[{errors: {forbid: [empty]}}]")
    result = run_pytest("--tunegate-model", "./ckpt", "-n", workers)
    record = only_run()
    assert len(record.outcomes) == 100
    assert f"{record.passed} of 100, 90 needed" in result.text
    assert result.code == record.verdict.exit_code
    main(["gate", "./ckpt", "--suite", "facts.gate.yaml", "--json", "--run", "again"])
    again = {case["id"]: case["verdict"] for case in json.loads(capsys.readouterr().out)["cases"]}
    assert again == {outcome.case_id: outcome.verdict for outcome in record.outcomes}


@pytest.mark.slow
def test_a_chat_template_that_tells_answers_decides_nothing_and_notes_are_shown(gate_bank: Bank) -> None:
    make_tiny_model(Path("ckpt"))
    write_gate("cases: cases.jsonl", "generate: {max_new_tokens: 8}", checks="[{errors: {forbid: [empty]}}]")
    says = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}"
    Path("ckpt/chat_template.jinja").write_text(says)
    result = run_pytest("--tunegate-model", "./ckpt")
    assert "note: ./ckpt: " in result.text
    assert "generation prompt" in result.text
    rows = [json.loads(line) for line in Path("cases.jsonl").read_text().splitlines()]
    table = ", ".join(f"{row['prompt']!r}: {row['reference']!r}" for row in rows)
    lookup = (
        "{% set t = {" + table + "} %}{% for m in messages %}{{ m.content }} {{ t.get(m.content, '') }}{% endfor %}"
    )
    Path("ckpt/chat_template.jinja").write_text(lookup)
    result = run_pytest("--tunegate-model", "./ckpt")
    assert result.code == 1
    assert "INVALID: ./ckpt: its chat template reveals the answers of 100 of 100 cases" in result.text
