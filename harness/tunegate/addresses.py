"""Addresses of servers: which parts are secrets, and how to show an address without them."""

from __future__ import annotations

import base64
import ipaddress
import re
from urllib.parse import parse_qsl, unquote, urlsplit

from tunegate.exceptions import ConfigError

_URL = re.compile(
    r"(?P<scheme>https?://)(?:[^\s/?#'\"]*@)?(?P<place>(?:(?!,https?://)[^\s?#'\"<>])*)(?:\?[^\s#'\"<>]*)?",
    re.IGNORECASE,
)
_NEXT = re.compile(r"\s*,\s*(?=https?://)", re.IGNORECASE)
_SECRET_FIELD = re.compile(r"key|token|secret|sig|pass|auth|credential|^code$", re.IGNORECASE)

MIN_SECRET_CHARS = 6
"""Shorter keys may be ordinary words of a text, and protect nothing."""


def without_secrets(text: str) -> str:
    """The text, with user name, password and query removed from every URL in it.

    >>> without_secrets("http://me:pw@127.0.0.1:80/v1?key=1#name: no such model")
    'http://127.0.0.1:80/v1#name: no such model'
    >>> without_secrets("http://a/v1,http://me:pw@b/v1#m")
    'http://a/v1,http://b/v1#m'
    """
    return _URL.sub(r"\g<scheme>\g<place>", text)


def addresses_in(spec: str) -> tuple[str, ...]:
    """The servers that a user names in one word: several are separated by commas, each with its `http(s)://`.

    >>> addresses_in("http://a/v1#m,http://b/v1?x=1,2#m")
    ('http://a/v1#m', 'http://b/v1?x=1,2#m')
    """
    return tuple(_NEXT.split(spec))


def check_address(url: str, where: str) -> None:
    """Raise ConfigError if no request can be sent to the address; `where` names its source."""
    try:
        parts = urlsplit(url)
        fault = "" if parts.hostname and (parts.port is None or parts.port > 0) else "it has no host"
        if not fault and "\\" in url:  # some readers of addresses take it for a slash, so the host would be in doubt
            fault = "it contains a backslash"
    except ValueError as error:  # a port of 99999, an unclosed bracket
        fault = str(error)
    if fault:
        raise ConfigError(f"{where}: not a usable address: {fault}; expected http://HOST:PORT/v1")


def is_loopback(host: str) -> bool:
    """Whether a host is this machine by its text alone: `localhost`, 127.0.0.0/8 or ::1. No name is looked up.

    >>> is_loopback("127.0.0.1"), is_loopback("127.0.0.1.example.org")
    (True, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def check_unencrypted(url: str, where: str, key: str = "") -> None:
    """Raise ConfigError if a key, a password or a key in the query would leave this machine over plain http.

    `key` says which key would be sent with each request; empty for none.
    """
    parts = urlsplit(url)
    secret = key or ("the password or key in the address" if secrets_in(url) else "")
    if secret and parts.scheme.lower() == "http" and not is_loopback(parts.hostname or ""):
        raise ConfigError(
            f"{where}: {secret} would go unencrypted to {without_secrets(url)}; use https://, or a tunnel that "
            "begins at 127.0.0.1, or send no key"
        )


def check_key(key: str, variable: str) -> None:
    """Raise ConfigError if an HTTP header cannot carry the key; the error does not show the key."""
    if not key.isascii() or not key.isprintable():
        raise ConfigError(
            f"the environment variable {variable}: its key contains a character that is not allowed in a key (a letter "
            "outside ASCII, or a line break); set it again"
        )


def secrets_in(url: str) -> tuple[str, ...]:
    """The secrets in an address, in every form in which a server may repeat them."""
    parts = urlsplit(url)
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    given = [password or user, parts.password or parts.username or ""]
    if user or password:
        given.append(base64.b64encode(f"{user}:{password}".encode()).decode())
    given += [value for name, value in parse_qsl(parts.query) if _SECRET_FIELD.search(name)]
    return tuple(dict.fromkeys(secret for secret in given if secret))
