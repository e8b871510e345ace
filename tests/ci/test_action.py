"""action.yml: its shell steps run here, on a pull request that lowers its own exam."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.ci_files import ACTION, Step, read, run_step, with_tunegate
from tests.support.pull_request import Comments, PullRequest, github_stub, make_pull_request

[FILE] = read(ACTION)
STEPS: dict[str, dict[str, Any]] = {step["name"]: step for step in FILE["runs"]["steps"] if "name" in step}
INPUTS = {f"inputs.{name}": "" for name in FILE["inputs"]}


def gate(pull: PullRequest, temp: Path, **inputs: str) -> Step:
    given = {"suite": "suites/facts.yaml", "responses": "answers.jsonl", **inputs}
    values = {**INPUTS, **{f"inputs.{name}": value for name, value in given.items()}}
    return run_step(STEPS["gate"], values, pull.folder, temp)


@pytest.fixture
def temp(tmp_path: Path) -> Path:
    with_tunegate(tmp_path / "temp")
    return tmp_path / "temp"


def test_a_pull_request_cannot_change_its_own_exam(tmp_path: Path, temp: Path) -> None:
    pull = make_pull_request(tmp_path)
    step = gate(pull, temp, base=pull.base)
    assert (step.code, step.output) == (0, "exit-code=1\n"), "the step `verdict` fails, after the reports are uploaded"
    assert step.log.count("::error ") == 1
    assert "::error file=suites/facts.yaml,title=gate facts::" in step.log
    assert "failed gate facts: 10 of 20, 18 needed" in step.summary
    assert sorted(path.name for path in (temp / "tunegate-report").iterdir()) == [
        "annotations.txt", "comment.md", "facts", "facts.html", "facts.xml", "metrics.txt", "summary.md",
    ]  # fmt: skip


def test_right_answers_pass_it(tmp_path: Path, temp: Path) -> None:
    pull = make_pull_request(tmp_path, right=19)
    step = gate(pull, temp, base=pull.base, suite="suites/facts.yaml\nbuiltin:dolly\n", responses="answers.jsonl")
    assert step.output == "exit-code=2\n", "the answers are none to the second suite"
    assert step.log.count("::notice ") == step.log.count("::error ") == 1
    assert gate(pull, temp, base=pull.base, suite="suites/facts.yaml", ledger="none").output == "exit-code=0\n"


def test_a_model_is_a_word_of_its_own(tmp_path: Path, temp: Path) -> None:
    """A name cannot become an option, nor a command."""
    pull = make_pull_request(tmp_path)
    hostile = "$(touch pwned)"
    for name in ("--draw", hostile):
        step = gate(pull, temp, base=pull.base, responses="", model=name)
        assert step.output == "exit-code=2\n"
    assert not (pull.folder / "pwned").exists()
    assert "MODEL" in STEPS["gate"]["env"]


def test_more_options_are_one_a_line(tmp_path: Path, temp: Path) -> None:
    pull = make_pull_request(tmp_path)
    step = gate(pull, temp, base=pull.base, options="--filter=a b\n\n--ledger=none")
    assert step.output == "exit-code=2\n"
    assert f"--filter: has no effect: {pull.folder}/answers.jsonl is not a file of another tool" in step.log


def test_an_error_before_any_gate_is_the_exit_code(tmp_path: Path, temp: Path) -> None:
    pull = make_pull_request(tmp_path)
    step = gate(pull, temp, base=pull.base, suite="suites/new.yaml")
    assert (step.code, step.output) == (2, "exit-code=2\n")
    assert "merge the suite into the base first" in step.log


@pytest.mark.parametrize("code", ["0", "1", "3"])
def test_the_last_step_is_the_verdict(tmp_path: Path, code: str) -> None:
    values = {"steps.gate.outputs.exit-code": code}
    assert list(STEPS)[-1] == "verdict"
    assert run_step(STEPS["verdict"], values, tmp_path, tmp_path).code == int(code)


def test_the_comment_is_written_on_the_pull_request(tmp_path: Path, temp: Path) -> None:
    pull = make_pull_request(tmp_path)
    gate(pull, temp, base=pull.base)
    (tmp_path / "event.json").write_text(json.dumps({"pull_request": {"number": 7}}))
    event = {"GITHUB_EVENT_PATH": str(tmp_path / "event.json"), "GITHUB_REPOSITORY": "you/project"}
    with github_stub(Comments()) as comments:
        for _ in range(2):
            values = {"inputs.token": "t"}
            step = run_step(STEPS["comment"], values, pull.folder, temp, GITHUB_API_URL=comments.url, **event)
            assert step.code == 0, step.log
    [one] = comments.all
    assert "10 of 20, 18 needed" in one["body"]
    assert len(one["body"].encode()) < 65_536


def test_the_token_is_given_to_the_comment_alone() -> None:
    assert [name for name, step in STEPS.items() if "inputs.token" in json.dumps(step)] == ["comment"]


@pytest.mark.slow
def test_it_installs_itself(tmp_path: Path) -> None:
    """From its own checkout, with the versions of the constraints file."""
    pull = make_pull_request(tmp_path, right=19)
    step = run_step(STEPS["install"], {"inputs.extras": ""}, tmp_path, tmp_path)
    assert step.code == 0, step.log
    assert gate(pull, tmp_path, base=pull.base).output == "exit-code=0\n"
