"""Envelope, bundle and keys: what is signed, who accepts it, and what is refused."""

from __future__ import annotations

import base64
import json
import os
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tunegate.exceptions import ConfigError, Tampered
from tunegate.promotion.dsse import MEDIA_TYPE, PAYLOAD_TYPE, bundle_of, pae, verified
from tunegate.promotion.keys import load_private, load_public, write_keys

STATEMENT = {"_type": "https://in-toto.io/Statement/v1", "subject": [{"name": "ä", "digest": {"sha256": "00"}}]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pairs of keys: `a` and `b`."""
    for name in "ab":
        write_keys(tmp_path / f"{name}.key", None)
    return tmp_path


def signed(folder: Path, key: str = "a", statement: Any = STATEMENT) -> dict[str, Any]:
    return json.loads(bundle_of(statement, load_private(folder / f"{key}.key", None)))


def opened(folder: Path, bundle: Any, *keys: str) -> Any:
    content = bundle if isinstance(bundle, bytes) else json.dumps(bundle).encode()
    return verified(content, [load_public(folder / f"{key}.pub") for key in keys or "a"], "x.json").statement


# --- what is signed ------------------------------------------------------------------------------------------------


def test_the_example_of_the_protocol() -> None:
    """https://github.com/secure-systems-lab/dsse/blob/master/protocol.md"""
    encoded = pae("http://example.com/HelloWorld", b"hello world")
    assert encoded == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


def test_lengths_are_counted_in_bytes() -> None:
    assert pae("ä", "ö€".encode()) == b"DSSEv1 2 \xc3\xa4 5 \xc3\xb6\xe2\x82\xac"


def test_a_bundle_has_the_fields_of_version_0_3(folder: Path) -> None:
    bundle = signed(folder)
    hint = load_public(folder / "a.pub").hint
    [signature] = bundle["dsseEnvelope"].pop("signatures")
    payload = base64.b64decode(bundle["dsseEnvelope"].pop("payload"))
    assert json.loads(payload) == STATEMENT
    assert bundle == {
        "mediaType": MEDIA_TYPE,
        "verificationMaterial": {"publicKey": {"hint": hint}, "tlogEntries": []},
        "dsseEnvelope": {"payloadType": PAYLOAD_TYPE},
    }
    assert signature["keyid"] == hint


def test_openssl_accepts_the_signature_and_gives_the_hint(folder: Path, tmp_path: Path) -> None:
    bundle = signed(folder)
    envelope = bundle["dsseEnvelope"]
    (tmp_path / "pae").write_bytes(pae(envelope["payloadType"], base64.b64decode(envelope["payload"])))
    (tmp_path / "sig").write_bytes(base64.b64decode(envelope["signatures"][0]["sig"]))
    verify = ["openssl", "dgst", "-sha256", "-verify", "a.pub", "-signature", "sig", "pae"]
    assert subprocess.run(verify, cwd=tmp_path, capture_output=True, text=True).stdout == "Verified OK\n"
    line = "openssl pkey -pubin -in a.pub -outform DER | openssl dgst -sha256 -binary | base64"
    hint = subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True).stdout.strip()
    assert hint == bundle["verificationMaterial"]["publicKey"]["hint"]


def test_what_was_signed_comes_back(folder: Path) -> None:
    assert opened(folder, signed(folder)) == STATEMENT
    assert opened(folder, signed(folder), "b", "a") == STATEMENT


# --- what is refused -----------------------------------------------------------------------------------------------


def recoded(bundle: dict[str, Any], change: Any) -> dict[str, Any]:
    envelope = bundle["dsseEnvelope"]
    return {**bundle, "dsseEnvelope": {**envelope, **change(envelope)}}


def other_payload(envelope: Any) -> dict[str, str]:
    payload = base64.b64decode(envelope["payload"])
    return {"payload": base64.b64encode(payload.replace(b"00", b"01")).decode()}


def other_signature(envelope: Any) -> dict[str, Any]:
    [signature] = envelope["signatures"]
    sig = bytearray(base64.b64decode(signature["sig"]))
    sig[-1] ^= 1
    return {"signatures": [{**signature, "sig": base64.b64encode(sig).decode()}]}


@pytest.mark.parametrize(
    "change",
    [
        other_payload,
        other_signature,
        lambda envelope: {"payloadType": "application/json"},
        lambda envelope: {"signatures": [{**envelope["signatures"][0], "sig": ""}]},
        lambda envelope: {"signatures": [{**envelope["signatures"][0], "sig": "?"}]},
    ],
)
def test_a_changed_byte_is_tampering(folder: Path, change: Any) -> None:
    with pytest.raises(Tampered, match=r"x\.json: .*signature"):
        opened(folder, recoded(signed(folder), change))


def test_another_key_is_tampering_and_the_hint_is_named(folder: Path) -> None:
    with pytest.raises(Tampered, match=r"x\.json: .* is by none of the given keys; it names the key "):
        opened(folder, signed(folder, "b"), "a")


def test_a_key_id_is_a_hint_only(folder: Path) -> None:
    """Another key with the hint of the given one is refused, and the given one is accepted whatever the hint says."""
    hint = load_public(folder / "a.pub").hint

    def renamed(envelope: Any) -> dict[str, Any]:
        return {"signatures": [{**envelope["signatures"][0], "keyid": hint}]}

    with pytest.raises(Tampered):
        opened(folder, recoded(signed(folder, "b"), renamed), "a")
    assert opened(folder, recoded(signed(folder), lambda e: {"signatures": [{"sig": e["signatures"][0]["sig"]}]}))


