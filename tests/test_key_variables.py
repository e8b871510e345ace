"""The values of key variables reach no record, no report and no terminal."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.bank import write_jsonl
from tunegate.checks.outcome import Verdict
from tunegate.cli import main
from tunegate.key_variables import value_without_keys, without_keys
from tunegate.record.read_run import read_run

KEY = "sk-test-4f9b2c7d81e0"


@pytest.mark.parametrize(
    "name", ["OPENAI_API_KEY", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "apikey", "JUDGE_PW", "DB_PASSWORD", "X_AUTH"]
)
def test_a_variable_that_is_named_like_a_key_holds_one(name: str) -> None:
    assert without_keys(f"<{KEY}>", {name: KEY}) == f"<[{name}]>"


@pytest.mark.parametrize(
    "environment",
    [
        {"KEYBOARD": KEY},
        {"HOME": KEY},
        {"MONKEY": KEY},
        {"HF_TOKEN": "production"},  # a word
        {"SSH_KEY": "/root/.ssh/id_ed25519"},
    ],
)
def test_what_is_no_key_stays(environment: dict[str, str]) -> None:
    [value] = environment.values()
    assert without_keys(f"<{value}>", environment) == f"<{value}>"


def test_a_key_that_is_part_of_another() -> None:
    keys = {"A_KEY": KEY, "B_KEY": f"{KEY}-more"}
    assert without_keys(f"{KEY}-more {KEY}", keys) == "[B_KEY] [A_KEY]"


def test_a_value_keeps_its_form() -> None:
    value = {"a": [KEY, 1, None, True], "b": {"c": f"x{KEY}"}, "v": Verdict.PASS}
    assert value_without_keys(value, {"A_KEY": KEY}) == (
        {"a": ["[A_KEY]", 1, None, True], "b": {"c": "x[A_KEY]"}, "v": Verdict.PASS}
    )
    assert value_without_keys(value, {}) is value


def test_the_keys_are_those_of_all_variables_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {
        "A_KEY": KEY,
        "B_TOKEN": f"{KEY}-more",
        "HOME": "/home/of/someone",
        "EMPTY_KEY": "",
        "KEY_FILE": "./a/file/of",
    }
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    text = " ".join(said.values())
    one_by_one = {name: value for name, value in os.environ.items() if without_keys(value, {name: value}) != value}
    assert {"A_KEY", "B_TOKEN"} <= one_by_one.keys()
    assert without_keys(text) == without_keys(text, one_by_one) == "[A_KEY] [B_TOKEN] /home/of/someone  ./a/file/of"
    monkeypatch.setenv("B_TOKEN", "another one that came later")  # nothing of the environment is kept
    assert without_keys("another one that came later") == "[B_TOKEN]"


def test_a_metric_that_says_its_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JUDGE_API_KEY", KEY)
    write_jsonl(tmp_path / "q.jsonl", [{"id": "a", "prompt": "?", "reference": "x"}])
    write_jsonl(tmp_path / "r.jsonl", [{"id": "a", "response": f"x {KEY}"}])
    (tmp_path / "metric.py").write_text(
        "import os\n\n\ndef asks(case, text):\n    raise ValueError('401 for ' + os.environ['JUDGE_API_KEY'])\n"
    )
    (tmp_path / "s.yaml").write_text("cases: q.jsonl\nchecks: [{python: metric:asks}]\nplan: {draw: 1, accept: 1}\n")
    command = ["gate", "--responses", "r.jsonl", "--suite", "s.yaml", "--run", "run", "--junit", "j.xml"]
    for more in ([], ["--json"]):
        assert main([*command, *more]) == 3
        told = "".join(capsys.readouterr())
        assert KEY not in told
        assert "401 for [JUDGE_API_KEY]" in told
    written = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "r.jsonl"]
    assert [path for path in written if KEY.encode() in path.read_bytes()] == []
    assert "401 for [JUDGE_API_KEY]" in read_run(tmp_path / "run").gates["s"].outcomes[0].reason
