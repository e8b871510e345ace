"""Signing keys: ECDSA on the curve P-256, as PEM files that OpenSSL and Sigstore's programs can read too.

`cryptography`, the extra `sign`, is imported only when a key is used.
"""

from __future__ import annotations

import base64
import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunegate.exceptions import ConfigError
from tunegate.optional import optional_import

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey

CURVE = "expected an ECDSA key on the curve P-256, such as `tunegate keygen` writes"


@dataclass(frozen=True)
class PublicKey:
    """A key that verifies. `hint` names it: the base64 of the SHA-256 of its DER form, as in sigstore-go."""

    key: EllipticCurvePublicKey
    hint: str

    def accepts(self, signature: bytes, signed: bytes) -> bool:
        """Whether this key made the signature (ECDSA with SHA-256, in DER) for these bytes."""
        invalid = _crypto("exceptions").InvalidSignature
        try:
            self.key.verify(signature, signed, _ecdsa_sha256())
        except invalid:
            return False
        return True


@dataclass(frozen=True)
class PrivateKey:
    """A key that signs, and the hint of its public key."""

    key: EllipticCurvePrivateKey
    hint: str

    @property
    def public(self) -> PublicKey:
        """The key that verifies what this one signs."""
        return PublicKey(self.key.public_key(), self.hint)

    def sign(self, content: bytes) -> bytes:
        """The signature of these bytes: ECDSA with SHA-256, in DER."""
        return self.key.sign(content, _ecdsa_sha256())


def write_keys(private: Path, password: bytes | None) -> PublicKey:
    """Make a key pair: the private key at `private`, and the public key next to it with the suffix `.pub`.

    The private key is in PKCS#8, encrypted if there is a password, and readable only by its owner. Raises ConfigError
    if one of the files exists: a key is never overwritten.
    """
    form = _crypto("hazmat.primitives.serialization")
    curves = _crypto("hazmat.primitives.asymmetric.ec")
    key: EllipticCurvePrivateKey = curves.generate_private_key(curves.SECP256R1())
    encryption = form.BestAvailableEncryption(password) if password else form.NoEncryption()
    public = public_place(private)
    for path in (private, public):
        if path.exists() or path.is_symlink():
            raise ConfigError(f"{path}: already exists, and a key is never overwritten; choose another name")
    private.parent.mkdir(parents=True, exist_ok=True)
    _write_new(private, key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, encryption), 0o600)
    try:
        pem = key.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
        _write_new(public, pem, 0o644)
    except BaseException:
        with suppress(OSError):
            private.unlink()
        raise
    return _public(key.public_key())


def public_place(private: Path) -> Path:
    """Where the public key of `release.key` is written: `release.pub`. Raises ConfigError for a private key `x.pub`."""
    if private.suffix == ".pub" or not private.name:
        raise ConfigError(
            f"{private}: give a name for the private key, for example release.key; the public key is then release.pub"
        )
    return private.with_suffix(".pub")


def _write_new(path: Path, content: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def load_private(path: Path, password: bytes | None) -> PrivateKey:
    """The private key in a PEM file. Raises ConfigError for anything else, and for a wrong or missing password."""
    content = _read(path)
    form = _crypto("hazmat.primitives.serialization")
    if b"PUBLIC KEY" in content:
        raise ConfigError(f"{path}: this is a public key; give the private key, which signs")
    try:
        key = form.load_pem_private_key(content, password)
    except TypeError as error:
        raise ConfigError(f"{path}: {_fault_of_password(password)}") from error
    except _not_a_key() as error:
        encrypted = b"ENCRYPTED" in content and password is not None
        why = "the password is wrong, or this is not a private key" if encrypted else "not a private key in PEM form"
        raise ConfigError(f"{path}: {why}; {CURVE}") from error
    curves = _crypto("hazmat.primitives.asymmetric.ec")
    if not isinstance(key, curves.EllipticCurvePrivateKey) or not _is_p256(key):
        raise ConfigError(f"{path}: {CURVE}")
    return PrivateKey(key, _public(key.public_key()).hint)  # pyright: ignore[reportArgumentType]


def _fault_of_password(password: bytes | None) -> str:
    if password is None:
        return "the key is encrypted; name the environment variable that holds its password: --password-env NAME"
    return "the key has no password, but one was given; leave --password-env out"


def load_public(path: Path) -> PublicKey:
    """The public key in a PEM file. Raises ConfigError for anything else."""
    content = _read(path)
    form = _crypto("hazmat.primitives.serialization")
    if b"PRIVATE KEY" in content:
        raise ConfigError(f"{path}: this is a private key; give the public key, which verifies")
    try:
        key = form.load_pem_public_key(content)
    except _not_a_key() as error:
        raise ConfigError(f"{path}: not a public key in PEM form; {CURVE}") from error
    curves = _crypto("hazmat.primitives.asymmetric.ec")
    if not isinstance(key, curves.EllipticCurvePublicKey) or not _is_p256(key):
        raise ConfigError(f"{path}: {CURVE}")
    return _public(key)  # pyright: ignore[reportArgumentType]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot read the key: {error.strerror}") from error


def _public(key: EllipticCurvePublicKey) -> PublicKey:
    form = _crypto("hazmat.primitives.serialization")
    der = key.public_bytes(form.Encoding.DER, form.PublicFormat.SubjectPublicKeyInfo)
    return PublicKey(key, base64.b64encode(hashlib.sha256(der).digest()).decode())


def _is_p256(key: Any) -> bool:
    return key.curve.name == "secp256r1"


def _ecdsa_sha256() -> Any:
    return _crypto("hazmat.primitives.asymmetric.ec").ECDSA(_crypto("hazmat.primitives.hashes").SHA256())


def _not_a_key() -> tuple[type[Exception], ...]:
    return (ValueError, _crypto("exceptions").UnsupportedAlgorithm)


def _crypto(module: str) -> Any:
    return optional_import(f"cryptography.{module}", "sign", "signing")
