"""What other packages add: the check, model and method of docs/extending.md, installed into a folder; broken ones."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.bank import write_jsonl
from tests.support.places import ROOT
from tests.support.tiny_model import make_tiny_model
from tests.support.trainer_jobs import MakeJob
from tunegate.cli import main
from tunegate.exceptions import ConfigError
from tunegate.pipeline.pipeline_file import load_pipeline
from tunegate.record.read_run import read_run
from tunegate.suites.suite_file import load_suite
from tunegate_suites import build_check
from tunegate_trainers import process, validate

Capture = pytest.CaptureFixture[str]
Install = Callable[..., None]
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"^```(?:python|yaml) (\S+)\n(.*?)^```", PAGE, flags=re.M | re.S))
ENTRIES = dict(re.findall(r'entry-points\."(\S+)"\]\n(.*?)\n```', PAGE))
CHECK, MODEL, METHOD = (ENTRIES[f"tunegate.{group}"] for group in ("checks", "models", "methods"))


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
        monkeypatch.setenv("PYTHONPATH", str(site))  # for a training, which is a process of its own

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
        ("word", "check 'word': unknown check (did you mean 'words' or 'imported'?)"),
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


# --- methods --------------------------------------------------------------------------------------------------------


def write_project(**changes: str) -> None:
    text = FILES["tunegate.yaml"]
    for old, new in changes.items():
        text = text.replace(FILES_PARTS[old], new)
    Path("tunegate.yaml").write_text(text)
    write_jsonl(Path("train.jsonl"), [{"prompt": f"ask {n}", "completion": f"answer {n}"} for n in range(4)])


FILES_PARTS = {"method": "method: soup", "options": "{share: 0.2}"}


@pytest.mark.usefixtures("training")
def test_the_method_of_the_docs_trains(install: Install, make_job: MakeJob) -> None:
    from safetensors.torch import load_file

    install("tunegate.methods", METHOD, FILES["acme_methods.py"], "acme-methods")
    job = make_job(peft=None, args={"anything": 1}, options={"share": 0.2})
    _, summary = process.run(replace(job, method="soup"))
    assert summary["package"] == {"name": "acme-methods", "version": "1.2"}
    before, after = (load_file(Path(folder) / "model.safetensors") for folder in (job.model, job.output))
    assert all((after[name] == before[name] * 0.8).all() for name in before)


@pytest.mark.slow
def test_the_pipeline_of_the_docs_runs(install: Install, tmp_path: Path) -> None:
    install("tunegate.methods", METHOD, FILES["acme_methods.py"], "acme-methods")
    write_project()
    make_tiny_model(tmp_path / "base")
    assert main(["run", "tunegate.yaml"]) == 0
    attempt = read_run(tmp_path / "runs" / "soup").stages["soup"].attempts[1]
    assert attempt.summary["package"] == {"name": "acme-methods", "version": "1.2"}
    assert attempt.input_sha256 != attempt.model_sha256


def test_the_hash_of_a_pipeline_covers_the_package_of_its_method(install: Install) -> None:
    hashes = set()
    for version in ("1.2", "1.3"):
        install("tunegate.methods", METHOD, FILES["acme_methods.py"], "acme-methods", version)
        write_project()
        hashes.add(load_pipeline(Path("tunegate.yaml"), build_check, validate).sha256)
        sys.path.pop(0)
    assert len(hashes) == 2


TRAINLESS = "class Soup: pass"
OTHER_ROWS = FILES["acme_methods.py"].replace('rows = "sft"', 'rows = "sftt"')


@pytest.mark.parametrize(
    ("source", "changes", "line"),
    [
        (
            BROKEN,
            {},
            "'soup' of the package acme-methods 1.2 (entry point tunegate.methods, acme_methods:Soup) cannot be",
        ),
        (TRAINLESS, {}, "a class with a method `train(self, training)` was expected"),
        (OTHER_ROWS, {}, "method: soup: `rows` is 'sftt'; expected one of cpt, sft"),
        (
            None,
            {"options": "{shar: 0.2}"},
            "options.shar: not an option of soup, of the package acme-methods 1.2 (did you",
        ),
        (None, {"method": "method: sopu"}, "got 'sopu' (did you mean 'soup'"),
        (None, {"method": "method: soup, peft: {r: 4}"}, "peft: method soup cannot heed it"),
        (None, {"method": "method: soup, command: python"}, "command: method soup trains by itself"),
    ],
)
def test_a_method_that_cannot_train_is_one_clear_line(
    install: Install, capsys: Capture, source: str | None, changes: dict[str, str], line: str
) -> None:
    install("tunegate.methods", METHOD, source or FILES["acme_methods.py"], "acme-methods")
    write_project(**changes)
    Path("base").mkdir()
    Path("base/config.json").write_text("{}")
    assert main(["check", "tunegate.yaml"]) == 2
    told = capsys.readouterr().err
    assert line in told
    assert "tunegate.yaml:" in told
    assert told.count("\n") == 1


def test_a_method_of_ours_is_not_taken_over(install: Install) -> None:
    install("tunegate.methods", METHOD.replace("soup", "sft"), FILES["acme_methods.py"], "acme-methods")
    write_project(method="method: sft", options="{}")
    with pytest.raises(
        ConfigError,
        match=r"tunegate.yaml:5: stages\[0\]\.method: .*by Tunegate itself and by the package acme-methods 1\.2",
    ):
        load_pipeline(Path("tunegate.yaml"), build_check, validate)
