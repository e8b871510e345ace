"""Seeds: one for each purpose, all derived from the pipeline's seed."""

from __future__ import annotations

import hashlib


def derived_seed(*parts: object) -> int:
    """A seed for one purpose, derived from the pipeline's seed and the purpose: 31 bits of SHA-256."""
    text = "\x00".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4]) >> 1
