"""MLflow: what is published, that only `promote` moves the alias, and that `verify` hashes the bytes at hand.

With MLflow's own database in a file, offline; the slow test does the same with a real `mlflow server`.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support.published import QUIET, finished_project, mlflow_server
from tunegate.cli import main
from tunegate.models.fingerprint import fingerprint

Capture = pytest.CaptureFixture[str]
mlflow = pytest.importorskip("mlflow", reason="the extra 'mlflow' is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")  # of MLflow's own code

HERE = ["--registry", "registry"]
TO = ["promote", "run", *HERE, "--to", "mlflow:genes@production"]
MODEL = "models:/genes@production"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose run passed, and an empty database of MLflow, which takes seconds to make."""
    folder = finished_project(tmp_path_factory.mktemp("finished") / "project")
    os.environ.update(QUIET)
    mlflow.MlflowClient(f"sqlite:///{folder / 'mlflow.db'}").search_registered_models()
    return folder


@pytest.fixture
def project(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = Path(shutil.copytree(finished, tmp_path / "project"))
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
    return folder


def client() -> Any:
    return mlflow.MlflowClient()


def published_folder(version: str = "1") -> Path:
    """Where the artifacts of a version are on disk."""
    source = client().get_model_version("genes", version).source
    return Path(mlflow.artifacts.download_artifacts(artifact_uri=source))


def test_a_promotion_is_a_version_with_its_evidence(project: Path, capsys: Capture) -> None:
    assert main(TO) == 0
    assert "MLflow: models:/genes@production is version 1" in capsys.readouterr().out
    version = client().get_model_version_by_alias("genes", "production")
    sha256 = fingerprint(project / "run" / "align" / "attempt-1" / "model")
    assert version.tags["tunegate.verdict"] == "PASS"
    assert version.tags["tunegate.model_sha256"] == sha256
    assert len(version.tags["tunegate.attestation_sha256"]) == 64
    entry = published_folder()
    assert sorted(path.name for path in entry.iterdir()) == ["attestation.json", "events.jsonl", "model"]
    assert fingerprint(entry / "model") == sha256


def test_a_bundle_in_the_entry_goes_along(project: Path) -> None:
    [entry] = (project / "registry" / "models").iterdir()
    (entry / "attestation.sigstore.json").write_text("{}")
    assert main(TO) == 0
    assert (published_folder() / "attestation.sigstore.json").read_text() == "{}"


def test_gates_are_metrics_and_the_report_an_artifact(project: Path) -> None:
    assert main(TO) == 0
    run = client().get_run(client().get_model_version("genes", "1").run_id)
    assert run.data.metrics["align.facts.passed"] == run.data.metrics["align.facts.drawn"] == 5
    assert run.data.metrics["align.facts _retention_.exit_code"] == 0
    assert [one.value for one in client().get_metric_history(run.info.run_id, "sft.facts.exit_code")] == [1, 0]
    assert "report.html" in [one.path for one in client().list_artifacts(run.info.run_id)]
    assert run.data.tags["tunegate.verdict"] == "PASS"


def test_any_run_can_be_logged(project: Path, capsys: Capture) -> None:
    assert main(["report", "run", "--mlflow", "attempts"]) == 0
    assert "MLflow: experiment attempts, run " in capsys.readouterr().err
    experiment = client().get_experiment_by_name("attempts")
    [run] = client().search_runs([experiment.experiment_id])
    assert run.data.metrics["align.facts.accept"] == 4


def test_the_same_model_is_one_version(project: Path) -> None:
    assert main(TO) == main(TO) == 0
    assert main(["promote", "run", *HERE, "--to", "mlflow:genes@staging"]) == 0
    assert len(client().search_model_versions("name = 'genes'")) == 1
    assert client().get_registered_model("genes").aliases.keys() == {"production", "staging"}


def test_a_run_that_missed_moves_no_alias(project: Path, capsys: Capture) -> None:
    assert main(TO) == 0
    (project / "run" / "align" / "attempt-1" / "model" / "weights.txt").write_text("1.0")
    assert main(["promote", "run", *HERE, "--to", "mlflow:genes@staging"]) == 5
    assert client().get_registered_model("genes").aliases.keys() == {"production"}


def test_verify_hashes_the_bytes_at_hand(project: Path, capsys: Capture) -> None:
    main(TO)
    capsys.readouterr()
    for model in (MODEL, "models:/genes/1"):
        assert main(["verify", model]) == 0
        assert f"{model} (version 1): {fingerprint(published_folder() / 'model')}" in capsys.readouterr().out
    assert main(["verify", MODEL, "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["promoted"] is True
    assert "anyone with write access can replace all three" in said.err
    assert main(["verify", "production"]) == 0
    assert "replace all three" not in capsys.readouterr().err, "the user's own registry folder"


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        ("weights", 5, "contradicts the record"),
        ("attestation", 5, "contradicts the record"),
        ("record", 5, "events.jsonl"),
        ("no evidence", 1, "version 1 has no evidence of a promotion"),
        ("code", 5, "attestation"),
    ],
)
def test_what_changed_in_mlflow_does_not_verify(
    project: Path, capsys: Capture, change: str, code: int, said: str
) -> None:
    main(TO)
    entry = published_folder()
    if change == "weights":
        (entry / "model" / "weights.txt").write_text("1.0\nother")
    elif change == "attestation":
        text = (entry / "attestation.json").read_text()
        (entry / "attestation.json").write_text(text.replace('"passed": 5', '"passed": 4', 1))
    elif change == "record":
        text = (entry / "events.jsonl").read_text()
        (entry / "events.jsonl").write_text(text.replace("align", "allgn", 1))
    elif change == "code":
        (entry / "model" / "modeling.py").write_text("import os")
    else:
        (entry / "attestation.json").unlink()
    capsys.readouterr()
    assert main(["verify", MODEL, "--out", "kept"]) == code
    error = capsys.readouterr().err
    assert said in error
    assert "/tmp" not in error.replace(str(project), ""), "it names the version, and no temporary folder"
    assert not (project / "kept").exists(), "what does not verify is not kept"
    assert [path.name for path in project.glob(".kept*")] == []


def test_what_is_deployed_is_what_was_verified(project: Path, capsys: Capture) -> None:
    main(TO)
    assert main(["verify", MODEL, "--out", "kept"]) == 0
    assert "registry entry: kept" in capsys.readouterr().out
    assert fingerprint(project / "kept" / "model") == fingerprint(published_folder() / "model")
    assert main(["verify", MODEL, "--out", "kept"]) == 2, "never overwritten"
    assert main(["verify", "kept"]) == 0, "an entry verifies, although a registry is in the working folder"
    assert main(["verify", "kept", *HERE]) == 0, "the registry that was named has its bytes"
    shutil.rmtree(project / "registry")
    assert main(["verify", "kept"]) == 0, "an entry verifies without its registry"
    (project / "kept" / "model" / "weights.txt").write_text("1.0")
    assert main(["verify", "kept"]) == 5


def test_a_fetched_version_is_held_against_a_policy(project: Path, capsys: Capture) -> None:
    main(TO)
    policy = project / "deploy.yaml"
    verify = ["verify", MODEL, "--policy", "deploy.yaml"]
    assert main(verify) == 2
    assert "deploy.yaml" in capsys.readouterr().err
    for rule, code, said in (
        ("draw: 5", 0, ""),
        ("draw: 6", 1, "deploy.yaml: gate 'facts' drew 5 cases, 6 are needed"),
        ("aliases: {production: {pipeline: small}}", 0, ""),
        ("aliases: {production: {pipeline: genes}}", 1, "production belongs to the pipeline 'genes', not to 'small'"),
        ("waivers: {most: 0}\njudges: []", 0, ""),
        (f"suites: {{facts: {'0' * 64}}}", 1, "gate 'facts' must use the suite 000000000000…"),
        ("ask: 5", 1, "at this promotion none were"),
        ("draw: none", 2, "deploy.yaml:1: draw"),
    ):
        policy.write_text(rule)
        capsys.readouterr()
        assert main([*verify, "--out", "kept"]) == code, rule
        assert said in capsys.readouterr().err
        assert (project / "kept").exists() == (code == 0)
        shutil.rmtree(project / "kept", ignore_errors=True)
    policy.write_text("aliases: {production: {pipeline: genes}}")
    assert main(["verify", "models:/genes/1", "--policy", "deploy.yaml"]) == 0, "a version has no alias"
    policy.write_text("draw: 6")
    assert main(["verify", "production", "--policy", "deploy.yaml"]) == 1, "an entry of a registry folder too"
    for flag in ("--policy", "--key"):
        assert main(["verify", "run", flag, "deploy.yaml"]) == 2, "a run is no promotion"


def test_a_promotion_that_is_signed_later_goes_along_with_its_signature(project: Path, capsys: Capture) -> None:
    pytest.importorskip("cryptography")
    assert main(["keygen", "ci.key"]) == main(["keygen", "other.key"]) == 0
    assert main(TO) == 0
    (project / "deploy.yaml").write_text("keys: [ci.pub]")
    by_key, by_policy = ["verify", MODEL, "--key", "ci.pub"], ["verify", MODEL, "--policy", "deploy.yaml"]
    assert [main(by_key), main(by_policy)] == [1, 1]
    assert main([*TO, "--sign", "ci.key"]) == 0
    capsys.readouterr()
    assert [main(by_key), main(by_policy)] == [0, 0]
    said = capsys.readouterr()
    assert said.out.count("signature: good, by the key ") == 2
    assert "replace all three" not in said.err
    assert main(["verify", MODEL, "--key", "other.pub"]) == 5
    (project / "deploy.yaml").write_text("keys: [other.pub, ci.pub]")
    assert main(by_policy) == 0
    (project / "deploy.yaml").write_text("keys: [other.pub]")
    assert main(by_policy) == 5
    assert len(client().search_model_versions("name = 'genes'")) == 2, "other evidence is another version"


def test_a_version_of_another_hand_is_refused(project: Path, capsys: Capture) -> None:
    """An alias that was moved by hand to a version without evidence does not verify."""
    main(TO)
    run = client().create_run("0")
    client().log_artifacts(run.info.run_id, str(published_folder() / "model"), "model")
    made = client().create_model_version("genes", f"{run.info.artifact_uri}/model", run.info.run_id)
    client().set_registered_model_alias("genes", "production", made.version)
    assert main(["verify", MODEL]) == 1
    assert "version 2 has no evidence of a promotion" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["promote", "run", "--to", "mlflow:genes"], "expected mlflow:NAME@ALIAS"),
        (["verify", "models:/genes"], "expected models:/NAME@ALIAS or models:/NAME/VERSION"),
        (["verify", "run", "--out", "x"], "leave it out, or name a model in MLflow or on the Hub"),
    ],
)
def test_other_names_are_refused(project: Path, capsys: Capture, words: list[str], said: str) -> None:
    assert main(words) == 2
    assert said in capsys.readouterr().err


