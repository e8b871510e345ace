"""Signed promotions: what `promote --sign` writes, and what `verify --key` accepts and refuses."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tunegate
from tests.support.fake_pipeline import carry_out, write_pipeline
from tunegate.checks.outcome import Verdict
from tunegate.cli import main
from tunegate.exceptions import ConfigError, Tampered
from tunegate.models.fingerprint import fingerprint
from tunegate.promotion.dsse import bundle_of
from tunegate.promotion.keys import load_private, load_public, write_keys
from tunegate.promotion.registry import Promotion, promote, verify
from tunegate.promotion.signing import SVR_FILE, TEST_RESULT_FILE
from tunegate.record.read_run import read_run
from tunegate.record.recheck import NotPromotable

FILES = (TEST_RESULT_FILE, SVR_FILE)
Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose run was promoted, and signed with the key `a`; tests work on copies."""
    folder = tmp_path_factory.mktemp("finished") / "project"
    assert carry_out(write_pipeline(folder)).verdict is Verdict.PASS
    for name in "ab":
        write_keys(folder / f"{name}.key", None)
    promoted(folder, "a")
    return folder


@pytest.fixture
def project(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "project"))


def promoted(project: Path, key: str | None, registry: str = "registry", alias: str = "production") -> Promotion:
    signer = None if key is None else load_private(project / f"{key}.key", None)
    return promote(read_run(project / "run"), alias, project / registry, fingerprint, signer=signer)


def verified(project: Path, keys: str = "a", model: str = "production", registry: str = "registry") -> Promotion:
    public = [load_public(project / f"{key}.pub") for key in keys]
    return verify(model, project / registry, fingerprint, public)


def entry(project: Path, registry: str = "registry") -> Path:
    [place] = (project / registry / "models").iterdir()
    return place


def payload_of(path: Path) -> dict[str, Any]:
    return json.loads(base64.b64decode(json.loads(path.read_text())["dsseEnvelope"]["payload"]))


