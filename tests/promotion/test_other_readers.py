"""Other programs read what Tunegate signs, and refuse what it refuses: `securesystemslib`, `in-toto-attestation`, and
npm's `@sigstore/verify`."""

from __future__ import annotations

import base64
import copy
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from in_toto_attestation.predicates.test_result.v0 import test_result_pb2
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey

from tests.support.fake_pipeline import carry_out, write_pipeline
from tests.support.places import TESTS
from tunegate.models.fingerprint import fingerprint
from tunegate.promotion.keys import load_private, load_public, write_keys
from tunegate.promotion.registry import promote
from tunegate.promotion.signing import SIGNED_FILES, TEST_RESULT_FILE
from tunegate.record.read_run import read_run

Json = dict[str, Any]
Change = Callable[[Json], None]


@pytest.fixture(scope="module")
def entry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A signed registry entry, with the pairs of keys `a`, which signed, and `b` beside it."""
    folder = tmp_path_factory.mktemp("signed") / "project"
    carry_out(write_pipeline(folder))
    for name in "ab":
        write_keys(folder / f"{name}.key", None)
    signer = load_private(folder / "a.key", None)
    place = promote(read_run(folder / "run"), "production", folder / "registry", fingerprint, signer=signer).folder
    for name in "ab":
        shutil.copy(folder / f"{name}.pub", place)
    return place


def bundle_in(entry: Path, name: str = TEST_RESULT_FILE) -> Json:
    return json.loads((entry / name).read_text())


def payload_changed(envelope: Json) -> None:
    payload = base64.b64decode(envelope["payload"]).replace(b'"PASSED"', b'"FAILED"')
    envelope["payload"] = base64.b64encode(payload).decode()


def signature_changed(envelope: Json) -> None:
    content = bytearray(base64.b64decode(envelope["signatures"][0]["sig"]))
    content[-1] ^= 1
    envelope["signatures"][0]["sig"] = base64.b64encode(content).decode()


def bad_one_added(envelope: Json) -> None:
    """Two signatures, the second of which is bad."""
    envelope["signatures"].append(copy.deepcopy(envelope["signatures"][0]))
    signature_changed({"signatures": envelope["signatures"][1:]})


def bad_one_first(envelope: Json) -> None:
    bad_one_added(envelope)
    envelope["signatures"].reverse()


CHANGES = [payload_changed, signature_changed, bad_one_added, bad_one_first]

# --- securesystemslib ----------------------------------------------------------------------------------------------


def verify_with_securesystemslib(bundle: Json, entry: Path, key: str) -> bytes:
    """The payload of a bundle's envelope, verified; the library matches signatures and keys by key id."""
    envelope = Envelope.from_dict(copy.deepcopy(bundle["dsseEnvelope"]))
    envelope.verify([crypto_key(entry, key)], 1)
    return envelope.payload


def crypto_key(entry: Path, name: str) -> SSlibKey:
    key = load_public(entry / f"{name}.pub")
    return SSlibKey.from_crypto(key.key, keyid=key.hint)


@pytest.mark.parametrize("name", SIGNED_FILES)
def test_securesystemslib_accepts_it(entry: Path, name: str) -> None:
    payload = verify_with_securesystemslib(bundle_in(entry, name), entry, "a")
    assert json.loads(payload)["_type"] == "https://in-toto.io/Statement/v1"


@pytest.mark.parametrize("change", CHANGES)
def test_securesystemslib_refuses_what_was_changed(entry: Path, change: Change) -> None:
    bundle = bundle_in(entry)
    change(bundle["dsseEnvelope"])
    with pytest.raises((VerificationError, ValueError)):
        verify_with_securesystemslib(bundle, entry, "a")


def test_securesystemslib_refuses_another_key(entry: Path) -> None:
    with pytest.raises(VerificationError):
        verify_with_securesystemslib(bundle_in(entry), entry, "b")


def test_securesystemslib_refuses_two_signatures_of_which_one_is_bad(entry: Path) -> None:
    """Each names another key, and both must be good: threshold 2."""
    keys = [crypto_key(entry, name) for name in "ab"]
    envelope = bundle_in(entry)["dsseEnvelope"]
    bad_one_added(envelope)
    envelope["signatures"][1]["keyid"] = keys[1].keyid
    with pytest.raises(VerificationError):
        Envelope.from_dict(envelope).verify(keys, 2)


# --- in-toto-attestation -------------------------------------------------------------------------------------------