@pytest.mark.parametrize("bad_first", [True, False])
@pytest.mark.parametrize("keys", ["a", "ab"])
def test_two_signatures_of_which_one_is_bad(folder: Path, bad_first: bool, keys: str) -> None:
    good = signed(folder)
    [bad] = other_signature(good["dsseEnvelope"])["signatures"]

    def doubled(envelope: Any) -> dict[str, Any]:
        both = [*envelope["signatures"], bad]
        return {"signatures": both[::-1] if bad_first else both}

    with pytest.raises(Tampered, match=r"signature . of 2"):
        opened(folder, recoded(good, doubled), *keys)


def test_two_good_signatures_by_given_keys_are_accepted(folder: Path) -> None:
    first, second = signed(folder), signed(folder, "b")
    [more] = second["dsseEnvelope"]["signatures"]
    both = recoded(first, lambda envelope: {"signatures": [*envelope["signatures"], more]})
    assert opened(folder, both, "a", "b") == STATEMENT
    with pytest.raises(Tampered, match="signature 2 of 2"):
        opened(folder, both, "a")


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\xff", b"[]", b"{}", b'{"dsseEnvelope": 1}', b"[" * 100_000, b'{"dsseEnvelope": {"payload": "!"}}',
        b'{"dsseEnvelope": {"payload": "e30=", "payloadType": "application/vnd.in-toto+json", "signatures": []}}',
        b'{"dsseEnvelope": {"payload": "e30=", "payloadType": 5, "signatures": [{"sig": "e30="}]}}',
        b'{"dsseEnvelope": {"payload": "e30=", "payloadType": "x", "signatures": [5]}}',
    ],
)  # fmt: skip
def test_what_is_no_bundle_is_tampering(folder: Path, content: bytes) -> None:
    with pytest.raises(Tampered, match=r"^x\.json: "):
        opened(folder, content)


def test_signed_bytes_that_are_no_statement_are_tampering(folder: Path) -> None:
    with pytest.raises(Tampered, match="not a statement"):
        opened(folder, signed(folder, statement=[1]))


def test_an_envelope_of_another_version_is_tampering(folder: Path) -> None:
    with pytest.raises(Tampered, match="not a Sigstore bundle"):
        opened(folder, {**signed(folder), "mediaType": "application/json"})


# --- keys ----------------------------------------------------------------------------------------------------------


def test_the_keys_that_signed_are_named(folder: Path) -> None:
    a, b = (load_public(folder / f"{name}.pub") for name in "ab")
    assert verified(json.dumps(signed(folder, "b")).encode(), [a, b], "x").hints == (b.hint,)


def test_a_private_key_is_for_its_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        hint = write_keys(tmp_path / "k.key", None).hint
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "k.key").stat().st_mode) == 0o600
    assert (tmp_path / "k.key").read_text().startswith("-----BEGIN PRIVATE KEY-----")
    assert (tmp_path / "k.pub").read_text().startswith("-----BEGIN PUBLIC KEY-----")
    assert load_private(tmp_path / "k.key", None).hint == load_public(tmp_path / "k.pub").hint == hint


@pytest.mark.parametrize("there", ["k.key", "k.pub"])
def test_no_key_is_overwritten(tmp_path: Path, there: str) -> None:
    (tmp_path / there).write_text("mine")
    with pytest.raises(ConfigError, match=f"{there}: .*exists"):
        write_keys(tmp_path / "k.key", None)
    assert [path.name for path in tmp_path.iterdir()] == [there]
    assert (tmp_path / there).read_text() == "mine"


def test_a_key_with_a_password_needs_it(tmp_path: Path) -> None:
    write_keys(tmp_path / "k.key", b"secret")
    assert "ENCRYPTED" in (tmp_path / "k.key").read_text()
    assert load_private(tmp_path / "k.key", b"secret").hint
    with pytest.raises(ConfigError, match=r"encrypted; name the environment variable .* --password-env"):
        load_private(tmp_path / "k.key", None)
    with pytest.raises(ConfigError, match="the password is wrong"):
        load_private(tmp_path / "k.key", b"other")


def openssl(folder: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)


def test_a_key_that_openssl_made_signs(tmp_path: Path) -> None:
    openssl(tmp_path, "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "a.key")
    openssl(tmp_path, "ec", "-in", "a.key", "-pubout", "-out", "a.pub")
    assert opened(tmp_path, signed(tmp_path)) == STATEMENT


def test_what_is_not_the_key_that_is_needed_is_one_line(folder: Path) -> None:
    openssl(folder, "genpkey", "-algorithm", "ed25519", "-out", "ed.key")
    openssl(folder, "pkey", "-in", "ed.key", "-pubout", "-out", "ed.pub")
    openssl(folder, "ecparam", "-name", "secp384r1", "-genkey", "-noout", "-out", "p384.key")
    (folder / "no.key").write_text("-----BEGIN PRIVATE KEY-----\nxxxx\n-----END PRIVATE KEY-----\n")
    (folder / "empty.key").write_text("")
    private = {
        "a.pub": "a public key; give the private key", "no.key": "not a private key", "empty.key": "not a private key",
        "ed.key": "P-256", "p384.key": "P-256", "gone.key": "No such file",
    }  # fmt: skip
    public = {"a.key": "a private key; give the public key", "empty.key": "not a public key", "ed.pub": "P-256"}
    for name, fault in private.items():
        with pytest.raises(ConfigError, match=fault) as caught:
            load_private(folder / name, None)
        assert "\n" not in str(caught.value)
    for name, fault in public.items():
        with pytest.raises(ConfigError, match=fault):
            load_public(folder / name)
    with pytest.raises(ConfigError, match="has no password"):
        load_private(folder / "a.key", b"one too many")
