"""Digests of texts, kept instead of the texts to save memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

DIGEST = 12
"""Bytes of a digest. The chance that any two of 100 million different texts have the same one is below 10^-13."""


def digest_of(text: str, size: int = DIGEST) -> bytes:
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=size).digest()


def each(digests: bytes | bytearray, size: int = DIGEST) -> Iterator[bytes]:
    """The digests in a buffer that holds one after the other."""
    return (bytes(digests[at : at + size]) for at in range(0, len(digests), size))