def statement_in(entry: Path, name: str) -> Json:
    return json.loads(base64.b64decode(bundle_in(entry, name)["dsseEnvelope"]["payload"]))


@pytest.mark.parametrize("name", SIGNED_FILES)
def test_in_toto_accepts_the_statement(entry: Path, name: str) -> None:
    parsed = json_format.ParseDict(statement_in(entry, name), statement_pb2.Statement())
    Statement.copy_from_pb(parsed).validate()
    assert [subject.name for subject in parsed.subject] == ["model/", "config.json", "weights.txt"]


def test_in_toto_reads_the_test_result_and_ignores_only_our_field(entry: Path) -> None:
    predicate = statement_in(entry, TEST_RESULT_FILE)["predicate"]
    parsed = json_format.ParseDict(predicate, test_result_pb2.TestResult(), ignore_unknown_fields=True)
    assert parsed.result == "PASSED"
    assert list(parsed.passed_tests) == predicate["passedTests"]
    assert [one.digest["sha256"] for one in parsed.configuration] == [
        one["digest"]["sha256"] for one in predicate["configuration"]
    ]
    del predicate["tunegateEvaluation"]
    json_format.ParseDict(predicate, test_result_pb2.TestResult())


@pytest.mark.parametrize("field", ["subject", "predicateType", "_type"])
def test_in_toto_refuses_a_statement_without(entry: Path, field: str) -> None:
    statement = statement_in(entry, TEST_RESULT_FILE)
    del statement[field]
    parsed = json_format.ParseDict(statement, statement_pb2.Statement())
    with pytest.raises(ValueError):
        Statement.copy_from_pb(parsed).validate()


# --- npm: @sigstore/verify -----------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[int, str]]:
    """Runs `tests/interop/verify.mjs`; its packages are installed for this session, or the test is skipped."""
    program, npm = shutil.which("node"), shutil.which("npm")
    if program is None or npm is None:
        pytest.skip("node and npm are not installed")
    folder = tmp_path_factory.mktemp("interop")
    for path in (TESTS / "interop").iterdir():
        if path.is_file():
            shutil.copy(path, folder)
    words = [npm, "ci", "--prefer-offline", "--no-audit", "--no-fund", "--ignore-scripts"]
    try:
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip("npm could not install @sigstore/verify within 120 s")
    if done.returncode:
        pytest.skip(f"npm could not install @sigstore/verify: {done.stderr.strip()[-300:]}")

    def verify(*words: Path) -> tuple[int, str]:
        command = [program, str(folder / "verify.mjs"), *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        return done.returncode, done.stdout.strip() or done.stderr.strip()

    return verify


Node = Callable[..., tuple[int, str]]


@pytest.mark.parametrize("name", SIGNED_FILES)
@pytest.mark.parametrize("file", ["weights.txt", "config.json"])
def test_sigstore_accepts_it(entry: Path, node: Node, name: str, file: str) -> None:
    code, told = node(entry / name, entry / "a.pub", entry / "model" / file)
    assert (code, told) == (0, statement_in(entry, name)["predicateType"])


@pytest.mark.parametrize("change", CHANGES)
def test_sigstore_refuses_what_was_changed(entry: Path, node: Node, tmp_path: Path, change: Change) -> None:
    bundle = bundle_in(entry)
    change(bundle["dsseEnvelope"])
    (tmp_path / "changed.json").write_text(json.dumps(bundle))
    code, told = node(tmp_path / "changed.json", entry / "a.pub", entry / "model" / "weights.txt")
    assert code == 1
    assert told in ("Error: invalid bundle", "VerificationError: signature verification failed")


def test_sigstore_refuses_another_key(entry: Path, node: Node, tmp_path: Path) -> None:
    files = entry / TEST_RESULT_FILE, entry / "b.pub", entry / "model" / "weights.txt"
    code, told = node(*files)
    assert (code, "signed with the key" in told) == (1, True)
    a, b = (load_public(entry / f"{name}.pub").hint for name in "ab")
    renamed = (entry / TEST_RESULT_FILE).read_text().replace(a, b)
    (tmp_path / "renamed.json").write_text(renamed)
    code, told = node(tmp_path / "renamed.json", *files[1:])
    assert (code, "signature verification failed" in told) == (1, True)


def test_sigstore_refuses_another_subject(entry: Path, node: Node, tmp_path: Path) -> None:
    (tmp_path / "weights.txt").write_text("other weights")
    code, told = node(entry / TEST_RESULT_FILE, entry / "a.pub", tmp_path / "weights.txt")
    assert (code, "is not a subject" in told) == (1, True)