def test_the_server_must_be_named(project: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert main(TO) == 2
    assert "set the environment variable MLFLOW_TRACKING_URI" in capsys.readouterr().err
    assert not (project / "mlruns").exists()
    assert main(["promote", "run", "--registry", "new", "--to", "mlflow:genes@production"]) == 2
    assert not (project / "new").exists(), "it is found out before the registry folder changes"


def test_an_absent_model_is_a_fault_of_mlflow(project: Path, capsys: Capture) -> None:
    assert main(["verify", "models:/absent@production"]) == 3
    assert "MLflow, models:/absent@production" in capsys.readouterr().err


@pytest.mark.slow
def test_a_real_server(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    """Its artifacts go over HTTP; a change of one byte on its disk is found."""
    pytest.importorskip("flask", reason="a server of MLflow needs flask")
    folder = Path(shutil.copytree(finished, tmp_path / "project"))
    monkeypatch.chdir(folder)
    with mlflow_server(tmp_path / "server") as url:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
        assert main(TO) == 0
        assert main(["report", "run", "--mlflow", "attempts"]) == 0
        assert main(["verify", MODEL, "--out", "kept"]) == 0
        assert fingerprint(folder / "kept" / "model") == fingerprint(folder / "run" / "align" / "attempt-1" / "model")
        [weights] = (tmp_path / "server" / "artifacts").rglob("weights.txt")
        weights.write_text("1.0")
        assert main(["verify", MODEL, "--out", "other"]) == 5
    assert not (folder / "other").exists()
    assert main(["verify", MODEL]) == 3, "there is no server any more"
