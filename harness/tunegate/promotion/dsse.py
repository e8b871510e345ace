"""A statement in a DSSE envelope in a Sigstore bundle: how it is signed, and how it is verified.

Sources: https://github.com/secure-systems-lab/dsse/blob/master/protocol.md (DSSE v1),
https://github.com/in-toto/attestation/blob/main/spec/v1/envelope.md (the payload type), and
https://github.com/sigstore/protobuf-specs/blob/main/protos/sigstore_bundle.proto (the bundle, version 0.3).
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tunegate.exceptions import Tampered
from tunegate.hashes import canonical_json
from tunegate.promotion.keys import PrivateKey, PublicKey

PAYLOAD_TYPE = "application/vnd.in-toto+json"
MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"


def pae(payload_type: str, payload: bytes) -> bytes:
    """The bytes that are signed: DSSE's pre-authentication encoding. Lengths are in bytes.

    Example:
        >>> pae("text/plain", b"hello")
        b'DSSEv1 10 text/plain 5 hello'
    """
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def bundle_of(statement: Any, key: PrivateKey) -> bytes:
    """The Sigstore bundle of a statement, signed by a key: the content of a file."""
    payload = canonical_json(statement)
    signature = key.sign(pae(PAYLOAD_TYPE, payload))
    envelope = {
        "payload": _base64(payload),
        "payloadType": PAYLOAD_TYPE,
        "signatures": [{"sig": _base64(signature), "keyid": key.hint}],
    }
    material: dict[str, Any] = {"publicKey": {"hint": key.hint}, "tlogEntries": []}
    bundle = {"mediaType": MEDIA_TYPE, "verificationMaterial": material, "dsseEnvelope": envelope}
    return json.dumps(bundle, indent=2).encode() + b"\n"


@dataclass(frozen=True)
class Signed:
    """A statement with good signatures, and the hints of the keys that signed it."""

    statement: dict[str, Any]
    hints: tuple[str, ...]


def verified(content: bytes, keys: Sequence[PublicKey], place: object) -> Signed:
    """The statement in a bundle, after its signatures were verified; `place` names the bundle in errors.

    The envelope must have at least one signature, and every signature must be good and by one of the keys: a bad
    signature next to a good one is refused. The key that a signature names is only a hint, and proves nothing.

    Raises Tampered for anything else.
    """
    envelope = _envelope_of(content, place)
    signed = pae(envelope.payload_type, envelope.payload)
    total, hints = len(envelope.signatures), list[str]()
    for number, (signature, hint) in enumerate(envelope.signatures, start=1):
        by = next((key.hint for key in keys if key.accepts(signature, signed)), None)
        if by is None:
            which = "its signature" if total == 1 else f"signature {number} of {total}"
            raise Tampered(f"{place}: {_in_words(which, hint, keys)}")
        hints.append(by)
    return Signed(_statement_in(envelope, place), tuple(dict.fromkeys(hints)))


def _statement_in(envelope: _Envelope, place: object) -> dict[str, Any]:
    good = f"{place}: the signature is good, but the payload is not a statement"
    if envelope.payload_type != PAYLOAD_TYPE:
        raise Tampered(f"{good}: its type is {envelope.payload_type!r:.80}")
    try:
        statement = json.loads(envelope.payload)
    except (ValueError, RecursionError) as error:
        raise Tampered(f"{good}: {error}") from error
    if not isinstance(statement, dict):
        raise Tampered(good)
    return statement  # pyright: ignore[reportUnknownVariableType]


def _in_words(which: str, hint: str, keys: Sequence[PublicKey]) -> str:
    if hint in [key.hint for key in keys]:
        return f"{which} names a given key, but does not match this content; the content or the signature was changed"
    named = f"; it names the key {hint}" if hint else ""
    return f"{which} is by none of the given keys{named}"


@dataclass(frozen=True)
class _Envelope:
    payload: bytes
    payload_type: str
    signatures: tuple[tuple[bytes, str], ...]
    """Each signature, with the key that it names; empty if it names none."""


def _envelope_of(content: bytes, place: object) -> _Envelope:
    fault = f"{place}: not a Sigstore bundle, version 0.3, with a statement and a signature"
    try:
        bundle: Any = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Tampered(f"{fault}: it is not JSON") from error
    try:
        return _envelope_in(bundle)
    except ValueError as error:
        raise Tampered(f"{fault}: {error}") from error
    except (LookupError, TypeError, AttributeError) as error:
        raise Tampered(f"{fault}: a field is missing or has the wrong type: {error!r:.80}") from error


def _envelope_in(bundle: Any) -> _Envelope:
    """Raises ValueError, LookupError, TypeError or AttributeError for anything that is not a bundle."""
    if bundle["mediaType"] != MEDIA_TYPE:
        raise ValueError(f"its mediaType is {bundle['mediaType']!r:.80}")
    envelope = bundle["dsseEnvelope"]
    signatures = tuple(_signature(one) for one in envelope["signatures"])
    if not signatures:
        raise ValueError("it has no signature")
    payload_type = envelope["payloadType"]
    if not isinstance(payload_type, str):
        raise TypeError("payloadType")
    return _Envelope(_bytes(envelope["payload"]), payload_type, signatures)


def _signature(found: Mapping[str, Any]) -> tuple[bytes, str]:
    return _bytes(found["sig"]), str(found.get("keyid") or "")


def _bytes(text: str) -> bytes:
    """Decode base64 as in the JSON form of protobuf, where readers accept the URL alphabet too."""
    try:
        return base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except binascii.Error as error:
        raise ValueError(f"not base64: {error}") from error


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
