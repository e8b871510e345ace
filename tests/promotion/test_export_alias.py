"""An export under an alias: found by `verify` and `registry`, signed, and held to the rules of its source."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.exported import FACTS, trained_run
from tunegate.cli import main

pytestmark = pytest.mark.slow
Capture = pytest.CaptureFixture[str]
Run = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that trained real weights, its export, and a registry with the promoted model."""
    folder = tmp_path_factory.mktemp("exported")
    run = trained_run(folder)
    assert main(["promote", str(run), "--registry", str(folder / "registry")]) == 0
    assert main(["export", str(run), "--to", "gguf", "--out", str(folder / "out")]) == 0
    return folder


@pytest.fixture
def folder(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the registry and the export, as the working folder."""
    shutil.copytree(trained / "registry", tmp_path / "registry")
    shutil.copytree(trained / "out", tmp_path / "out")
    monkeypatch.chdir(tmp_path)
    assert main(["keygen", "team.key"]) == 0
    assert main(["keygen", "other.key"]) == 0
    return tmp_path


@pytest.fixture
def tunegate(folder: Path, capsys: Capture) -> Run:
    """Runs a command with `--json`; its exit code and what it said."""

    def run(*words: str) -> tuple[int, dict[str, Any]]:
        capsys.readouterr()
        code = main([*words, "--json"])
        return code, json.loads(capsys.readouterr().out)

    return run


def test_a_deployer_asks_for_the_alias(folder: Path, tunegate: Run, capsys: Capture) -> None:
    assert main(["promote", "out", "--to", "edge", "--why", "fits the device"]) == 0
    assert "alias: edge" in capsys.readouterr().out
    code, told = tunegate("verify", "edge")
    assert (code, told["verdict"], told["aliases"]) == (0, "PASS", ["edge"])
    assert Path(told["deploy"]).read_bytes() == Path("out/model.gguf").read_bytes()
    assert tunegate("registry", "show", "edge") == (code, told)
    assert tunegate("verify", "out/model.gguf")[1] == told
    by_name = {one["alias"]: one for one in tunegate("registry", "list")[1]["aliases"]}
    assert by_name["edge"]["export_of"] == by_name["production"]["sha256"] == told["source"]["sha256"]
    assert by_name["production"]["export_of"] is None
    assert by_name["edge"]["moved"]["why"] == "fits the device"
    assert tunegate("verify", "production")[0] == 0
    assert main(["registry", "diff", "edge", "production"]) == 2
    assert "edge: an export of " in capsys.readouterr().err


def test_without_to_an_export_gets_no_alias(tunegate: Run) -> None:
    assert tunegate("promote", "out")[1]["aliases"] == []
    assert [one["alias"] for one in tunegate("registry", "list")[1]["aliases"]] == ["production"]


def test_an_alias_moves_to_the_export_and_back(tunegate: Run) -> None:
    before = tunegate("verify", "production")[1]["model_sha256"]
    export = tunegate("promote", "out", "--to", "production")[1]["sha256"]
    assert tunegate("verify", "production")[1]["sha256"] == export
    assert tunegate("registry", "rollback", "production", "--why", "slow")[1]["sha256"] == before
    assert tunegate("verify", "production")[1]["model_sha256"] == before
    assert tunegate("registry", "rollback", "production", "--why", "fast")[1]["sha256"] == export


def test_clearing_up_keeps_the_source_of_an_export(tunegate: Run) -> None:
    tunegate("promote", "out", "--to", "production")  # no alias points to the model any more
    assert tunegate("registry", "gc", "--keep", "0", "--yes") == (0, {"removed": []})
    assert tunegate("verify", "production")[0] == 0


def test_a_signed_export_is_verified_with_its_source(tunegate: Run, trained: Path, capsys: Capture) -> None:
    assert tunegate("promote", "out", "--to", "edge", "--sign", "team.key")[0] == 0
    assert main(["verify", "edge", "--key", "team.pub"]) == 1
    assert "this promotion is not signed" in capsys.readouterr().err, "its source is not signed"
    assert main(["promote", str(trained / "run"), "--registry", "registry", "--sign", "team.key"]) == 0
    code, told = tunegate("verify", "edge", "--key", "team.pub")
    assert (code, told["signature"]["checked"]) == (0, True)
    assert tunegate("verify", "out/model.gguf", "--key", "team.pub") == (code, told)
    capsys.readouterr()
    assert main(["verify", "edge", "--key", "other.pub"]) == 5
    signed = Path(told["promoted"]) / "attestation.sigstore.json"
    assert main(["verify", str(signed), "--key", "team.pub", "--subject", "out/model.gguf"]) == 0
    assert "PASSED" in capsys.readouterr().out


@pytest.mark.parametrize("damage", ["signature", "record", "extra file", "pointer"])
def test_damage_is_tampered(damage: str, tunegate: Run, trained: Path) -> None:
    assert main(["promote", str(trained / "run"), "--registry", "registry", "--sign", "team.key"]) == 0
    told = tunegate("promote", "out", "--to", "edge", "--sign", "team.key")[1]
    entry = Path(told["promoted"])
    assert tunegate("verify", "edge", "--key", "team.pub")[0] == 0
    if damage == "signature":
        signed = entry / "attestation.sigstore.json"
        signed.write_text(signed.read_text().replace('"payload": "', '"payload": "AA'))
    elif damage == "record":
        record = json.loads((entry / "export.json").read_text())
        (entry / "export.json").write_text(json.dumps({**record, "type": "f32"}))
    elif damage == "extra file":
        (entry / "run-me.sh").write_text("true")
    else:
        pointer = Path("registry/aliases/edge.json")
        pointer.write_text(pointer.read_text().replace(told["sha256"], told["source"]["sha256"]))
    assert tunegate("verify", "edge", "--key", "team.pub")[0] == 5


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ("aliases: {edge: {pipeline: other}}", "edge belongs to the pipeline 'other', not to 'tiny'"),
        (f"draw: {FACTS + 1}", f"gate 'short' drew {FACTS} cases, {FACTS + 1} are needed"),
        ("keys: [../team.pub]", "this promotion is not signed"),
        ("suites: {facts: " + "0" * 64 + "}", "gate 'facts' must use the suite"),
        ("ask: 20", "ask: 20 recorded cases must be asked"),
    ],
)
def test_the_policy_of_its_source_holds_for_the_alias(policy: str, words: str, folder: Path, capsys: Capture) -> None:
    rules = Path("registry/policy.yaml")
    rules.write_text(policy + "\n")
    assert main(["promote", "out", "--to", "edge"]) == 1
    assert words in capsys.readouterr().err
    assert not Path("registry/exports").exists(), "nothing is written"
    rules.unlink()
    assert main(["promote", "out", "--to", "edge"]) == 0
    rules.write_text(policy + "\n")
    assert main(["verify", "edge"]) == 1, "a policy that was written later holds too"
    rules.unlink()
    Path("policy.yaml").write_text(policy.replace("../", "") + "\n")
    assert main(["verify", "edge"]) == 0
    assert main(["verify", "edge", "--policy", "policy.yaml"]) == 1


def test_a_policy_that_asks_again_allows_no_export_even_if_its_source_was_asked(
    folder: Path, trained: Path, capsys: Capture
) -> None:
    assert main(["promote", str(trained / "run"), "--registry", "registry", "--ask", "20"]) == 0
    Path("registry/policy.yaml").write_text("ask: 20\n")
    assert main(["verify", "production"]) == 0
    capsys.readouterr()
    assert main(["promote", "out", "--to", "edge"]) == 1
    assert "which is not done for exports" in capsys.readouterr().err


def test_a_policy_wants_a_signature_by_its_key(folder: Path, trained: Path, capsys: Capture) -> None:
    assert main(["promote", str(trained / "run"), "--registry", "registry", "--sign", "team.key"]) == 0
    Path("registry/policy.yaml").write_text("keys: [../team.pub]\n")
    capsys.readouterr()
    assert main(["promote", "out", "--to", "edge"]) == 1
    assert "no key was given" in capsys.readouterr().err
    assert main(["promote", "out", "--to", "edge", "--sign", "other.key"]) == 1
    assert main(["promote", "out", "--to", "edge", "--sign", "team.key"]) == 0
    assert main(["verify", "edge"]) == 0
    next(Path("registry/exports").glob("*/*.sigstore.json")).unlink()
    assert main(["verify", "edge"]) == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--to", "mlflow:genes@production"], "an export is not published to mlflow; give an alias"),
        (["--to", "../x"], "alias '../x': expected letters"),
        (["--why", "x"], "--why: has no effect without an alias"),
        (["--ask", "20"], "--ask: has no effect on an export"),
        (["--password-env", "X"], "--password-env: has no effect without --sign"),
        (["--sign", "nowhere.key"], "nowhere.key: "),
    ],
)
def test_wrong_use_is_one_line(words: list[str], says: str, folder: Path, capsys: Capture) -> None:
    capsys.readouterr()
    assert main(["promote", "out", *words]) == 2
    said = capsys.readouterr().err.strip()
    assert says in said
    assert "\n" not in said
