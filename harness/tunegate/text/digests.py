"""Digests of texts, kept instead of the texts to save memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator


def digest_of(text: str, size: int) -> bytes:
    """A digest of `size` bytes, the same for equal texts."""
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=size).digest()


def each(digests: bytes | bytearray, size: int) -> Iterator[bytes]:
    """The digests in a buffer that holds one after the other."""
    return (bytes(digests[at : at + size]) for at in range(0, len(digests), size))