def resigned(path: Path, key: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Sign other content with the right key, as whoever holds it can."""
    statement = payload_of(path)
    change(statement)
    path.write_bytes(bundle_of(statement, load_private(key, None)))


# --- promoting -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("registry", ["registry", "other"])
def test_both_statements_are_beside_the_attestation(project: Path, registry: str) -> None:
    """Of a model that the run itself promoted, and of one that is promoted now."""
    promotion = promoted(project, "a", registry)
    assert [payload_of(promotion.folder / name)["predicateType"].rpartition("attestation/")[2] for name in FILES] == [
        "test-result/v0.1",
        "svr/v0.2",
    ]
    assert promotion.signed
    assert verified(project, registry=registry).keys == (load_public(project / "a.pub").hint,)


def test_a_promotion_that_is_not_signed_has_no_statement(project: Path) -> None:
    promotion = promoted(project, None, "other")
    assert not promotion.signed
    assert not [name for name in FILES if (promotion.folder / name).exists()]


def test_signing_again_changes_nothing(project: Path) -> None:
    before = {name: (entry(project) / name).read_bytes() for name in FILES}
    assert promoted(project, "a").already
    assert {name: (entry(project) / name).read_bytes() for name in FILES} == before


def test_a_signature_by_another_key_is_not_replaced(project: Path) -> None:
    before = (entry(project) / SVR_FILE).read_bytes()
    with pytest.raises(ConfigError, match=r"attestation\.sigstore\.json: .*not by this key.*remove this file"):
        promoted(project, "b")
    assert (entry(project) / SVR_FILE).read_bytes() == before


def test_a_statement_that_is_missing_is_written(project: Path) -> None:
    """As after a crash between the two files."""
    (entry(project) / SVR_FILE).unlink()
    with pytest.raises(Tampered, match=r"svr\.sigstore\.json is missing.*--sign"):
        verified(project)
    assert not promoted(project, "a").already
    assert verified(project).signed


def test_an_older_attestation_that_does_not_name_the_base_can_be_signed(project: Path) -> None:
    path = promoted(project, None, "other").folder / "attestation.json"
    path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != "base_model_sha256"}))
    (project / "other" / "aliases" / "production.json").unlink()  # it was set on the attestation as it was
    promoted(project, "a", "other", "staging")
    assert verified(project, model="staging", registry="other").keys


def test_the_alias_moves_only_after_the_signature(project: Path) -> None:
    """A signature that cannot be written leaves the alias where it is, and no new model in the registry."""
    place = entry(project)
    (place / SVR_FILE).unlink()
    (place / SVR_FILE).mkdir()
    with pytest.raises(Tampered, match="no promotion wrote this"):
        promoted(project, "a", alias="staging")
    assert not (project / "registry" / "aliases" / "staging.json").exists()


# --- verifying -----------------------------------------------------------------------------------------------------


def test_the_alias_the_entry_and_the_models_folder_are_verified(project: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(entry(project) / "model", tmp_path / "copy"))
    (copy / "training_args.bin").write_text("what a training left is no part of the model")
    for model in ("production", str(entry(project)), str(copy), str(project / "run" / "align" / "attempt-1" / "model")):
        assert verified(project, model=model).keys


def test_any_of_the_given_keys_may_have_signed(project: Path) -> None:
    assert verified(project, "ba").keys == (load_public(project / "a.pub").hint,)


def test_another_key_is_tampering(project: Path) -> None:
    with pytest.raises(Tampered, match="is by none of the given keys"):
        verified(project, "b")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("place", [40, 600, -80])
def test_a_changed_byte_of_a_bundle_is_tampering(project: Path, name: str, place: int) -> None:
    path = entry(project) / name
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(Tampered, match=name):
        verified(project)


@pytest.mark.parametrize("name", FILES)
def test_a_bundle_that_cannot_be_read_is_tampering(project: Path, name: str) -> None:
    (entry(project) / name).unlink()
    (entry(project) / name).mkdir()
    with pytest.raises(Tampered, match=f"{name}: no promotion wrote this"):
        verified(project)


def test_a_promotion_that_is_not_signed_is_not_verified(project: Path) -> None:
    promoted(project, None, "other")
    with pytest.raises(NotPromotable, match=r"is not signed; .*--sign KEY"):
        verified(project, registry="other")


def test_bundles_of_another_model_are_tampering(project: Path, tmp_path: Path) -> None:
    """The key is right and the signature good, but the statement is about other files."""
    other = tmp_path / "other"
    path = write_pipeline(other)
    (other / "base" / "weights.txt").write_text("0.0 of another base")
    carry_out(path)
    shutil.copy(project / "a.key", other)
    place = promoted(other, "a").folder
    for name in FILES:
        shutil.copy(place / name, entry(project) / name)
    with pytest.raises(Tampered, match=r"weights\.txt has other content here than when it was signed"):
        verified(project)


def more_files(statement: dict[str, Any]) -> None:
    statement["subject"].append({"name": "code.py", "digest": {"sha256": "0" * 64}})


def fewer_files(statement: dict[str, Any]) -> None:
    statement["subject"].pop()


def another_folder(statement: dict[str, Any]) -> None:
    statement["subject"][0]["digest"]["dirHash"] = "0" * 64


def another_type(statement: dict[str, Any]) -> None:
    statement["_type"] = "https://in-toto.io/Statement/v0.1"


def better(statement: dict[str, Any]) -> None:
    statement["predicate"] = json.loads(
        json.dumps(statement["predicate"]).replace('"passedCases": 5', '"passedCases": 9')
    )


def another_predicate(statement: dict[str, Any]) -> None:
    statement["predicateType"] = "https://in-toto.io/attestation/release/v0.1"


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (more_files, r"the signed file code\.py is missing here"),
        (fewer_files, r"weights\.txt is not among the signed files"),
        (another_folder, "model/ has other content here than when it was signed"),
        (another_type, "contradicts the record"),
        (better, "contradicts the record"),
        (another_predicate, "contradicts the record"),
        (dict.clear, r"config\.json is not among the signed files"),
    ],
)
def test_a_good_signature_under_a_wrong_statement_is_tampering(
    project: Path, change: Callable[[dict[str, Any]], None], fault: str
) -> None:
    resigned(entry(project) / TEST_RESULT_FILE, project / "a.key", change)
    with pytest.raises(Tampered, match=fault):
        verified(project)


def test_the_time_of_the_summary_is_a_time(project: Path) -> None:
    path = entry(project) / SVR_FILE

    def another_time(statement: dict[str, Any]) -> None:
        statement["predicate"]["timeCreated"] = "2020-01-01T00:00:00Z"

    resigned(path, project / "a.key", another_time)
    assert verified(project).keys

    def no_time(statement: dict[str, Any]) -> None:
        statement["predicate"]["timeCreated"] = "soon"

    resigned(path, project / "a.key", no_time)
    with pytest.raises(Tampered, match="contradicts the record"):
        verified(project)


def test_a_statement_of_another_version_is_named(project: Path) -> None:
    def later(statement: dict[str, Any]) -> None:
        statement["predicate"]["tunegateEvaluation"]["format"] = 99

    resigned(entry(project) / TEST_RESULT_FILE, project / "a.key", later)
    with pytest.raises(ConfigError, match=r"another version of Tunegate \(format 99"):
        verified(project)


def test_what_the_operating_system_leaves_is_not_signed(project: Path) -> None:
    (entry(project) / "model" / ".DS_Store").write_text("x")
    assert verified(project).keys


# --- the command line ----------------------------------------------------------------------------------------------


def call(capsys: Capture, *words: object) -> tuple[int, str, str]:
    code = main([str(word) for word in words])
    out, err = capsys.readouterr()
    return code, out, err


def test_the_commands_from_key_to_verification(project: Path, capsys: Capture, monkeypatch: Any) -> None:
    monkeypatch.chdir(project)
    code, out, _ = call(capsys, "keygen", "release.key")
    hint = load_public(project / "release.pub").hint
    assert (code, out) == (0, f"private key: release.key\npublic key: release.pub\nhint: {hint}\n")
    sign = ("promote", "run", "--registry", "signed", "--sign", "release.key")
    code, out, _ = call(capsys, *sign)
    assert code == 0
    assert f"signed with the key {hint}: attestation.sigstore.json, svr.sigstore.json\n" in out
    check = ("verify", "production", "--registry", "signed")
    code, out, _ = call(capsys, *check, "--key", "release.pub")
    assert (code, out.splitlines()[-1]) == (0, f"signature: good, by the key {hint}")
    code, out, _ = call(capsys, *check)
    assert (code, out.splitlines()[-1]) == (
        0,
        "signature: not checked; to check it: tunegate verify production --registry signed --key PUBLIC_KEY",
    )
    code, out, _ = call(capsys, *check, "--key", "release.pub", "--json")
    assert json.loads(out)["signature"] == {"signed": True, "checked": True, "keys": [hint]}
    code, out, _ = call(capsys, *sign, "--json")
    assert json.loads(out)["signature"] == {"signed": True, "checked": True, "keys": [hint]}
    code, out, _ = call(capsys, *check, "--json")
    assert json.loads(out)["signature"] == {"signed": True, "checked": False, "keys": []}
    code, _, err = call(capsys, *check, "--key", "a.pub")
    assert (code, err.count("\n")) == (5, 1)
    assert call(capsys, *check, "--key", "a.pub", "--key", "release.pub")[0] == 0


def test_signatures_are_verified_from_python(project: Path) -> None:
    found = tunegate.verify("production", project / "registry", keys=[project / "b.pub", project / "a.pub"])
    assert found.keys == (load_public(project / "a.pub").hint,)
    with pytest.raises(Tampered):
        tunegate.verify("production", project / "registry", keys=[project / "b.pub"])


def test_a_promotion_that_is_not_signed_prints_what_it_did(project: Path, capsys: Capture) -> None:
    _, out, _ = call(capsys, "promote", project / "run", "--registry", project / "other")
    assert "sign" not in out
    _, out, _ = call(capsys, "verify", "production", "--registry", project / "other")
    assert "sign" not in out


def test_a_password_is_read_from_the_environment(project: Path, capsys: Capture, monkeypatch: Any) -> None:
    monkeypatch.setenv("RELEASE_PASSWORD", "correct horse")
    named = ("--password-env", "RELEASE_PASSWORD")
    assert call(capsys, "keygen", project / "k.key", *named, "--json")[0] == 0
    sign = ("promote", project / "run", "--registry", project / "r", "--sign", project / "k.key")
    code, _, err = call(capsys, *sign)
    assert (code, "--password-env NAME" in err, err.count("\n")) == (2, True, 1)
    assert not (project / "r").exists()
    assert call(capsys, *sign, *named)[0] == 0
    monkeypatch.setenv("RELEASE_PASSWORD", "wrong horse")
    code, _, err = call(capsys, *sign, *named)
    assert (code, "password is wrong" in err, err.count("\n")) == (2, True, 1)
    monkeypatch.delenv("RELEASE_PASSWORD")
    code, _, err = call(capsys, *sign, *named)
    assert (code, err) == (
        2,
        "tunegate promote: --password-env RELEASE_PASSWORD: this variable is not set; put the key's password in it\n",
    )


WITHOUT = "import sys; sys.modules['cryptography'] = None; from tunegate.cli import main; sys.exit(main(sys.argv[1:]))"


@pytest.mark.parametrize(
    "words", ["keygen k.key", "promote run --registry r --sign a.key", "verify production --key a.pub"]
)
def test_without_the_extra_one_line_names_it(project: Path, words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, *words.split()], cwd=project, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "pip install 'tunegate[sign]'" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (project / "k.key").exists()


def test_a_signed_promotion_can_be_found_without_the_extra(project: Path) -> None:
    words = [sys.executable, "-c", WITHOUT, "verify", "production"]
    done = subprocess.run(words, cwd=project, capture_output=True, text=True, check=False)
    assert (done.returncode, "signature: not checked" in done.stdout) == (0, True)


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        ("keygen b.pub", "b.pub: give a name for the private key"),
        ("keygen .", ".: give a name for the private key"),
        ("keygen a.key", "a.key: already exists, and a key is never overwritten"),
        ("promote run --registry r --sign a.pub", "a.pub: this is a public key; give the private key"),
        ("promote run --registry r --sign gone.key", "gone.key: cannot read the key"),
        ("promote run --registry r --sign run", "run: cannot read the key"),
        ("promote run --registry r --sign tunegate.yaml", "tunegate.yaml: not a private key"),
        ("promote run --registry r --password-env HOME", "--password-env: has no effect without --sign"),
        ("verify production --key a.key", "a.key: this is a private key; give the public key"),
        ("verify production --key tunegate.yaml", "tunegate.yaml: not a public key"),
        ("verify production --key gone.pub", "gone.pub: cannot read the key"),
    ],
)
def test_wrong_input_is_one_line(project: Path, capsys: Capture, monkeypatch: Any, words: str, fault: str) -> None:
    monkeypatch.chdir(project)
    code, out, err = call(capsys, *words.split())
    assert (code, out) == (2, "")
    assert fault in err
    assert err.count("\n") == 1
    assert not Path("r").exists()


def test_a_folder_that_cannot_be_written_is_one_line(project: Path, capsys: Capture) -> None:
    (project / "file").write_text("")
    code, _, err = call(capsys, "keygen", project / "file" / "k.key")
    assert (code in (2, 3), err.count("\n")) == (True, 1)
    assert "Traceback" not in err


def test_no_key_of_an_earlier_test_is_left() -> None:
    assert not [name for name in os.listdir() if name.endswith((".key", ".pub"))]
