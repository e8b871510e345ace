"""Addresses of servers: which parts of them are secrets, and how they are shown without these."""

from __future__ import annotations

import base64
import re
from urllib.parse import parse_qsl, unquote, urlsplit

_URL = re.compile(r"(?P<scheme>https?://)(?:[^\s/?#'\"]*@)?(?P<place>[^\s?#'\"<>]*)(?:\?[^\s#'\"<>]*)?", re.IGNORECASE)
_SECRET_FIELD = re.compile(r"key|token|secret|sig|pass|auth|credential|^code$", re.IGNORECASE)

MIN_SECRET_CHARS = 6
"""Shorter keys are words that any text may hold, and keep nobody out."""


def without_secrets(text: str) -> str:
    """The text with every URL in it freed of user name, password and query.

    >>> without_secrets("http://me:pw@127.0.0.1:80/v1?key=1#name: no such model")
    'http://127.0.0.1:80/v1#name: no such model'
    """
    return _URL.sub(r"\g<scheme>\g<place>", text)


def secrets_in(url: str) -> tuple[str, ...]:
    """The secrets that an address holds, in the forms in which a server may repeat them."""
    parts = urlsplit(url)
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    given = [password or user, parts.password or parts.username or ""]
    if user or password:
        given.append(base64.b64encode(f"{user}:{password}".encode()).decode())
    given += [value for name, value in parse_qsl(parts.query) if _SECRET_FIELD.search(name)]
    return tuple(dict.fromkeys(secret for secret in given if secret))
