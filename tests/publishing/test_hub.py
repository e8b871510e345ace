"""The Hugging Face Hub, as a stub of its API on loopback: model card, evidence, pull request or tag, and back."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.hub_stub import Repository, hub
from tests.support.published import finished_project
from tunegate.cli import main
from tunegate.exceptions import ConfigError
from tunegate.models.fingerprint import fingerprint
from tunegate.publishing.model_card import BEGIN, END, with_gates
from tunegate.record.tested import AreasTested, Counted

Capture = pytest.CaptureFixture[str]
huggingface_hub = pytest.importorskip("huggingface_hub", reason="the extra 'hub' is not installed")

CARD = "---\nlicense: apache-2.0\nlanguage: [de]\n---\n\n# Genes\n\nWritten by hand.\n"
PROMOTE = ["promote", "run", "--registry", "registry", "--to"]
GATE = {
    "stage": "sft", "gate": "facts | x", "attempt": 2, "passed": 93, "asked": 100, "drawn": 100, "accept": 90,
    "interval": [0.861, 0.971], "suite_sha256": "a" * 64,
}  # fmt: skip
SEEN = AreasTested(("facts | x",), (Counted("pii", "facts | x", "pii", 0, 100, (0.0, 0.036)),), ("judge",))
ATTESTATION = {"model_sha256": "b" * 64, "gates": [GATE], "waivers": []}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_project(tmp_path_factory.mktemp("finished") / "project")


@pytest.fixture
def project(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = Path(shutil.copytree(finished, tmp_path / "project"))
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def repository(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Repository]:
    with hub("you/genes", {"README.md": CARD.encode(), ".gitattributes": b"*.bin lfs\n"}) as repository:
        monkeypatch.setenv("HF_ENDPOINT", repository.url)
        monkeypatch.setenv("HF_TOKEN", "hf_secret")
        yield repository


def test_a_tag_has_the_model_its_evidence_and_a_card(project: Path, repository: Repository, capsys: Capture) -> None:
    assert main([*PROMOTE, "hf:you/genes@v1"]) == 0
    said = capsys.readouterr()
    assert f"Hugging Face Hub: commit {repository.refs['v1']}, tag v1" in said.out
    assert "hf_secret" not in said.out + said.err
    found = repository.files_at("v1")
    assert found
    assert sorted(found[1]) == [
        ".gitattributes", "README.md", "config.json",
        "tunegate/attestation.json", "tunegate/events.jsonl", "weights.txt",
    ]  # fmt: skip
    card = found[1]["README.md"].decode()
    metadata = yaml.safe_load(card.split("---\n")[1])
    assert (metadata["license"], metadata["language"]) == ("apache-2.0", ["de"])
    [index] = metadata["model-index"]
    assert [one["dataset"]["name"] for one in index["results"]] == ["facts", "facts (retention)", "style (retention)"]
    assert index["results"][0]["metrics"] == [{"type": "pass_rate", "name": "passed 5 of 5, 4 needed", "value": 1.0}]
    assert "Written by hand." in card
    assert "## What was tested, and what was not" in card
    assert "| personal data in answers | not tested |" in card
    assert fingerprint(project / "run" / "align" / "attempt-1" / "model") in card


def test_what_the_hub_does_not_give_back_is_not_tagged(project: Path, repository: Repository) -> None:
    repository.changes = b"changed"
    assert main([*PROMOTE, "hf:you/genes@v1"]) == 5
    assert "v1" not in repository.refs


def test_without_a_tag_it_is_a_pull_request(project: Path, repository: Repository, capsys: Capture) -> None:
    (next((project / "registry" / "models").iterdir()) / "attestation.sigstore.json").write_text("{}")
    assert main([*PROMOTE, "hf:you/genes"]) == 0
    assert f"pull request {repository.url}/you/genes/discussions/1" in capsys.readouterr().out
    assert repository.refs["main"] == f"{0:040x}", "the main branch is unchanged"
    proposed = repository.files_at("refs/pr/1")
    assert proposed
    assert proposed[1]["tunegate/attestation.sigstore.json"] == b"{}"
    assert main(["verify", "hf:you/genes@refs/pr/1"]) == 0


def test_verify_fetches_a_revision_and_hashes_its_bytes(project: Path, repository: Repository, capsys: Capture) -> None:
    main([*PROMOTE, "hf:you/genes@v1"])
    capsys.readouterr()
    assert main(["verify", "hf:you/genes@v1", "--out", "kept"]) == 0
    assert f"hf:you/genes@v1 (commit {repository.refs['v1']})" in capsys.readouterr().out
    assert (project / "kept" / "model" / "weights.txt").is_file()
    found = repository.files_at("v1")
    assert found
    for name, data in (
        ("weights.txt", b"1.0"),
        ("modeling.py", b"import os"),
        ("tunegate/events.jsonl", b""),
        ("tunegate/model/x", b""),
    ):
        repository.commit({**found[1], name: data}, "v1")
        assert main(["verify", "hf:you/genes@v1", "--out", "other"]) == 5, name
    repository.commit({**found[1], "pytorch_model.bin": b"pickle"}, "v1")
    assert main(["verify", "hf:you/genes@v1"]) == 2
    assert "pickled weights are refused" in capsys.readouterr().err
    assert not (project / "other").exists()


def test_a_fetched_revision_is_verified_by_key_and_policy(
    project: Path, repository: Repository, capsys: Capture
) -> None:
    pytest.importorskip("cryptography")
    assert main(["keygen", "ci.key"]) == 0
    assert main([*PROMOTE, "hf:you/genes@v1", "--sign", "ci.key"]) == 0
    verify = ["verify", "hf:you/genes@v1"]
    assert main([*verify, "--key", "ci.pub"]) == 0
    for rule, code in (("keys: [ci.pub]", 0), ("aliases: {v1: {pipeline: genes}}", 1), ("draw: 6", 1)):
        (project / "deploy.yaml").write_text(rule)
        assert main([*verify, "--policy", "deploy.yaml"]) == code, rule
    found = repository.files_at("v1")
    assert found
    for name in ("attestation", "svr"):
        repository.commit({k: v for k, v in found[1].items() if k != f"tunegate/{name}.sigstore.json"}, "v1")
        assert main([*verify, "--key", "ci.pub"]) == 5, name


def test_a_revision_of_another_hand_does_not_verify(project: Path, repository: Repository, capsys: Capture) -> None:
    assert main(["verify", "hf:you/genes@main"]) == 1
    assert "this revision has no evidence of a promotion" in capsys.readouterr().err
    assert main(["verify", "hf:you/genes@absent"]) == 3
    assert main(["verify", "hf:you/genes"]) == 2


# --- the model card ------------------------------------------------------------------------------------------------


def test_the_section_is_replaced_and_the_rest_is_kept() -> None:
    once = with_gates(CARD, ATTESTATION, "you/genes", SEEN)
    assert with_gates(once, ATTESTATION, "you/genes", SEEN) == once
    assert once.count(BEGIN) == once.count(END) == 1
    assert "| sft | facts   x | 93 of 100 | 90 | 86.1% to 97.1% |" in once, "a name cannot end its cell"
    assert with_gates("", ATTESTATION, "you/genes", SEEN).startswith("---\nmodel-index:\n")


def test_the_hub_reads_the_results() -> None:
    """With its own library, which refuses a `model-index` that is not well formed."""
    card = huggingface_hub.ModelCard(with_gates(CARD, ATTESTATION, "you/genes", SEEN), ignore_metadata_errors=False)
    [result] = card.data.eval_results
    assert (result.dataset_name, result.metric_type, result.metric_value) == ("facts | x", "pass_rate", 0.93)
    assert card.data.model_name == "genes"


@pytest.mark.parametrize("card", ["---\n- a\n---\n", "---\na: [\n---\n"])
def test_broken_metadata_are_refused(card: str) -> None:
    with pytest.raises(ConfigError, match=r"README.md: its metadata, .* is not"):
        with_gates(card, ATTESTATION, "you/genes", SEEN)
