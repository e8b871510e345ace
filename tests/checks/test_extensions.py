"""Checks and model backends of other packages: those of docs/extending.md, installed into a folder, and broken ones."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.bank import write_jsonl
from tests.support.places import ROOT
from tunegate.cli import main
from tunegate.suites.suite import load_suite
from tunegate_suites import build_check

Capture = pytest.CaptureFixture[str]
Install = Callable[..., None]
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"^```(?:python|yaml) (\S+)\n(.*?)^```", PAGE, flags=re.M | re.S))
ENTRIES = dict(re.findall(r'entry-points\."(\S+)"\]\n(.*?)\n```', PAGE))
CHECK, MODEL = ENTRIES["tunegate.checks"], ENTRIES["tunegate.models"]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install a package into a folder of its own on Python's path, as an installer leaves it; work beside a suite."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "suite.yaml").write_text(FILES["suite.yaml"])
    write_jsonl(tmp_path / "cases.jsonl", [{"id": one, "prompt": f"say {one}"} for one in "ab"])
    write_jsonl(tmp_path / "answers.jsonl", [{"id": "a", "response": "one two"}, {"id": "b", "response": "1 2 3 4"}])
    monkeypatch.setattr(sys, "path", sys.path[:])
    before = set(sys.modules)

    def install(group: str, entry: str, source: str, package: str = "acme-gates", version: str = "1.2") -> None:
        site = tmp_path / "sites" / f"{package}-{version}"
        info = site / f"{package.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        entry = entry.replace('"', "")
        module = entry.partition("=")[2].partition(":")[0].strip()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[{group}]\n{entry}\n")
        (site / f"{module}.py").write_text(source)
        sys.path.insert(0, str(site))

    yield install  # type: ignore[misc]
    for name in set(sys.modules) - before:
        if name.startswith("acme"):
            del sys.modules[name]


def test_the_check_of_the_docs_judges(install: Install, capsys: Capture) -> None:
    install("tunegate.checks", CHECK, FILES["acme_gates.py"])
    assert main(["gate", "--responses", "answers.jsonl", "--suite", "suite.yaml", "--json"]) == 1
    result = json.loads(capsys.readouterr().out)
    assert {case["id"]: case["verdict"] for case in result["cases"]} == {"a": "PASS", "b": "FAIL"}
    assert "words: 4 words, 3 allowed" in [case["reason"] for case in result["cases"]]


def test_the_check_command_names_the_package(install: Install, capsys: Capture) -> None:
    install("tunegate.checks", CHECK, FILES["acme_gates.py"])
    assert main(["check", "suite.yaml"]) == 0
    assert "checks: words (from acme-gates 1.2)" in capsys.readouterr().out


@pytest.mark.parametrize("changed", ["name", "version", "source"])
def test_the_hash_covers_the_package_its_version_and_its_source(install: Install, changed: str) -> None:
    source = FILES["acme_gates.py"]
    install("tunegate.checks", CHECK, source)
    before = load_suite(Path("suite.yaml"), build_check).sha256
    sys.path.pop(0)
    del sys.modules["acme_gates"]
    other = {"name": {"package": "acme-other"}, "version": {"version": "1.3"}, "source": {"version": "1.2"}}[changed]
    if changed == "source":
        next(Path("sites").glob("*/acme_gates.py")).write_text(source + "# another line\n")
        sys.path.insert(0, str(Path("sites/acme-gates-1.2").resolve()))
    else:
        install("tunegate.checks", CHECK, source, **other)
    assert load_suite(Path("suite.yaml"), build_check).sha256 != before


def test_the_backend_of_the_docs_answers(install: Install, capsys: Capture) -> None:
    install("tunegate.models", MODEL, FILES["acme_models.py"], "acme-models")
    Path("suite.yaml").write_text("cases: cases.jsonl\nchecks: [regex: '^SAY [AB]$']\nplan: {draw: 2, accept: 2}\n")
    assert main(["gate", "shout:hello", "--suite", "suite.yaml"]) == 0
    assert "answered by shout:hello" in capsys.readouterr().out


BROKEN = "import acme_nowhere"
NO_CHECK = "Words = 3"
NO_MODEL = "def open_model(what): return object()"
RAISES = "def open_model(what): raise OSError('no GPU')"


@pytest.mark.parametrize(
    ("source", "code", "line"),
    [
        (BROKEN, 2, "'words' of the package acme-gates 1.2 (entry point tunegate.checks, acme_gates:Words) cannot be"),
        ("raise SystemExit(0)", 2, "cannot be imported: SystemExit"),
        (NO_CHECK, 2, "must give a subclass of tunegate.Check, got 3"),
        (FILES["acme_gates.py"].replace("def judge", "def juge"), 2, "has no method `judge(self, sample)`"),
    ],
)
def test_a_broken_check_is_one_clear_line(install: Install, capsys: Capture, source: str, code: int, line: str) -> None:
    install("tunegate.checks", CHECK, source)
    assert main(["check", "suite.yaml"]) == code
    told = capsys.readouterr().err
    assert line in told
    assert "suite.yaml:3: checks[0]" in told
    assert told.count("\n") == 1


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        ("{words: {at_mst: 3}}", "words.at_mst: unknown option (did you mean 'at_most'?)"),
        ("{words: {at_most: 3, min: x}}", "min: expected a number, got 'x' (from the package acme-gates 1.2)"),
        ("word", "check 'word': unknown check (did you mean 'words'?)"),
    ],
)
def test_wrong_options_are_one_clear_line(install: Install, capsys: Capture, entry: str, line: str) -> None:
    install("tunegate.checks", CHECK, FILES["acme_gates.py"])
    Path("suite.yaml").write_text(f"cases: cases.jsonl\nchecks: [{entry}]\nplan: {{draw: 2, accept: 2}}\n")
    assert main(["check", "suite.yaml"]) == 2
    assert line in capsys.readouterr().err


def test_a_name_that_two_packages_claim_is_refused(install: Install, capsys: Capture) -> None:
    install("tunegate.checks", CHECK, FILES["acme_gates.py"])
    install("tunegate.checks", CHECK, FILES["acme_gates.py"], "acme-other")
    assert main(["check", "suite.yaml"]) == 2
    told = capsys.readouterr().err
    assert "'words': defined by the package acme-gates 1.2 and by the package acme-other 1.2" in told


def test_a_name_of_ours_is_not_taken_over(install: Install, capsys: Capture) -> None:
    install("tunegate.checks", CHECK.replace("words", "contains"), FILES["acme_gates.py"])
    Path("suite.yaml").write_text("cases: cases.jsonl\nchecks: [contains: x]\nplan: {draw: 2, accept: 2}\n")
    assert main(["check", "suite.yaml"]) == 2
    assert "defined by Tunegate itself and by the package acme-gates 1.2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("source", "code", "line"),
    [
        (BROKEN, 2, "'shout' of the package acme-models 1.2"),
        (NO_MODEL, 2, "must return a tunegate.Model, but the object has no 'name'"),
        (RAISES, 3, "the package acme-models 1.2 could not open it: OSError: no GPU"),
    ],
)
def test_a_broken_backend_is_one_clear_line(
    install: Install, capsys: Capture, source: str, code: int, line: str
) -> None:
    install("tunegate.models", MODEL, source, "acme-models")
    Path("suite.yaml").write_text("cases: cases.jsonl\nchecks: [regex: x]\nplan: {draw: 2, accept: 2}\n")
    assert main(["gate", "shout:hello", "--suite", "suite.yaml"]) == code
    told = capsys.readouterr().err
    assert line in told
    assert told.count("\n") == 1
